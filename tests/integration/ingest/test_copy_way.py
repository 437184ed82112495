"""Both ways into the history store the same rows, and count them alike in the ledger."""

from __future__ import annotations

from typing import Any

import pytest
from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlas_ingest.app import running
from atlas_ingest.settings import CopyWay, Settings
from atlas_local.ports import HOST
from doubles.writes import one, rows, series

from .conftest import client_of

VALUES = """
    SELECT attribute_id, event_time, value_type, value_int, value_double, deletion, asset_type_id IS NULL AS untyped
    FROM entity_attributes WHERE tenant_id = $1 ORDER BY row_version
"""
LEDGER = """
    SELECT sum((e ->> 2)::bigint) FROM ingest_batches, jsonb_array_elements(entries) AS e
    WHERE e ->> 0 = 'entity_attributes'
"""


@pytest.mark.parametrize("way", list(CopyWay))
async def test_rows_of_every_kind_arrive_and_are_counted(database: Any, way: CopyWay) -> None:
    settings = Settings(postgres_dsn=database.dsn("atlas_ingest"), copy_way=way, writers=1)
    async with running(settings) as port, client_of(f"{HOST}:{port}") as client:
        tenant = await client.tenant()
        for number in range(3):
            answer = await client.writes.WriteAttributes(series(tenant, 100, number * 100), timeout=10)
            assert answer.stored_count == 100
        await client.writes.WriteAttributes(rows(tenant, [one("e1", "a", 0.5, 7)]), timeout=10)
        delete = pb2.DeleteAttributesRequest(
            tenant_id=tenant,
            request_id="00000000-0000-4000-8000-000000000001",
            deletes=[pb2.AttributeDelete(entity_key="e1", attribute_key="a")],
        )
        assert (await client.writes.DeleteAttributes(delete, timeout=10)).stored_count == 1
    stored = await database.fetch(VALUES, tenant)
    assert [row["value_int"] for row in stored[:300]] == list(range(300))
    assert [(row["value_double"], row["deletion"], row["value_type"]) for row in stored[300:]] == [
        (0.5, 0, 3),
        (None, 2, 0),
    ]
    assert await database.value(LEDGER) == 302
