"""What is remembered with a committed offset, and where to read again after ClickHouse was restarted. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    """The greatest beat that arrived of each monitor before the committed offset, and earlier places, oldest first.

    `at` is when it was made: ClickHouse was alive then, and nobody knows for how long after.
    """

    seen: Mapping[UUID, int]
    marks: tuple[Mark, ...]
    at: int

    def encoded(self) -> str:
        """Return the metadata of a commit: below 1,600 bytes, of the 4,000 that fit."""
        kept = {
            "version": _VERSION,
            "at": self.at,
            "seen": {str(monitor): number for monitor, number in self.seen.items()},
            "marks": [[mark.offset, mark.at] for mark in self.marks],
        }
        return orjson.dumps(kept).decode()


NOTHING = Checkpoint({}, (), 0)


def decoded(metadata: str) -> Checkpoint:
    """Return the checkpoint of a commit; one that cannot be read knows nothing, which only makes more be read again."""
    try:
        kept = orjson.loads(metadata)
        if kept["version"] != _VERSION:
            return NOTHING
        return Checkpoint(
            {UUID(monitor): int(number) for monitor, number in kept["seen"].items()},
            tuple(Mark(int(offset), int(at)) for offset, at in kept["marks"]),
            int(kept["at"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return NOTHING


def advanced(kept: Checkpoint, seen: Mapping[UUID, int], offset: int, now: int) -> Checkpoint:
    """Return the checkpoint of a commit of `offset` now.

    It has a mark there if the last one is older than `MARK_PERIOD`, and lacks those that nobody needs any more.
    """
    added = [*kept.marks]
    if not added or now - added[-1].at >= MARK_PERIOD.total_seconds():
        added.append(Mark(offset, now))
    old = [mark for mark in added if _beyond_doubt(mark, now)]
    return Checkpoint(seen, (*old[-1:], *(mark for mark in added if not _beyond_doubt(mark, now))), now)


def beyond_doubt(kept: Checkpoint) -> Checkpoint:
    """Return the checkpoint with only the newest place whose rows no restart of the server can have lost, if any.

    The server's life is known until the checkpoint was made, so ages are those of that time: a server that has been
    away for an hour lost what it took in its last minutes. Younger places have to be forgotten before the next commit:
    rows that are inserted again are as young as their repetition.
    """
    return replace(kept, marks=tuple(mark for mark in kept.marks if _beyond_doubt(mark, kept.at))[-1:])


def _beyond_doubt(mark: Mark, at: int) -> bool:
    return at - mark.at >= DOUBT.total_seconds()
