"""Writers, promotions, and a model of current values that is compared with slots in one snapshot."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlas_ingest import validation
from atlas_ingest.decoding import draft_of_deletes, draft_of_rows
from atlaskit.batch import WriteBatch
from atlaskit.model import EntityIdentity, Tenant, ValueType
from atlaskit.postgres.hot_backfill import Step, await_earlier_writes, backfill_step, backfills_left
from atlaskit.postgres.hot_promotion import Attribute, HotAttribute, HotAttributes
from atlaskit.postgres.hot_slots import SLOTS, Slot
from atlaskit.postgres.pool import Pool, open_pool
from atlaskit.postgres.store import PostgresStore, StoreWriter
from atlaskit.postgres.tenants import Tenants
from atlaskit.postgres.writer import open_writer
from doubles.writes import one

LIMIT = timedelta(seconds=20)
TYPES = ("pump", "valve")
KEYS = ("a", "b", "c")
ERASED_AT = datetime(1969, 12, 31, tzinfo=UTC)
_COLUMNS = ("value_int", "value_uint", "value_double", "value_bool", "value_text", "value_bytes")
SNAPSHOT = (
    "SELECT * FROM hot_attribute_slots WHERE tenant_id = $1 AND state = 'READY'",
    "SELECT entity_id, asset_type_id FROM entities WHERE tenant_id = $1 AND NOT deleted",
    "SELECT * FROM entity_attributes WHERE tenant_id = $1",
    "SELECT * FROM entity_hot_attributes WHERE tenant_id = $1",
)
# The ledger counts each change of a row, and so does the row.
BALANCE = """
    SELECT (SELECT coalesce(sum(change), 0) FROM entity_hot_attributes)::bigint AS changes,
        (SELECT coalesce(sum((e ->> 2)::int), 0) FROM ingest_batches, jsonb_array_elements(entries) AS e
            WHERE e ->> 0 = 'entity_hot_attributes')::bigint AS entered
