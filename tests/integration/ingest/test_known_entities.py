"""What one process of ingest knows of entities, while others change them; and transactions of one round trip."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlas.ingest.v1.value_pb2 import AttributeValue
from atlas_ingest import validation
from atlas_ingest.decoding import draft_of_deletes, draft_of_rows
from atlaskit.batch import ItemState, WriteBatch, Written
from atlaskit.errors import OutcomeUnknown
from atlaskit.model import EntityIdentity, Tenant
from atlaskit.postgres.errors import WrongServer
from atlaskit.postgres.pool import open_pool
from atlaskit.postgres.store import PostgresStore, StoreWriter
from atlaskit.postgres.tenants import Tenants
from atlaskit.postgres.writer import Writer
from doubles.writes import one

LIMIT = timedelta(seconds=20)
BOUNDARIES: list[dict[str, Any]] = [
    {"int64_value": -(2**63)},
    {"uint64_value": 2**64 - 1},
    {"double_value": -0.0},
    {"double_value": 5e-324},
    {"bool_value": False},
    {"string_value": ""},
    {"string_value": 'µ\r\r\n{}"\\,NULL'},
    {"bytes_value": b"\0\xff"},
]
HISTORY = """
    SELECT k.attribute_key, a.entity_id, a.shard, value_type, deletion, event_time, value_int, value_uint, value_text,
        value_bytes, value_bool, float8send(value_double) AS value_double, t.asset_type, s.source_type
    FROM entity_attributes a JOIN attribute_keys k USING (tenant_id, attribute_id)
        LEFT JOIN asset_types t USING (asset_type_id) LEFT JOIN source_types s USING (source_type_id)
    WHERE a.tenant_id = $1 ORDER BY a.row_version
"""
LEDGER = """
    SELECT b.row_version, (e ->> 1)::int AS shard, (e ->> 2)::int AS changed, (e ->> 3)::bigint AS total
    FROM ingest_batches b, jsonb_array_elements(entries) AS e WHERE e ->> 0 = 'entity_attributes' ORDER BY 1, 2
