"""Batches for tests of writing."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlas.ingest.v1.value_pb2 import VALUE_TYPE_INT64 as INT64
from atlas.ingest.v1.value_pb2 import AttributeValue

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def one(entity: str | int, attribute: str, value: float, second: int = 0) -> pb2.AttributeWrite:
    """One observation."""
    item = pb2.AttributeWrite(attribute_key=attribute, value=AttributeValue(double_value=value))
    if isinstance(entity, str):
        item.entity_key = entity
    else:
        item.entity_id = entity
    item.event_time.FromDatetime(BEGIN + timedelta(seconds=second))
    return item


def rows(tenant_id: int, writes: Sequence[pb2.AttributeWrite]) -> pb2.WriteAttributesRequest:
    """A request with these items and an id of its own."""
    return pb2.WriteAttributesRequest(
        tenant_id=tenant_id, request_id=str(uuid.uuid4()), rows=pb2.RowBatch(writes=writes)
    )


def series(tenant_id: int, count: int, first: int) -> pb2.WriteAttributesRequest:
    """A request in columns: `count` observations at seconds from `first`, each its own number."""
    indexes = list(range(count))
    begin = int(BEGIN.timestamp()) * 1_000_000
    return pb2.WriteAttributesRequest(
        tenant_id=tenant_id,
        request_id=str(uuid.uuid4()),
        columns=pb2.ColumnBatch(
            entity_keys=[f"e{n}" for n in range(20)],
            attribute_keys=["a", "b"],
            entity_indexes=[n % 20 for n in indexes],
            attribute_indexes=[n % 2 for n in indexes],
            event_times_us=[begin + (first + n) * 1_000_000 for n in indexes],
            value_types=[INT64] * count,
            int64_values=[first + n for n in indexes],
        ),
    )
