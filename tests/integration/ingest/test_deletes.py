"""Deletes are versioned rows: what they hide, what they refuse, and who wins when a write crosses them."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import asyncpg
import pytest
from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlaskit.batch import DELETED_AT_US, EPOCH
from atlaskit.rpc.errors import errors_from
from doubles.writes import one, rows
from grpc import aio

STORED, SUPERSEDED, REFUSED = pb2.ITEM_STATE_STORED, pb2.ITEM_STATE_SUPERSEDED, pb2.ITEM_STATE_REFUSED
HISTORY = """
    SELECT coalesce(k.attribute_key, '') AS key, a.deletion, a.event_time, a.value_type, a.row_version
    FROM entity_attributes a LEFT JOIN attribute_keys k USING (tenant_id, attribute_id)
    WHERE a.tenant_id = $1 ORDER BY a.row_version
"""
LEDGER = """
    SELECT coalesce(sum((e ->> 2)::bigint), 0)::bigint AS rows, coalesce(sum((e ->> 3)::numeric), 0) AS versions
    FROM ingest_batches, jsonb_array_elements(entries) AS e WHERE e ->> 0 = $1
"""


def deletes(tenant: int, *items: pb2.AttributeDelete, request_id: str = "") -> pb2.DeleteAttributesRequest:
    return pb2.DeleteAttributesRequest(tenant_id=tenant, request_id=request_id or str(uuid.uuid4()), deletes=items)


def gone(entity: str, attribute: str = "", seconds: int | None = None) -> pb2.AttributeDelete:
    delete = pb2.AttributeDelete(entity_key=entity, attribute_key=attribute)
    if seconds is not None:
        delete.event_time.FromSeconds(seconds)
    return delete


async def entity(database: Any, tenant: int) -> dict[str, Any]:
    [row] = await database.fetch("SELECT * FROM entities WHERE tenant_id = $1", tenant)
    return dict(row)


async def test_each_kind_of_delete_is_a_row_of_its_own(ingest: Any, database: Any) -> None:
    tenant = await ingest.tenant()
    await ingest.writes.WriteAttributes(rows(tenant, [one("e", "a", 1, 5), one("e", "b", 2, 5)]), timeout=10)
    request = deletes(tenant, gone("e", "a", 5), gone("e", "b"), gone("e"))
    answer = await ingest.writes.DeleteAttributes(request, timeout=10)
    assert (list(answer.item_states), answer.stored_count, answer.reached_ack_level) == ([], 3, pb2.ACK_LEVEL_COMMITTED)
    assert answer.write_token
    stored = (await database.fetch(HISTORY, tenant))[2:]
    assert [(row["key"], row["deletion"], row["value_type"]) for row in stored] == [
        ("a", 1, 0),
        ("b", 2, 0),
        ("", 3, 0),
    ]
    times = [(row["event_time"] - EPOCH).total_seconds() for row in stored]
    assert times == [5, DELETED_AT_US / 1e6, DELETED_AT_US / 1e6]
    assert (await entity(database, tenant))["deleted"]


async def test_the_ledger_counts_deletes_as_it_counts_writes(ingest: Any, database: Any) -> None:
    tenant = await ingest.tenant()
    await ingest.writes.WriteAttributes(rows(tenant, [one("e", "a", 1, 5)]), timeout=10)
    await ingest.writes.DeleteAttributes(deletes(tenant, gone("e", "a", 5), gone("e")), timeout=10)
    for table in ("entity_attributes", "entities"):
        [said] = await database.fetch(LEDGER, table)
        changes = await database.fetch(f"SELECT row_version FROM {table} WHERE tenant_id = $1", tenant)
        if table == "entity_attributes":
            versions = [row["row_version"] for row in changes]
            assert (said["rows"], int(said["versions"])) == (3, sum(versions))
        else:
            assert said["rows"] == 2  # inserted, and changed by the delete


async def test_a_delete_creates_nothing(ingest: Any, database: Any) -> None:
    tenant = await ingest.tenant()
    await ingest.writes.WriteAttributes(rows(tenant, [one("e", "a", 1)]), timeout=10)
    request = deletes(tenant, gone("nobody"), gone("nobody", "a"), gone("e", "never"), gone("e", "a"))
    answer = await ingest.writes.DeleteAttributes(request, timeout=10)
    assert list(answer.item_states) == [REFUSED, REFUSED, REFUSED, STORED]
    assert [(r.item_index, r.reason, r.field) for r in answer.refusals] == [
        (0, "ENTITY_UNKNOWN", "deletes[0].entity_key"),
        (1, "ENTITY_UNKNOWN", "deletes[1].entity_key"),
        (2, "ATTRIBUTE_UNKNOWN", "deletes[2].attribute_key"),
    ]
    assert await database.value("SELECT count(*) FROM entities WHERE tenant_id = $1", tenant) == 1
    assert await database.value("SELECT count(*) FROM attribute_keys WHERE tenant_id = $1", tenant) == 1


async def test_a_delete_of_nothing_known_has_no_token(ingest: Any) -> None:
    tenant = await ingest.tenant()
    answer = await ingest.writes.DeleteAttributes(deletes(tenant, gone("nobody")), timeout=10)
    assert (answer.stored_count, answer.write_token) == (0, "")
    assert answer.reached_ack_level == pb2.ACK_LEVEL_UNSPECIFIED


async def test_bad_deletes_are_named_and_good_ones_stored(ingest: Any) -> None:
    tenant = await ingest.tenant()
    await ingest.writes.WriteAttributes(rows(tenant, [one("e", "a", 1)]), timeout=10)
    items = [gone("e", "", 5), gone("e\0"), pb2.AttributeDelete(entity_id=5), gone("e", "a", -1), gone("e", "a")]
    items += [pb2.AttributeDelete(attribute_key="a"), gone("e", "a")]
    answer = await ingest.writes.DeleteAttributes(deletes(tenant, *items), timeout=10)
    assert [(r.item_index, r.reason, r.field) for r in answer.refusals] == [
        (0, "ATTRIBUTE_KEY_MISSING", "deletes[0].attribute_key"),
        (1, "TEXT_HAS_NUL", "deletes[1].entity_key"),
        (2, "IDENTITY_KIND_WRONG", "deletes[2].entity_id"),
        (3, "EVENT_TIME_OUT_OF_RANGE", "deletes[3].event_time"),
        (5, "ENTITY_MISSING", "deletes[5].entity"),
    ]
    assert list(answer.item_states) == [REFUSED, REFUSED, REFUSED, REFUSED, SUPERSEDED, REFUSED, STORED]


async def test_a_repeat_gets_the_first_answer_and_a_write_of_that_id_is_refused(ingest: Any, database: Any) -> None:
    tenant = await ingest.tenant()
    await ingest.writes.WriteAttributes(rows(tenant, [one("e", "a", 1)]), timeout=10)
    request = deletes(tenant, gone("e", "a"), gone("nobody"))
    first = await ingest.writes.DeleteAttributes(request, timeout=10)
    again = await ingest.writes.DeleteAttributes(request, timeout=10)
    assert (first.repeated, again.repeated) == (False, True)
    assert (again.item_states, again.refusals) == (first.item_states, first.refusals)
    assert await database.value("SELECT count(*) FROM entity_attributes WHERE tenant_id = $1", tenant) == 2
    write = rows(tenant, [one("e", "a", 1)])
    write.request_id = request.request_id
    with pytest.raises(aio.AioRpcError) as taken:
        await ingest.writes.WriteAttributes(write, timeout=10)
    assert errors_from(taken.value).remote_reason == "REQUEST_ID_REUSED"


async def test_a_later_write_revives_the_entity_and_an_earlier_one_does_not(ingest: Any, database: Any) -> None:
    tenant = await ingest.tenant()
    first = one("e", "a", 1)
    first.asset_type = "disk"
    await ingest.writes.WriteAttributes(rows(tenant, [first]), timeout=10)
    before = await entity(database, tenant)
    await ingest.writes.DeleteAttributes(deletes(tenant, gone("e")), timeout=10)
    await ingest.writes.DeleteAttributes(deletes(tenant, gone("e", "a")), timeout=10)
    deleted = await entity(database, tenant)
    assert deleted["deleted"]
    await ingest.writes.WriteAttributes(rows(tenant, [one("e", "a", 2, 1)]), timeout=10)
    revived = await entity(database, tenant)
    assert not revived["deleted"]
    assert before["row_version"] < deleted["row_version"] < revived["row_version"]
    assert before["asset_type_id"] == deleted["asset_type_id"] == revived["asset_type_id"]


async def test_writes_and_deletes_that_cross_leave_what_their_versions_say(ingest: Any, database: Any) -> None:
    """Whatever the order of commits: the entity is hidden exactly if its newest row is the delete of the entity."""
    tenant = await ingest.tenant()
    await ingest.writes.WriteAttributes(rows(tenant, [one(f"e{n}", "a", 0) for n in range(4)]), timeout=10)
    for round_number in range(1, 26):
        writes = [
            ingest.writes.WriteAttributes(rows(tenant, [one(f"e{n}", "a", round_number, round_number)]), timeout=20)
            for n in range(4)
        ]
        erasures = [ingest.writes.DeleteAttributes(deletes(tenant, gone(f"e{n}")), timeout=20) for n in range(4)]
        mixed = [call for pair in zip(writes, erasures, strict=True) for call in pair]
        await asyncio.gather(*(mixed if round_number % 2 else reversed(mixed)))
        found = await database.fetch(
            """
            SELECT e.deleted, max(a.row_version) FILTER (WHERE a.deletion = 3) AS erased,
                max(a.row_version) FILTER (WHERE a.deletion = 0) AS written
            FROM entities e JOIN entity_attributes a USING (tenant_id, entity_id) WHERE tenant_id = $1
            GROUP BY e.entity_id, e.deleted
            """,
            tenant,
        )
        assert [row["deleted"] for row in found] == [row["erased"] > row["written"] for row in found]


async def test_a_delete_that_commits_after_a_later_write_does_not_hide_the_entity(ingest: Any, database: Any) -> None:
    """The write has the greater number and commits first: the delete's transaction is held at the tenant's lock."""
    tenant = await ingest.tenant()
    await ingest.writes.WriteAttributes(rows(tenant, [one("e", "a", 0)]), timeout=10)
    before = await database.value("SELECT last_value FROM ingest_transaction")
    connection = await asyncpg.connect(database.primary.dsn(database=database.name))
    try:
        held = connection.transaction()
        await held.start()
        await connection.execute(
            "SELECT pg_advisory_xact_lock_shared(hashtextextended('atlas.entities', $1::integer % 64))", tenant
        )
        delete = asyncio.ensure_future(ingest.writes.DeleteAttributes(deletes(tenant, gone("e")), timeout=30))
        while await database.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == 0:
            assert not delete.done()
            await asyncio.sleep(0.01)
        # The delete has its number by now and waits; what a write of a greater number leaves is put there by hand.
        number = await database.value("SELECT nextval('ingest_transaction')")
        assert isinstance(before, int)
        assert number >= before + 2
        await connection.execute(
            """
            INSERT INTO entity_attributes
                (tenant_id, entity_id, attribute_id, shard, value_type, value_double, event_time, row_version)
            SELECT tenant_id, entity_id, attribute_id, shard, 3, 7, event_time + '1 s',
                (1::bigint << 55) | ($2::bigint << 17)
            FROM entity_attributes WHERE tenant_id = $1
            """,
            tenant,
            number,
        )
        await held.commit()
        assert (await delete).stored_count == 1
    finally:
        await connection.close()
    assert not (await entity(database, tenant))["deleted"]
