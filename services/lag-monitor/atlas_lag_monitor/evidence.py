"""All that the monitor knows, and the rules by which it comes and goes. No I/O, no clock: instants are handed in."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from atlaskit.clock import BootInstant
from atlaskit.freshness.fences import Beat, Fence
from atlaskit.freshness.reading import AgedBeat, AgedFence, CopyLag, PrimaryMode, Reading
from atlaskit.model import Source
from atlaskit.position import SourceIdentity
from atlaskit.postgres.probes import PrimaryLook

from atlas_lag_monitor.markers import Memory

MARKERS_IN_A_READING = 64


@dataclass(frozen=True, slots=True)
class Poll:
    """A copy as last polled. `covered` None: unknown, never now. It only routes."""

    reachable: bool
    problem: str = ""
    covered: BootInstant | None = None
    lag_bytes: int | None = None


def unsafe(look: PrimaryLook, mode: PrimaryMode) -> str:
    """Return why this server's acknowledgements prove nothing, or an empty text when they do."""
    if look.in_recovery or look.identity is None or look.flushed is None:
        return "is in recovery: not a primary"
    if not look.fsync:
        return "runs with fsync off: an acknowledged commit may be lost"
    if look.synchronous_commit == "off":
        return "runs with synchronous_commit off: an acknowledged commit may be lost"
    if mode is PrimaryMode.QUORUM and (look.synchronous_commit == "local" or not look.has_synchronous_standbys):
        return "has mode quorum but no synchronous standbys: an acknowledged commit may be lost"
    return ""


class Evidence:
    """Fences, beats and polls of one primary on one timeline.

    `generation` counts how often all was dropped; what was asked for in an earlier one is not taken any more.
    """

    def __init__(self, monitor: UUID, mode: PrimaryMode) -> None:
        self.monitor = monitor
        self.mode = mode
        self.identity: SourceIdentity | None = None
        self.epoch: int | None = None
        self.generation = 0
        self._fences: Memory[Fence] = Memory()
        self._beats: Memory[Beat] = Memory()
        self._primary_beat: BootInstant | None = None
        self._polls: dict[Source, Poll] = {}
        self._problems: dict[str, str] = {}

    def saw_primary(self, generation: int, asked: BootInstant, look: PrimaryLook) -> None:
        """Take what the primary said to a question of that instant: a fence, or the reason why nothing is proven."""
        if generation != self.generation:
            return
        self.tell("primary", unsafe(look, self.mode))
        if self._problems.get("primary") or look.identity is None or look.flushed is None:
            self._become(None)
            return
        if look.identity != self.identity:
            self._become(look.identity)
        try:
            self._fences.add(Fence(asked, look.flushed))
        except ValueError:
            # The log became shorter under the same name, as when old files were put back: nothing of before holds.
            self._become(look.identity)

    def beat_committed(self, generation: int, of: SourceIdentity, beat: Beat) -> None:
        """Take a beat whose commit was acknowledged without a warning."""
        if generation != self.generation or of != self.identity or self.epoch is None:
            return
        try:
            self._beats.add(beat)
        except ValueError:
            self.drop()  # as for a fence: the log became shorter

    def primary_acknowledged(self, generation: int, of: SourceIdentity, asked: BootInstant) -> None:
        """Take a beat of the primary that was sent at that instant and acknowledged without a warning."""
        if generation == self.generation and of == self.identity:
            self._primary_beat = asked

    def registered(self, of: SourceIdentity, epoch: int | None) -> None:
        """Take the number of the epoch, or with None withdraw it; beats of another number are dropped."""
        if of == self.identity and epoch != self.epoch:
            self._beats.clear()
            self.epoch = epoch

    def polled(self, copy: Source, poll: Poll) -> None:
        """Take the result of a poll."""
        self._polls[copy] = poll

    def tell(self, subject: str, problem: str) -> None:
        """Keep what is wrong with a subject, for people; an empty text: nothing any more."""
        if problem:
            self._problems[subject] = problem
        else:
            self._problems.pop(subject, None)

    def drop(self) -> None:
        """Drop every proof: the clock that they rest on is in doubt. What the primary is stays known."""
        self.generation += 1
        self._fences.clear()
        self._beats.clear()
        self._primary_beat = None
        self._polls.clear()

    def fences(self) -> tuple[Fence, ...]:
        """Return the usable fences, newest first."""
        if self.mode is PrimaryMode.SINGLE:
            return self._fences.newest_first()
        return tuple(fence for fence in self._fences.newest_first() if self._usable(fence.instant))

    def beats(self) -> tuple[Beat, ...]:
        """Return the usable beats, newest first."""
        return tuple(beat for beat in self._beats.newest_first() if self._usable(beat.instant))

    def reading(self, now: BootInstant) -> Reading:
        """Return all of it in ages at that instant, each rounded up."""
        known = self.identity is not None
        ceiling = None if self.mode is PrimaryMode.SINGLE else self._primary_beat
        proves = known and (self.mode is PrimaryMode.SINGLE or ceiling is not None)
        fences = self._fences.up_to(ceiling, MARKERS_IN_A_READING) if proves else ()
        beats = self._beats.up_to(ceiling, MARKERS_IN_A_READING) if proves else ()
        return Reading(
            identity=self.identity,
            epoch=self.epoch,
            fences=tuple(AgedFence(fence.lsn, fence.instant.age_at(now)) for fence in fences),
            beats=tuple(AgedBeat(beat.number, beat.lsn, beat.instant.age_at(now)) for beat in beats),
            monitor_id=str(self.monitor),
            primary_mode=self.mode,
            primary_beat_age=None if self._primary_beat is None else self._primary_beat.age_at(now),
            copies={
                Source.PRIMARY: self._primary(fences, now),
                **{copy: _lag(poll, now) for copy, poll in self._polls.items()},
            },
        )

    def _primary(self, fences: tuple[Fence, ...], now: BootInstant) -> CopyLag:
        problem = "; ".join(f"{subject}: {text}" for subject, text in sorted(self._problems.items()))
        reachable = self.identity is not None and "primary" not in self._problems
        return CopyLag(fences[0].instant.age_at(now) if fences else None, reachable, problem)

    def _usable(self, instant: BootInstant) -> bool:
        if self.mode is PrimaryMode.SINGLE:
            return True
        return self._primary_beat is not None and instant <= self._primary_beat

    def _become(self, identity: SourceIdentity | None) -> None:
        if identity is None and self.identity is None:
            return
        self.drop()
        self.identity, self.epoch = identity, None


def _lag(poll: Poll, now: BootInstant) -> CopyLag:
    return CopyLag(
        lag=None if poll.covered is None else poll.covered.age_at(now),
        reachable=poll.reachable,
        problem=poll.problem,
        lag_bytes=poll.lag_bytes,
    )
