"""A key whose type changes keeps each value as it was, and its types are counted."""

from __future__ import annotations

from typing import Any

from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlas.ingest.v1.value_pb2 import AttributeValue
from doubles.writes import one, rows

TYPES = """
    SELECT k.attribute_key, array_agg(t.value_type ORDER BY t.value_type) AS types
    FROM attribute_key_types t JOIN attribute_keys k USING (tenant_id, attribute_id)
    WHERE t.tenant_id = $1 GROUP BY 1 ORDER BY 1
"""


def typed(attribute: str, second: int, **value: Any) -> pb2.AttributeWrite:
    write = one("e", attribute, 0, second)
    write.value.CopyFrom(AttributeValue(**value))
    return write


async def types(database: Any, tenant: int) -> dict[str, list[int]]:
    return {row["attribute_key"]: row["types"] for row in await database.fetch(TYPES, tenant)}


async def test_a_type_is_noted_once_and_each_value_keeps_its_own(ingest: Any, database: Any) -> None:
    tenant, other = await ingest.tenant(), await ingest.tenant()
    await ingest.writes.WriteAttributes(rows(other, [typed("a", 0, bool_value=True)]), timeout=10)
    batches = [
        [typed("a", 0, double_value=1), typed("b", 0, string_value="x"), typed("a", 1, double_value=2)],
        [typed("a", 2, int64_value=3), typed("a", 3, double_value=4)],
        [typed("a", 4, int64_value=5)],
    ]
    for batch in batches:
        answer = await ingest.writes.WriteAttributes(rows(tenant, batch), timeout=10)
        assert answer.stored_count == len(batch)
    assert await types(database, tenant) == {"a": [1, 3], "b": [5]}
    assert await types(database, other) == {"a": [4]}
    stored = await database.fetch(
        "SELECT value_int, value_double, value_text FROM entity_attributes WHERE tenant_id = $1 ORDER BY row_version",
        tenant,
    )
    written = [(None, 1, None), (None, None, "x"), (None, 2, None), (3, None, None), (None, 4, None), (5, None, None)]
    assert [tuple(row) for row in stored] == written


async def test_what_was_refused_or_deleted_has_no_type(ingest: Any, database: Any) -> None:
    tenant = await ingest.tenant()
    writes = [typed("a", 0, double_value=1), typed("b", 0, double_value=float("nan")), typed("b", 1, bool_value=True)]
    await ingest.writes.WriteAttributes(rows(tenant, writes), timeout=10)
    delete = pb2.DeleteAttributesRequest(
        tenant_id=tenant,
        request_id="00000000-0000-4000-8000-000000000001",
        deletes=[pb2.AttributeDelete(entity_key="e", attribute_key="a")],
    )
    assert (await ingest.writes.DeleteAttributes(delete, timeout=10)).stored_count == 1
    assert await types(database, tenant) == {"a": [3], "b": [4]}


async def test_another_process_does_not_note_them_again(ingest: Any, spawned: Any, database: Any) -> None:
    tenant = await ingest.tenant()
    await ingest.writes.WriteAttributes(rows(tenant, [typed("a", 0, double_value=1)]), timeout=10)
    async with spawned(database) as (_, second):
        answer = await second.writes.WriteAttributes(rows(tenant, [typed("a", 1, double_value=1)]), timeout=10)
    assert answer.stored_count == 1
    assert await types(database, tenant) == {"a": [3]}
