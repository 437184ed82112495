"""All that the monitor knows, and the rules by which it comes and goes. No I/O, no clock: instants are handed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from atlaskit.clock import BootInstant
from atlaskit.freshness.fences import Beat, Fence
from atlaskit.freshness.reading import AgedBeat, AgedFence, CopyLag, PrimaryMode, Reading
from atlaskit.model import Source
from atlaskit.position import Lsn, SourceIdentity
from atlaskit.postgres.probes import PrimaryLook

from atlas_lag_monitor.markers import Memory

MARKERS_IN_A_READING = 64
SLOT_LIMIT = timedelta(seconds=10)  # older than this, what was seen of the slot tells nothing
# Values of synchronous_commit with which a commit waits until the synchronous standbys have it on disk.
WAITING = frozenset({"on", "remote_apply"})


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
    quorum = mode is PrimaryMode.QUORUM
    enough = WAITING if quorum else WAITING | {"remote_write", "local"}
    elsewhere = sorted(set(look.synchronous_commit_elsewhere) - enough)
    lacks = {
        "runs with fsync off": not look.fsync,
        "runs with synchronous_commit off": look.synchronous_commit == "off",
        "runs with full_page_writes off": not look.full_page_writes,
        "has mode quorum but no synchronous standbys": quorum
        and (look.synchronous_commit not in WAITING or not look.has_synchronous_standbys),
        f"gives a role or a database synchronous_commit {', '.join(elsewhere)}": bool(elsewhere),
    }
    told = next((lack for lack, found in lacks.items() if found), "")
    return told and f"{told}: an acknowledged commit may be lost"


class Evidence:
    """Fences, beats and polls of one primary on one timeline.

    `generation` counts how often all was dropped; what was asked for in an earlier one is not taken any more.
    """

    def __init__(self, monitor: UUID, mode: PrimaryMode) -> None:
        self.monitor = monitor
        self.mode = mode
        self.identity: SourceIdentity | None = None
        self.epoch: int | None = None
        self.ancestors: Mapping[int, Lsn] = {}
        self.withdrawn: dict[SourceIdentity, str] = {}  # at most one for each epoch there can be
        self.generation = 0
        self._stream = 0
        self._fences: Memory[Fence] = Memory()
        self._beats: Memory[Beat] = Memory()
        self._primary_beat: BootInstant | None = None
        self._slots: tuple[BootInstant, int | None, int | None] | None = None
        self._polls: dict[Source, Poll] = {}
        self._problems: dict[str, str] = {}

    def saw_primary(self, generation: int, asked: BootInstant, look: PrimaryLook) -> None:
        """Take what the primary said to a question of that instant: a fence, or the reason why nothing is proven."""
        if generation != self.generation:
            return
        self.tell("primary", unsafe(look, self.mode) or self._why_withdrawn(look.identity))
        if self._problems.get("primary") or look.identity is None or look.flushed is None:
            self._become(None)
            return
        if look.identity != self.identity:
            self._become(look.identity)
        try:
            self._fences.add(Fence(asked, look.flushed))
        except ValueError as shorter:
            # As when old files were put back: positions of before name other writes now, so none can be proven again.
            self.withdraw(look.identity, f"its log became shorter under the same timeline: {shorter}")

    def beat_committed(self, generation: int, of: SourceIdentity, beat: Beat) -> None:
        """Take a beat whose commit was acknowledged without a warning."""
        if generation != self.generation or of != self.identity or self.epoch is None:
            return
        try:
            self._beats.add(beat)
        except ValueError as shorter:
            self.withdraw(of, f"its log became shorter under the same timeline: {shorter}")  # as for a fence

    def primary_acknowledged(self, generation: int, of: SourceIdentity, asked: BootInstant) -> None:
        """Take a beat of the primary that was sent at that instant and acknowledged without a warning."""
        if generation == self.generation and of == self.identity:
            self._primary_beat = asked

    def registered(self, of: SourceIdentity, epoch: int | None, ancestors: Mapping[int, Lsn] | None = None) -> None:
        """Take the number of the epoch, or with None take it back; beats of another number are dropped."""
        if of != self.identity:
            return
        self.ancestors = {} if epoch is None or ancestors is None else ancestors
        if epoch != self.epoch:
            self._beats.clear()
            self.epoch = epoch

    def withdraw(self, identity: SourceIdentity, because: str) -> None:
        """Prove nothing any more on this cluster and timeline, whatever it says; another timeline begins anew."""
        self.withdrawn.setdefault(identity, because)
        if identity == self.identity:
            self.tell("primary", self._why_withdrawn(identity))
            self._become(None)

    def saw_change_stream(self, generation: int, problem: str) -> None:
        """Take the state of the change stream: a broken one, or another than before, proves no beat of before."""
        self.tell("change stream", problem)
        if problem or generation != self._stream:
            self._beats.clear()
        self._stream = generation

    def saw_slots(self, asked: BootInstant, behind: int | None, held_back: int | None) -> None:
        """Take how many bytes of the log the slot had not confirmed at that instant; None: there is no slot.

        `held_back` are the transactions that the server's slots, whichever is furthest back, keep from vacuum."""
        self._slots = asked, behind, held_back

    def slot_lag(self, now: BootInstant) -> int | None:
        """Return the bytes, unless they were seen too long ago to tell anything; for people only."""
        return self._slots_at(now)[0]

    def held_back(self, now: BootInstant) -> int | None:
        """Return the transactions, likewise."""
        return self._slots_at(now)[1]

    def _slots_at(self, now: BootInstant) -> tuple[int | None, int | None]:
        if self._slots is None or self._slots[0].age_at(now) > SLOT_LIMIT:
            return None, None
        return self._slots[1:]

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
        self._slots = None
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
            ancestors=self.ancestors if known else {},
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
        self.identity, self.epoch, self.ancestors = identity, None, {}

    def _why_withdrawn(self, identity: SourceIdentity | None) -> str:
        because = "" if identity is None else self.withdrawn.get(identity, "")
        return because and f"is withdrawn until it is on a new timeline: {because}"


def _lag(poll: Poll, now: BootInstant) -> CopyLag:
    return CopyLag(
        lag=None if poll.covered is None else poll.covered.age_at(now),
        reachable=poll.reachable,
        problem=poll.problem,
        lag_bytes=poll.lag_bytes,
    )