"""


class Verdict(NamedTuple):
    """How many slots of READY mappings said what; each that is `known` or `absent` was compared with history."""

    known: int
    absent: int
    asks: int


class Value(NamedTuple):
    """A current value with its type and time."""

    kind: int
    value: Any
    event_time: datetime


class World:
    """A tenant of numbered entities with promoted attributes."""

    def __init__(self, dsn: str, superuser: str, tenant: Tenant, pool: Pool, stack: AsyncExitStack) -> None:
        self.dsn, self.superuser, self.tenant, self._stack = dsn, superuser, tenant, stack
        self.pool = pool
        self.attributes = HotAttributes(pool, budget=20)

    async def writer(self, store: PostgresStore | None = None) -> StoreWriter:
        return await self._stack.enter_async_context((store or PostgresStore(self.dsn)).writer())

    def writes(self, items: Sequence[pb2.AttributeWrite]) -> WriteBatch:
        said = validation.Request(self.tenant, uuid.uuid4(), b"d" * 32, 1, "")
        return validation.checked(
            draft_of_rows(pb2.RowBatch(writes=items), self.tenant.identity), said, datetime.now(UTC)
        )

    def deletes(self, items: Sequence[pb2.AttributeDelete]) -> WriteBatch:
        said = validation.Request(self.tenant, uuid.uuid4(), b"e" * 32, 1, "")
        return validation.checked(draft_of_deletes(items, self.tenant.identity), said, datetime.now(UTC))

    async def commit(self, writer: StoreWriter, *batches: WriteBatch) -> None:
        await writer.commit(await writer.reserve(), batches, LIMIT)

    async def promote(
        self, key: str, asset_type: str = "pump", kind: ValueType | None = ValueType.DOUBLE
    ) -> HotAttribute:
        return await self.attributes.promote(Attribute(self.tenant.tenant_id, asset_type, key), kind, LIMIT)

    async def demote(self, key: str, asset_type: str = "pump") -> HotAttribute:
        return await self.attributes.demote(Attribute(self.tenant.tenant_id, asset_type, key), LIMIT)

    async def backfill(self, entities: int = 3) -> None:
        """Fill the slots of all that is promoted now."""
        async with open_writer(self.dsn) as writer:
            for mapping in await backfills_left(self.pool):
                await await_earlier_writes(writer, mapping.tenant_id)
                while await backfill_step(writer, mapping, entities) is Step.MORE:
                    pass

    async def ready(self, *keys: str, asset_type: str = "pump") -> None:
        for key in keys:
            await self.promote(key, asset_type)
        await self.backfill()

    async def fetch(self, sql: str, *values: object) -> list[dict[str, Any]]:
        connection = await asyncpg.connect(self.superuser)
        try:
            return [dict(row) for row in await connection.fetch(sql, *values)]
        finally:
            await connection.close()

    async def row(self, entity: int) -> dict[str, Any] | None:
        found = await self.fetch("SELECT * FROM entity_hot_attributes WHERE entity_id = $1", entity)
        return found[0] if found else None

    async def compare(self) -> Verdict:
        """Compare every READY slot with history, in one snapshot. Raises AssertionError where they differ."""
        connection = await asyncpg.connect(self.superuser)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                mappings, entities, history, rows = [
                    [dict(row) for row in await connection.fetch(sql, self.tenant.tenant_id)] for sql in SNAPSHOT
                ]
                [balance] = await connection.fetch(BALANCE)
        finally:
            await connection.close()
        assert balance["changes"] == balance["entered"], "the ledger counts another number of changes than the rows"
        return verdict(mappings, entities, current_values(history), {row["entity_id"]: row for row in rows})


def current_values(history: Sequence[Mapping[str, Any]]) -> dict[tuple[int, int], Value]:
    """Return the current value of each entity and attribute: the model, in plain Python."""
    floors: Counter[tuple[int, int]] = Counter()
    last: dict[tuple[int, int, datetime], Mapping[str, Any]] = {}
    for row in history:
        key = row["entity_id"], row["attribute_id"]
        if row["event_time"] == ERASED_AT:
            floors[key] = max(floors[key], row["row_version"])
            continue
        at = (*key, row["event_time"])
        if at not in last or last[at]["row_version"] < row["row_version"]:
            last[at] = row
    current: dict[tuple[int, int], Value] = {}
    for (entity, attribute, event_time), row in sorted(last.items(), key=lambda item: item[0]):
        floor = max(floors[entity, attribute], floors[entity, 0])
        if not row["deletion"] and row["row_version"] > floor:
            kind = row["value_type"]
            current[entity, attribute] = Value(kind, row[_COLUMNS[kind - 1]], event_time)
    return current


def verdict(
    mappings: Sequence[Mapping[str, Any]],
    entities: Sequence[Mapping[str, Any]],
    current: Mapping[tuple[int, int], Value],
    rows: Mapping[int, Mapping[str, Any]],
) -> Verdict:
    """Return how many slots were known, absent and to be asked. Raises AssertionError where one is wrong."""
    counts: Counter[str] = Counter()
    for mapping in mappings:
        slot = SLOTS[mapping["slot"]]
        for entity in entities:
            if (entity["asset_type_id"] or 0) != mapping["asset_type_id"]:
                continue
            said, value = said_of(slot, mapping["mapping_id"], rows.get(entity["entity_id"]))
            expected = current.get((entity["entity_id"], mapping["attribute_id"]))
            where = f"entity {entity['entity_id']}, {dict(mapping)}: history says {expected}, the slot {said} {value}"
            if said != "asks":
                assert value == expected, where
            counts[said] += 1
    return Verdict(counts["known"], counts["absent"], counts["asks"])


def said_of(slot: Slot, mapping_id: int, row: Mapping[str, Any] | None) -> tuple[str, Value | None]:
    """Return what a slot says under a mapping."""
    if row is None or row[slot.column("mapping")] != mapping_id:
        return "absent", None
    if row[slot.column("deleted")]:
        return "asks", None
    return "known", Value(slot.kind, row[slot.column()], row[slot.column("time")])


@asynccontextmanager
async def open_world(dsn: str, superuser: str) -> AsyncIterator[World]:
    """Yield a new tenant whose attribute keys and asset types are registered."""
    async with AsyncExitStack() as stack, open_pool(dsn, max_size=4) as pool:
        tenant = await Tenants(pool).create(str(uuid.uuid4()), EntityIdentity.NUMBERED, 10, 100, LIMIT)
        world = World(dsn, superuser, tenant, pool, stack)
        first = [
            typed(1000 + n, key, 0.5, 0, asset) for n, (key, asset) in enumerate((k, t) for k in KEYS for t in TYPES)
        ]
        await world.commit(await world.writer(), world.writes(first))
        yield world


def typed(
    entity: int, key: str, value: float | str | bool | int, second: int, asset_type: str = ""
) -> pb2.AttributeWrite:
    """One observation, with the asset type of its entity; the value has its type from Python, an `int` is UINT64."""
    item = one(entity, key, 0.0, second)
    item.asset_type = asset_type
    field = {bool: "bool_value", int: "uint64_value", float: "double_value", str: "string_value"}[type(value)]
    setattr(item.value, field, value)
    return item


def gone(entity: int, key: str = "", second: int | None = None) -> pb2.AttributeDelete:
    """A delete of an entity, of an attribute, or of an observation."""
    item = pb2.AttributeDelete(entity_id=entity, attribute_key=key)
    if second is not None:
        item.event_time.CopyFrom(one(entity, key, 0.0, second).event_time)
    return item


def random_batch(world: World, dice: random.Random, entities: int) -> WriteBatch:
    """A few writes or deletes: late ones, repeated times, other types of values, entities that change their type."""
    if dice.random() < 0.2:
        deletes = []
        for _ in range(dice.randint(1, 2)):
            entity, key = 1000 + dice.randrange(6), dice.choice(KEYS)
            level = dice.random()
            # Only of those that are there from the beginning: another may not be registered yet.
            deletes.append(
                gone(entity) if level < 0.2 else gone(entity, key, dice.randrange(40) if level < 0.7 else None)
            )
        return world.deletes(deletes)
    items = []
    for _ in range(dice.randint(1, 8)):
        entity = 1000 + dice.randrange(entities)
        others: list[float | str] = ["text", 2**63 + dice.randrange(9)]
        value = dice.random() if dice.random() < 0.85 else dice.choice(others)
        asset = "" if dice.random() < 0.85 else dice.choice(TYPES)
        items.append(typed(entity, dice.choice(KEYS), value, dice.randrange(40), asset))
    return world.writes(items)
