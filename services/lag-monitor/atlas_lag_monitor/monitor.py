"""All the loops of a monitor, under one task group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from uuid import uuid4

from atlaskit.clickhouse.pool import ClickHouse
from atlaskit.clock import Clock
from atlaskit.model import Source

from atlas_lag_monitor.board import Board
from atlas_lag_monitor.copies import poll_olap, poll_replica
from atlas_lag_monitor.evidence import Evidence, Poll
from atlas_lag_monitor.primary import Primary
from atlas_lag_monitor.registrar import Registrar
from atlas_lag_monitor.settings import Settings
from atlas_lag_monitor.supervision import kept_up


@asynccontextmanager
async def monitoring(settings: Settings, clickhouse: ClickHouse, clock: Clock) -> AsyncIterator[Board]:
    """Yield the board of a new monitor; its loops run until the block ends, whatever stores are down."""
    evidence = Evidence(uuid4(), settings.primary_mode)
    board = Board(evidence, clock)
    primary = Primary(settings, board, clock)
    registrar = Registrar(settings, evidence, clickhouse)

    def subject(name: str) -> Callable[[str], None]:
        return lambda problem: evidence.tell(name, problem)

    def copy(source: Source) -> Callable[[str], None]:
        return lambda problem: evidence.polled(source, Poll(reachable=False, problem=problem))

    loops: dict[str, tuple[Callable[[], Awaitable[object]], Callable[[str], None]]] = {
        "fences": (primary.fences, subject("primary")),
        "beats": (primary.beats, subject("beats")),
        "primary-beats": (primary.primary_beats, subject("primary beats")),
        "epoch": (registrar.run, subject("epoch")),
        "olap": (lambda: poll_olap(clickhouse, settings, evidence), copy(Source.OLAP)),
        "changes": (board.log_changes, subject("board")),
    }
    if (replica := settings.replica_dsn) is not None:
        loops["replica"] = (lambda: poll_replica(replica, settings, evidence), copy(Source.REPLICA))
    with _alone():
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(kept_up(name, attempt, failed), name=f"lag-{name}")
                for name, (attempt, failed) in loops.items()
            ]
            try:
                yield board
            finally:
                for task in tasks:
                    task.cancel()


@contextmanager
def _alone() -> Iterator[None]:
    """Let a single error leave the task group as itself: what the block raised has a meaning to who called."""
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from group.exceptions[0].__cause__
        raise
