"""Atlas for its callers: write typed telemetry, read it back with a certificate of freshness.

async with AtlasClient.connect(ingest="127.0.0.1:50051", query="127.0.0.1:50052") as atlas:
session = Session()
await atlas.write_rows(7, [Write("disk-1", "smart_9_raw", 12345, datetime.now(UTC))], session=session)
answer = await atlas.get_entity(7, "disk-1", freshness=Requirement(UseCase.DASHBOARD), session=session)
print(answer.entity.values["smart_9_raw"].value, "|", answer.freshness)
"""

from atlas_client.answers import (
    AckLevel,
    AggregatePage,
    AttributePage,
    BatchOutcome,
    Entity,
    EntityAnswer,
    EntityPage,
    HistoryPage,
    Identity,
    Observed,
    Refusal,
    Tenant,
    Written,
)
from atlas_client.catalogue import HotAttribute, HotState
from atlas_client.client import AtlasClient
from atlas_client.columns import ColumnBuilder, Write, batches_of, batches_of_frame, rows_of
from atlas_client.errors import CallFailed, FilterError, FilterNotInstalled
from atlas_client.freshness import Fallback, Freshness, Policy, Requirement, Source, UseCase
from atlas_client.session import Session
from atlas_client.values import Scalar, Uint64, ValueType
from atlas_client.writes import Delete

__all__ = [
    "AckLevel",
    "AggregatePage",
    "AtlasClient",
    "AttributePage",
    "BatchOutcome",
    "CallFailed",
    "ColumnBuilder",
    "Delete",
    "Entity",
    "EntityAnswer",
    "EntityPage",
    "Fallback",
    "FilterError",
    "FilterNotInstalled",
    "Freshness",
    "HistoryPage",
    "HotAttribute",
    "HotState",
    "Identity",
    "Observed",
    "Policy",
    "Refusal",
    "Requirement",
    "Scalar",
    "Session",
    "Source",
    "Tenant",
    "Uint64",
    "UseCase",
    "ValueType",
    "Write",
    "Written",
    "batches_of",
    "batches_of_frame",
    "rows_of",
]
