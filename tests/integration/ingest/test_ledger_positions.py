"""A read as of a token gives what was delivered up to it: by the ledger, on whichever way the rows were committed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlaskit.errors import InvalidRequest
from atlaskit.model import entity_id_of
from atlaskit.position import Token
from atlaskit.postgres.pool import Pool, open_pool
from atlaskit.postgres.reader import reading
from doubles.writes import BEGIN, one, rows, series

LIMIT = timedelta(seconds=5)
# Of the transactions that wrote values; others register entities and keys.
PLACED = (
    "SELECT wal_position FROM ingest_batches WHERE jsonb_path_exists(entries, '$[*][0] ? (@ == \"entity_attributes\")')"
)


@pytest.fixture
async def pool(database: Any) -> AsyncIterator[Pool]:
    async with open_pool(database.dsn("atlas_reader")) as pool:
        yield pool


class Entity:
    """One entity that is written and read."""

    def __init__(self, ingest: Any, pool: Pool, tenant: int, number: int) -> None:
        self.ingest, self.pool, self.tenant, self.number = ingest, pool, tenant, number

    async def write(self, *items: pb2.AttributeWrite) -> Token:
        answer = await self.ingest.writes.WriteAttributes(rows(self.tenant, items), timeout=10)
        return Token.parse(answer.write_token, "token")

    async def delete(self, attribute: str = "", second: int | None = None) -> Token:
        item = pb2.AttributeDelete(entity_key="e", attribute_key=attribute)
        if second is not None:
            item.event_time.FromDatetime(BEGIN + timedelta(seconds=second))
        request = rows(self.tenant, [])
        wanted = pb2.DeleteAttributesRequest(tenant_id=self.tenant, request_id=request.request_id, deletes=[item])
        return Token.parse((await self.ingest.writes.DeleteAttributes(wanted, timeout=10)).write_token, "token")

    async def as_of(self, token: Token, *names: str, second: int | None = None) -> dict[str, Any] | None:
        at = None if second is None else BEGIN + timedelta(seconds=second)
        async with reading(self.pool, (self.tenant,), LIMIT) as reader:
            await reader.probe_replica()  # sets the tenant
            state = await reader.entity_as_of_position(self.number, token.lsn, attributes=names, as_of=at)
        return None if state is None else {one.attribute_key: one.value.value for one in state.values}


@pytest.fixture
async def entity(ingest: Any, database: Any, pool: Pool) -> Entity:
    tenant = await ingest.tenant(spread=1)
    [row] = await database.fetch("SELECT entity_hash_key FROM tenants WHERE tenant_id = $1", tenant)
    return Entity(ingest, pool, tenant, entity_id_of(row[0], "e"))


async def test_each_token_shows_what_was_delivered_up_to_it(entity: Entity) -> None:
    first = await entity.write(one("e", "a", 1, 5), one("e", "b", 7, 5))
    corrected = await entity.write(one("e", "a", 2, 5))
    later = await entity.write(one("e", "a", 3, 9))
    shown = {first: {"a": 1, "b": 7}, corrected: {"a": 2, "b": 7}, later: {"a": 3, "b": 7}}
    for token, values in shown.items():
        assert await entity.as_of(token) == values
        assert await entity.as_of(token, "a") == {"a": values["a"]}
    assert await entity.as_of(later, second=5) == {"a": 2, "b": 7}
    assert await entity.as_of(first, "a", second=4) == {}


async def test_a_delete_hides_only_from_its_own_token_on(entity: Entity) -> None:
    await entity.write(one("e", "a", 1, 5), one("e", "b", 7, 5))
    whole = await entity.write(one("e", "a", 2, 6))
    of_time = await entity.delete("a", 6)
    of_attribute = await entity.delete("a")
    again = await entity.write(one("e", "a", 4, 5))
    assert await entity.as_of(whole) == {"a": 2, "b": 7}
    assert await entity.as_of(of_time) == {"a": 1, "b": 7}
    assert await entity.as_of(of_attribute) == {"b": 7}
    assert await entity.as_of(again) == {"a": 4, "b": 7}


async def test_an_entity_that_was_deleted_and_came_back_has_what_each_token_covers(entity: Entity) -> None:
    before = await entity.write(one("e", "a", 1, 5))
    await entity.delete()
    assert await entity.as_of(before) is None  # what an entity is besides its values is told as it is now
    back = await entity.write(one("e", "b", 2, 5))
    assert await entity.as_of(before) == {"a": 1}
    assert await entity.as_of(back) == {"b": 2}


async def test_a_token_lies_between_its_write_and_the_next_on_every_way_to_commit(
    entity: Entity, database: Any
) -> None:
    """Small groups, and batches that are copied: each ledger row stands below the token of its own write alone."""
    tokens = []
    for number in range(8):
        if number % 2:
            tokens.append(await entity.write(one("e", "a", number, number)))
        else:
            request = series(entity.tenant, 2_000, 10_000 * number)
            answer = await entity.ingest.writes.WriteAttributes(request, timeout=10)
            tokens.append(Token.parse(answer.write_token, "token"))
    positions = await database.fetch(PLACED)
    placed = [row[0] for row in positions]
    assert len(placed) == len(tokens)
    for number, token in enumerate(tokens):
        assert sum(position < token.lsn.bytes for position in placed) == number + 1


async def test_what_is_not_committed_yet_comes_in_or_stays_out_by_its_ledger_row(entity: Entity, database: Any) -> None:
    """A transaction that wrote its ledger row below a token and is committed above it: it is shown once it is there."""
    await entity.write(one("e", "a", 1, 5))
    held = await asyncpg.connect(database.primary.dsn(database=database.name))
    try:
        transaction = held.transaction()
        await transaction.start()
        await held.execute(
            "INSERT INTO entity_attributes (tenant_id, entity_id, attribute_id, shard, value_type, value_double,"
            " event_time, row_version) SELECT tenant_id, entity_id, attribute_id, shard, value_type, 9,"
            " event_time, (row_version >> 55 << 55) + (900 << 17) FROM entity_attributes WHERE tenant_id = $1 LIMIT 1",
            entity.tenant,
        )
        await held.execute(
            "INSERT INTO ingest_batches (writer, sequence, transaction_number, row_version, entries)"
            " SELECT writer + 1000, 1, 900, (row_version >> 55 << 55) + (900 << 17), entries FROM ingest_batches"
            " LIMIT 1"
        )
        token = await entity.write(one("e", "b", 2, 5))
        assert await entity.as_of(token) == {"a": 1, "b": 2}
        await transaction.commit()
    finally:
        await held.close()
    assert await entity.as_of(token) == {"a": 9, "b": 2}


async def test_a_token_from_before_everything_that_the_ledger_keeps_is_refused(entity: Entity, database: Any) -> None:
    old = await entity.write(one("e", "a", 1, 5))
    new = await entity.write(one("e", "a", 2, 5))
    operator = await asyncpg.connect(database.primary.dsn(database=database.name))
    try:
        await operator.execute(
            "SET session_replication_role = replica"
        )  # as a partition that is dropped asks no trigger
        await operator.execute("DELETE FROM ingest_batches WHERE wal_position < $1", old.lsn.bytes)
    finally:
        await operator.close()
    assert await entity.as_of(new) == {"a": 2}
    with pytest.raises(InvalidRequest) as refused:
        await entity.as_of(old)
    assert (refused.value.field, refused.value.code) == ("as_of_token", "TOKEN_TOO_OLD")
