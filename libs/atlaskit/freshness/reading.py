"""What the lag monitor says, as ages, and what a router makes of it, as instants of its own clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from atlaskit.clock import BootInstant, asked_at
from atlaskit.freshness.fences import Beat, Fence
from atlaskit.lazily import Lazily
from atlaskit.model import Source
from atlaskit.position import Lsn, SourceIdentity


class PrimaryMode(StrEnum):
    """How promotion of a standby is guarded, which decides what a read of the primary proves."""

    SINGLE = "single"
    QUORUM = "quorum"


@dataclass(frozen=True, slots=True)
class AgedFence:
    """A fence as it travels."""

    lsn: Lsn
    age: timedelta


@dataclass(frozen=True, slots=True)
class AgedBeat:
    """A beat as it travels."""

    number: int
    lsn: Lsn
    age: timedelta


@dataclass(frozen=True, slots=True)
class CopyLag:
    """A copy as last polled; for routing and for people, never for a claim. `lag` None: unknown, never zero."""

    lag: timedelta | None
    reachable: bool
    problem: str = ""
    lag_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """All that the monitor can prove or has measured, when its ages were computed. Sequences are newest first."""

    identity: SourceIdentity | None = None
    epoch: int | None = None
    fences: Sequence[AgedFence] = ()
    beats: Sequence[AgedBeat] = ()
    monitor_id: str = ""
    primary_mode: PrimaryMode | None = None
    primary_beat_age: timedelta | None = None
    copies: Mapping[Source, CopyLag] = field(default_factory=dict)
    # Earlier epochs that are part of this one's history, each up to a position; what is missing is not known to be.
    ancestors: Mapping[int, Lsn] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Known:
    """A reading in instants of this process's clock. `asked` is when the question that it answers was sent."""

    asked: BootInstant
    identity: SourceIdentity | None = None
    epoch: int | None = None
    fences: Sequence[Fence] = ()
    beats: Sequence[Beat] = ()
    monitor_id: str = ""
    primary_mode: PrimaryMode | None = None
    primary_beat: BootInstant | None = None
    copies: Mapping[Source, CopyLag] = field(default_factory=dict)
    ancestors: Mapping[int, Lsn] = field(default_factory=dict)

    def usable(self, now: BootInstant, limit: timedelta) -> bool:
        """Tell whether the question is no older than `limit`; beyond it everything is unknown."""
        return self.asked.age_at(now) <= limit


def known_from(reading: Reading, question: BootInstant) -> Known:
    """Return what the reading proves on this clock, where `question` is when the nonce it echoes was sent."""
    return Known(
        asked=question,
        identity=reading.identity,
        epoch=reading.epoch,
        fences=Lazily(reading.fences, lambda fence: Fence(asked_at(question, fence.age), fence.lsn)),
        beats=Lazily(reading.beats, lambda beat: Beat(beat.number, asked_at(question, beat.age), beat.lsn)),
        monitor_id=reading.monitor_id,
        primary_mode=reading.primary_mode,
        primary_beat=None if reading.primary_beat_age is None else asked_at(question, reading.primary_beat_age),
        copies=reading.copies,
        ancestors=reading.ancestors,
    )