"""


def batch_of(tenant: Tenant, writes: Sequence[pb2.AttributeWrite], request_id: uuid.UUID | None = None) -> WriteBatch:
    said = validation.Request(tenant, request_id or uuid.uuid4(), b"d" * 32, 1, "")
    return validation.checked(draft_of_rows(pb2.RowBatch(writes=writes), tenant.identity), said, datetime.now(UTC))


def numbered(count: int, first: int = 0) -> list[pb2.AttributeWrite]:
    return [one(entity % 5, "a", entity, first + entity) for entity in range(count)]


class Site:
    """A tenant of numbered entities, and writers of one process."""

    def __init__(self, database: Any, tenant: Tenant, stack: AsyncExitStack) -> None:
        self.database, self.tenant, self._stack = database, tenant, stack

    async def store(self) -> PostgresStore:
        return PostgresStore(self.database.dsn("atlas_ingest"))

    async def writer(self, store: PostgresStore | None = None) -> StoreWriter:
        return await self._stack.enter_async_context((store or await self.store()).writer())

    async def commit(self, writer: StoreWriter, *batches: WriteBatch) -> list[Written]:
        outcomes = await writer.commit(await writer.reserve(), batches, LIMIT)
        return [outcome for outcome in outcomes if isinstance(outcome, Written)]

    async def at_once(self, writer: StoreWriter, *batches: WriteBatch, limit: timedelta = LIMIT) -> Any:
        commit = writer.at_once(batches)
        assert commit is not None
        return await commit(limit)

    def batch(self, count: int = 5, first: int = 0) -> WriteBatch:
        return batch_of(self.tenant, numbered(count, first))


@pytest.fixture
async def site(database: Any) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack, open_pool(database.dsn("atlas_ingest")) as pool:
        tenant = await Tenants(pool).create("t", EntityIdentity.NUMBERED, 10, 100, LIMIT)
        yield Site(database, tenant, stack)


@asynccontextmanager
async def transaction(site: Site, *statements: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """Hold a transaction of somebody else open for the block; it is rolled back."""
    connection = await asyncpg.connect(site.database.primary.dsn(database=site.database.name))
    try:
        await connection.execute("BEGIN")
        for statement in statements:
            await connection.execute(statement)
        yield connection
        await connection.execute("ROLLBACK")
    finally:
        await connection.close()


def retyped(site: Site, asset_type: str) -> WriteBatch:
    write = one(0, "a", 1, 900)
    write.asset_type = asset_type
    return batch_of(site.tenant, [write])


async def types_of_rows(site: Site) -> list[str | None]:
    return [row["asset_type"] for row in await site.database.fetch(HISTORY, site.tenant.tenant_id)]


async def test_known_entities_are_not_looked_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = await site.writer()
    await site.commit(writer, site.batch())
    looked: list[str] = []
    fetch = Writer.fetch

    async def noted(self: Writer, statement: str, *values: Any) -> Any:
        looked.append(statement)
        return await fetch(self, statement, *values)

    monkeypatch.setattr(Writer, "fetch", noted)
    await site.commit(writer, site.batch(300, 10))
    assert looked == ["reserve_transaction", "open_transaction", "close_transaction", "flushed"]
    looked.clear()
    assert await site.at_once(writer, site.batch(5, 400)) is not None
    assert looked == []


@pytest.mark.parametrize("count", [5, 300])
async def test_a_write_revives_what_another_process_deleted(site: Site, count: int) -> None:
    ours, theirs = await site.writer(), await site.writer()
    await site.commit(ours, site.batch())
    said = validation.Request(site.tenant, uuid.uuid4(), b"e" * 32, 1, "")
    draft = draft_of_deletes([pb2.AttributeDelete(entity_id=0)], site.tenant.identity)
    erased = validation.checked(draft, said, datetime.now(UTC))
    await site.commit(theirs, erased)
    assert await site.database.value("SELECT deleted FROM entities WHERE entity_id = 0")
    again = site.batch(count, 10)
    if count < 256:
        assert await site.at_once(ours, again) is None  # it noticed, and did nothing
    await site.commit(ours, again)
    assert not await site.database.value("SELECT deleted FROM entities WHERE entity_id = 0")


@pytest.mark.parametrize("count", [5, 300])
async def test_rows_carry_the_asset_type_that_another_process_gave(site: Site, count: int) -> None:
    ours, theirs = await site.writer(), await site.writer()
    await site.commit(ours, site.batch())
    await site.commit(theirs, retyped(site, "pump"))
    again = site.batch(count, 10)
    if count < 256:
        assert await site.at_once(ours, again) is None
    await site.commit(ours, again)
    assert set((await types_of_rows(site))[6::5]) == {"pump"}


async def test_an_entity_that_changes_during_a_transaction_that_relied_on_it_is_looked_up_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = await site.writer(), await site.writer()
    await site.commit(ours, site.batch())
    copy, copied = Writer.copy_history, 0

    async def crossed(self: Writer, columns: Sequence[str], octets: bytes) -> None:
        nonlocal copied
        copied += 1
        await copy(self, columns, octets)
        if copied == 1:
            await site.commit(theirs, retyped(site, "pump"))

    monkeypatch.setattr(Writer, "copy_history", crossed)
    [written] = await site.commit(ours, site.batch(300, 10))
    assert (copied, written.repeated, written.answer.count(ItemState.STORED)) == (3, False, 300)
    types = await types_of_rows(site)
    assert len(types) == 5 + 1 + 300
    rows = await site.database.fetch(
        "SELECT count(*) AS n FROM entity_attributes WHERE entity_id = 0 AND asset_type_id IS NOT NULL"
    )
    assert rows[0]["n"] == 1 + 60  # the row of the other process, and every later one of ours


async def test_an_update_raises_its_slots_number_once_and_an_insert_does_not(site: Site) -> None:
    writer = await site.writer()
    slot = f"SELECT number FROM entity_changes WHERE slot = {site.tenant.tenant_id % 64}"
    await site.commit(writer, site.batch())
    assert await site.database.value(slot) == 0
    writes = numbered(5, 10)
    for write in writes:
        write.asset_type = "pump"
    await site.commit(writer, batch_of(site.tenant, writes))
    assert await site.database.value(slot) == 1
    async with transaction(site, "UPDATE entities SET row_version = row_version + 1"):
        pass
    assert await site.database.value(slot) == 1
    assert await site.database.value("SELECT sum(number) FROM entity_changes") == 1


async def test_at_once_stores_what_the_other_way_stores(site: Site) -> None:
    writer = await site.writer()

    def boundaries(first: int) -> list[pb2.AttributeWrite]:
        writes = [one(n % 3, f"k{n}", 0, first) for n in range(len(BOUNDARIES))]
        for write, value in zip(writes, BOUNDARIES, strict=True):
            write.value.CopyFrom(AttributeValue(**value))
            write.asset_type = "pump"
        writes[1].source_type = "Counter64"
        writes.append(one(1, "k2", float("nan"), first))  # refused
        return writes

    [first] = await site.commit(writer, batch_of(site.tenant, boundaries(1)))
    assert first.token is not None
    second = batch_of(site.tenant, boundaries(1))
    [written] = await site.at_once(writer, second)
    assert (written.answer.states, written.answer.refusals) == (first.answer.states, first.answer.refusals)
    assert written.token.lsn > first.token.lsn
    stored = [tuple(row) for row in await site.database.fetch(HISTORY, site.tenant.tenant_id)]
    assert len(stored) == 2 * len(BOUNDARIES)
    assert sorted(stored[len(BOUNDARIES) :], key=str) == sorted(stored[: len(BOUNDARIES)], key=str)
    answer = await site.database.fetch("SELECT result FROM ingest_requests WHERE request_id = $1", second.request_id)
    assert answer[0]["result"] == written.answer.encode()


async def test_the_ledger_of_a_transaction_at_once_balances_also_when_its_sums_wrap(site: Site) -> None:
    writer = await site.writer()
    await site.commit(writer, batch_of(site.tenant, [one(7, "a", n, n) for n in range(3)]))
    await site.at_once(writer, *(batch_of(site.tenant, [one(7, "a", n, 10 + n) for n in range(128)]) for _ in range(3)))
    [_, said] = await site.database.fetch(LEDGER)
    rows = await site.database.fetch("SELECT row_version, shard FROM entity_attributes ORDER BY 1 OFFSET 3")
    total = sum(row["row_version"] for row in rows)
    assert total > 2**63
    assert (said["changed"], {said["shard"]}) == (384, {row["shard"] for row in rows})
    assert said["total"] == (total + 2**63) % 2**64 - 2**63
    assert [row["row_version"] - said["row_version"] for row in rows] == list(range(384))
    assert await site.database.value("SELECT last_sequence FROM ingest_writers") == await site.database.value(
        "SELECT max(sequence) FROM ingest_batches"
    )


async def test_a_repeat_does_nothing_at_once_and_gets_the_first_answer(site: Site) -> None:
    writer = await site.writer()
    await site.commit(writer, site.batch())
    batch = site.batch(5, 10)
    [first] = await site.at_once(writer, batch)
    assert await site.at_once(writer, batch) is None
    [again] = await site.commit(writer, batch)
    assert (again.repeated, again.answer) == (True, first.answer)
    assert await site.database.value("SELECT count(*) FROM entity_attributes") == 10


async def test_what_is_new_or_a_delete_is_not_committed_at_once(site: Site) -> None:
    writer = await site.writer()
    await site.commit(writer, site.batch())
    assert writer.at_once([batch_of(site.tenant, [one(99, "a", 1)])]) is None  # the entity
    assert writer.at_once([batch_of(site.tenant, [one(1, "never", 1)])]) is None  # the key
    assert writer.at_once([retyped(site, "pump")]) is None
    other = one(1, "a", 1)
    other.value.CopyFrom(AttributeValue(bool_value=True))
    assert writer.at_once([batch_of(site.tenant, [other])]) is None  # a type that the key never had
    same = site.batch(1, 20)
    assert writer.at_once([same, same]) is None


async def test_a_lock_that_a_delete_holds_is_not_waited_for(site: Site) -> None:
    writer = await site.writer()
    await site.commit(writer, site.batch())
    lock = f"SELECT pg_advisory_xact_lock(hashtextextended('atlas.entities', {site.tenant.tenant_id % 64}))"
    async with transaction(site, lock):
        assert await site.at_once(writer, site.batch(5, 10)) is None
    assert await site.at_once(writer, site.batch(5, 10)) is not None
    assert await site.database.value("SELECT count(*) FROM entity_attributes") == 10


async def test_a_request_that_another_is_just_storing_is_left_to_the_way_that_can_wait(site: Site) -> None:
    writer = await site.writer()
    await site.commit(writer, site.batch())
    batch = site.batch(5, 10)
    values = f"{site.tenant.tenant_id}, '{batch.request_id}', decode(repeat('00', 32), 'hex'), ''"
    taken = f"INSERT INTO ingest_requests VALUES ({values})"
    async with transaction(site, taken):
        assert await site.at_once(writer, batch) is None
    assert writer.usable
    assert await site.at_once(writer, batch) is not None


async def test_a_transaction_at_once_that_is_cut_off_has_an_unknown_outcome_and_ends_its_writer(site: Site) -> None:
    store = await site.store()
    writer, next_writer = await site.writer(store), await site.writer(store)
    await site.commit(writer, site.batch())
    batch = site.batch(5, 10)
    async with transaction(site, "LOCK TABLE ingest_requests IN EXCLUSIVE MODE"):
        with pytest.raises(OutcomeUnknown):
            await site.at_once(writer, batch, limit=timedelta(milliseconds=30))
        assert not writer.usable
    [repeated] = await site.commit(next_writer, batch)
    assert repeated.answer.count(ItemState.STORED) == 5
    assert await site.database.value("SELECT count(*) FROM entity_attributes") == 10


async def test_a_writer_that_is_not_at_its_place_in_the_ledger_commits_nothing_at_once(site: Site) -> None:
    writer = await site.writer()
    await site.commit(writer, site.batch())
    await site.database.fetch("UPDATE ingest_writers SET last_sequence = last_sequence + 5")
    with pytest.raises(WrongServer):
        await site.at_once(writer, site.batch(5, 10))
    assert not writer.usable
    assert await site.database.value("SELECT count(*) FROM entity_attributes") == 5


async def test_what_one_epoch_knew_is_not_relied_on_in_the_next(site: Site) -> None:
    store = await site.store()
    await site.commit(await site.writer(store), site.batch())
    await site.database.fetch("UPDATE epochs SET epoch = 2")
    assert (await site.writer(store)).at_once([site.batch(5, 10)]) is None
