"""What is remembered with a committed offset, and where to read again after ClickHouse was restarted. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import orjson

# A server that stopped may have lost parts that were acknowledged less than this before.
DOUBT = timedelta(minutes=10)
MARK_PERIOD = timedelta(seconds=30)
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """An offset behind a published beat, and when that was: seconds since 1970, by this machine's wall clock."""

    offset: int
    at: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The greatest beat that arrived of each monitor before the committed offset, and earlier places, oldest first."""

    seen: Mapping[UUID, int]
    marks: tuple[Mark, ...]

    def encoded(self) -> str:
        """Return the metadata of a commit: below 1,500 bytes, of the 4,000 that fit."""
        kept = {
            "version": _VERSION,
            "seen": {str(monitor): number for monitor, number in self.seen.items()},
            "marks": [[mark.offset, mark.at] for mark in self.marks],
        }
        return orjson.dumps(kept).decode()


NOTHING = Checkpoint({}, ())


def decoded(metadata: str) -> Checkpoint:
    """Return the checkpoint of a commit; one that cannot be read knows nothing, which only makes more be read again."""
    try:
        kept = orjson.loads(metadata)
        if kept["version"] != _VERSION:
            return NOTHING
        return Checkpoint(
            {UUID(monitor): int(number) for monitor, number in kept["seen"].items()},
            tuple(Mark(int(offset), int(at)) for offset, at in kept["marks"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return NOTHING


def with_mark(marks: Sequence[Mark], offset: int, now: int) -> tuple[Mark, ...]:
    """Return the marks with this place, if the last one is older than `MARK_PERIOD`, without those nobody needs."""
    added = [*marks]
    if not added or now - added[-1].at >= MARK_PERIOD.total_seconds():
        added.append(Mark(offset, now))
    old = [mark for mark in added if _beyond_doubt(mark, now)]
    return (*old[-1:], *(mark for mark in added if not _beyond_doubt(mark, now)))


def reread_from(marks: Sequence[Mark], now: int) -> int | None:
    """Return the newest place whose rows are beyond doubt, or None: then everything has to be read again."""
    return max((mark.offset for mark in marks if _beyond_doubt(mark, now)), default=None)


def _beyond_doubt(mark: Mark, now: int) -> bool:
    return now - mark.at >= DOUBT.total_seconds()
