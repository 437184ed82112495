from __future__ import annotations

from datetime import timedelta

import asyncpg
import pytest
from atlas_query_router.backends import Call
from atlas_query_router.lag_board import LagBoard
from atlas_query_router.postgres_backends import PrimaryBackend, ReplicaBackend
from atlas_query_router.questions import EntityQuestion
from atlaskit.clock import SystemClock
from atlaskit.model import Source, TypedValue, ValueType
from atlaskit.postgres.pool import Pool, open_pool
from atlaskit.postgres.tenants import Tenants
from atlaskit.rpc.deadline import Deadline

from .seeded import Database
from .test_reader import NOON

CLOCK = SystemClock()


@pytest.mark.parametrize("source", [Source.PRIMARY, Source.REPLICA])
async def test_the_probe_is_an_earlier_statement_of_the_same_transaction_on_the_same_connection(
    database: Database, source: Source
) -> None:
    tenant_id = await database.tenant("numbered")
    await database.entity(tenant_id, 1)
    await database.value(tenant_id, 1, "k", NOON, TypedValue(ValueType.INT64, 1))
    await database.replicated()
    dsn = database.primary() if source is Source.PRIMARY else database.replica()
    board = LagBoard(CLOCK, timedelta(seconds=1))
    async with open_pool(dsn, max_size=2) as pool, open_pool(database.primary(), max_size=1) as primary:
        tenant = await Tenants(primary).get(tenant_id)
        seen = await recorded(pool)
        backend = PrimaryBackend(pool, board, CLOCK) if source is Source.PRIMARY else ReplicaBackend(pool, board)
        call = Call(tenant, CLOCK.boot(), Deadline.after(timedelta(seconds=10)))
        reply = await backend.read(EntityQuestion(tenant_id, 1), call, lambda _: True)
    assert reply.answered
    probe = next(number for number, (_, text) in enumerate(seen) if f"probe {source}" in label(text))
    data = next(number for number, (_, text) in enumerate(seen) if label(text) == "data")
    begin = next(number for number, (_, text) in enumerate(seen) if text.startswith("BEGIN"))
    assert begin < probe < data
    assert len({connection for connection, text in seen[begin : data + 1]}) == 1
    assert not any(text.startswith(("COMMIT", "ROLLBACK")) for _, text in seen[begin:data])
    assert "READ COMMITTED" in seen[begin][1]
    assert "pg_last_wal_replay_lsn" not in seen[data][1]


async def recorded(pool: Pool) -> list[tuple[int, str]]:
    """Note every statement of every connection that the pool will lend, in order."""
    seen: list[tuple[int, str]] = []
    connections = [await pool._pool.acquire() for _ in range(2)]
    for number, connection in enumerate(connections):

        def note(record: asyncpg.connection.LoggedQuery, number: int = number) -> None:
            seen.append((number, record.query.strip()))

        connection.add_query_logger(note)
    for connection in connections:
        await pool._pool.release(connection)
    seen.clear()
    return seen


def label(text: str) -> str:
    if "pg_last_wal_replay_lsn" in text and "pg_stat_wal_receiver" in text:
        return "probe replica"
    if "pg_current_wal_flush_lsn" in text and "system_identifier" in text:
        return "probe primary"
    return "data" if "FROM entities" in text else ""
