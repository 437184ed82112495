"""From what was read beside an answer to the instant that the answer covers, or None: unknown.

Each function holds one argument of the freshness design. `Proof.instant` is such that every write acknowledged before
it is reflected in the answer; staleness is the instant of receipt less that.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from atlaskit.clock import BootInstant
from atlaskit.freshness.fences import newest_covered, newest_proven
from atlaskit.freshness.reading import Known, PrimaryMode
from atlaskit.position import Lsn, SourceIdentity, Token


@dataclass(frozen=True, slots=True)
class Proof:
    """What an answer is proven to cover. `lsn` None: no position is proven; `beat` only for OLAP."""

    instant: BootInstant
    epoch: int
    lsn: Lsn | None
    beat: int | None = None
    excludes_failover_loss: bool = False

    def staleness(self, received: BootInstant) -> timedelta:
        """Return the proven bound for a request received at that instant, rounded up to a microsecond, at least one."""
        return max(self.instant.age_at(received), timedelta(microseconds=1))


@dataclass(frozen=True, slots=True)
class PrimaryRead:
    """What was read on the very connection of a primary read, in an earlier statement. `lsn` is its flush position."""

    identity: SourceIdentity | None
    in_recovery: bool
    asked: BootInstant
    answered: BootInstant
    lsn: Lsn | None = None


def prove_primary(known: Known, read: PrimaryRead, received: BootInstant) -> Proof | None:
    """Return the proof of a primary read. The server must be the primary that the monitor knows.

    Mode single: that identity is itself the proof, and the staleness is the time it took to read it. Mode quorum: the
    newest acknowledged beat of the primary.
    """
    if read.in_recovery or read.identity is None or read.identity != known.identity or known.epoch is None:
        return None
    match known.primary_mode:
        case PrimaryMode.SINGLE:
            took = read.answered.nanoseconds - read.asked.nanoseconds
            instant = BootInstant(received.nanoseconds - max(took, 0))
            return Proof(instant, known.epoch, read.lsn, excludes_failover_loss=_may_have_lost(known))
        case PrimaryMode.QUORUM if known.primary_beat is not None:
            return Proof(known.primary_beat, known.epoch, read.lsn)
        case _:
            return None


def _may_have_lost(known: Known) -> bool:
    """Tell whether a failover into the present timeline may have lost acknowledged writes, which no copy shows then."""
    promoted = known.identity is not None and known.identity.timeline > 1
    return promoted and known.primary_mode is not PrimaryMode.QUORUM


@dataclass(frozen=True, slots=True)
class ReplicaRead:
    """What was read on the connection of a replica read, in one statement before the query. NULLs are None."""

    replayed: Lsn | None
    in_recovery: bool
    system_identifier: int | None
    receiver_streaming: bool
    receiver_timeline: int | None


def prove_replica(known: Known, read: ReplicaRead) -> Proof | None:
    """Return the proof of a replica read: the newest fence at or below the position replayed before the query."""
    if known.identity is None or known.epoch is None or read.replayed is None or not read.in_recovery:
        return None
    if not read.receiver_streaming or read.receiver_timeline != known.identity.timeline:
        return None
    if read.system_identifier != known.identity.system_identifier:
        return None
    fence = newest_covered(known.fences, read.replayed)
    if fence is None:
        return None
    return Proof(fence.instant, known.epoch, read.replayed, excludes_failover_loss=_may_have_lost(known))


@dataclass(frozen=True, slots=True)
class Watermark:
    """The newest beat that the sink has published for one table and shard, as stored in ClickHouse."""

    table: str
    shard: int
    monitor_id: str
    beat: int
    epoch: int
    identity: SourceIdentity
    incarnation: str


@dataclass(frozen=True, slots=True)
class OlapRead:
    """What was read from ClickHouse around a query: incarnation and watermarks before it, the incarnation after."""

    incarnation_before: str | None
    watermarks: Sequence[Watermark]
    incarnation_after: str | None


def prove_olap(known: Known, read: OlapRead, needed: Collection[tuple[str, int]]) -> Proof | None:
    """Return the proof of an OLAP read: the least beat of this monitor over each (table, shard) the query can touch."""
    if read.incarnation_before is None or read.incarnation_before != read.incarnation_after:
        return None
    if known.identity is None or known.epoch is None or not needed:
        return None
    beats = {
        (mark.table, mark.shard): mark.beat
        for mark in read.watermarks
        if mark.monitor_id == known.monitor_id
        and mark.epoch == known.epoch
        and mark.identity == known.identity
        and mark.incarnation == read.incarnation_before
    }
    if not all(place in beats for place in needed):
        return None
    beat = newest_proven(known.beats, min(beats[place] for place in needed))
    if beat is None:
        return None
    return Proof(beat.instant, known.epoch, beat.lsn, beat.number, excludes_failover_loss=_may_have_lost(known))


def covers(proof: Proof, token: Token, *, primary: bool) -> bool:
    """Tell whether an answer with this proof reflects the write that the token names.

    The primary holds every commit of its own epoch. A replica covers what it has replayed. OLAP must be strictly
    beyond: a beat at the very position need not have seen the commit, and the next one always passes it.
    """
    if proof.epoch != token.epoch:
        return False
    if primary:
        return True
    if proof.lsn is None:
        return False
    return proof.lsn > token.lsn if proof.beat is not None else proof.lsn >= token.lsn
