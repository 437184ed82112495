"""Groups of calls that share a transaction: committed by a writer, and every call answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeAlias

import structlog
from atlaskit.batch import WriteBatch, Written
from atlaskit.errors import AtlasError, Unavailable
from atlaskit.telemetry.names import Attribute
from opentelemetry.trace import Span

from atlas_ingest.fair_queue import Entry

log = structlog.get_logger(__name__)

Outcome: TypeAlias = Written | AtlasError
# Commits within a limit and takes its number by itself; None: nothing was done.
AtOnce: TypeAlias = Callable[[timedelta], Awaitable[Sequence[Outcome] | None]]


class GroupWriter(Protocol):
    """What commits a group; for one task at a time."""

    @property
    def usable(self) -> bool:
        """False once it must be replaced."""
        ...

    def at_once(self, batches: Sequence[WriteBatch]) -> AtOnce | None:
        """Return what commits these batches and takes a number by itself; None if only `commit` can."""
        ...

    async def reserve(self) -> int:
        """Return the number of the next transaction."""
        ...

    async def commit(self, number: int, batches: Sequence[WriteBatch], limit: timedelta) -> Sequence[Outcome]:
        """Return what became of each batch; or raise, and all of them failed so."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """A batch that waits for its answer."""

    batch: WriteBatch
    until: float  # the loop's clock: nobody waits for the answer after it
    answered: asyncio.Future[Written]


Group: TypeAlias = Sequence[Entry[Call]]


async def committed(writer: GroupWriter, way: int | AtOnce, group: Group, limit: timedelta, span: Span) -> int:
    """Commit the group as the transaction of a number, or at once, answer everyone, and return the rows: 0 if none."""
    try:
        outcomes = await _outcomes(writer, way, [entry.item.batch for entry in group], limit)
    except AtlasError as error:
        span.set_attribute(Attribute.ERROR_TYPE, error.reason)
        log.warning("a group was not committed", calls=len(group), problem=str(error))
        fail(group, error)
        return 0
    except BaseException as error:
        log.error("a writer failed", calls=len(group), problem=repr(error))
        fail(group, Unavailable("the writer failed; repeat the call with the same request_id"))
        raise
    for entry, outcome in zip(group, outcomes, strict=True):
        _answer(entry, outcome)
    return sum(entry.rows for entry in group)


async def _outcomes(
    writer: GroupWriter, way: int | AtOnce, batches: Sequence[WriteBatch], limit: timedelta
) -> Sequence[Outcome]:
    if not isinstance(way, int):
        outcomes = await way(limit)
        if outcomes is not None:
            return outcomes
        way = await writer.reserve()
    return await writer.commit(way, batches, limit)


def _answer(entry: Entry[Call], outcome: Written | AtlasError) -> None:
    if isinstance(outcome, AtlasError):
        fail([entry], outcome)
    elif not entry.item.answered.done():
        entry.item.answered.set_result(outcome)


def fail(group: Group, error: AtlasError) -> None:
    """Answer everyone in the group, who has no answer yet, with the error."""
    for entry in group:
        if not entry.item.answered.done():
            entry.item.answered.set_exception(error)
