"""From what was read beside an answer to the instant that the answer covers, or None: unknown.

Each function holds one argument of the freshness design. `Proof.instant` is such that every write acknowledged before
it is reflected in the answer; staleness is the instant of receipt less that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from atlaskit.clock import BootInstant
from atlaskit.freshness.fences import newest_covered, newest_proven
from atlaskit.freshness.reading import Known, PrimaryMode
from atlaskit.position import Lsn, SourceIdentity, Token


@dataclass(frozen=True, slots=True)
class Proof:
    """What an answer is proven to cover. `lsn` None: no position is proven; `beat` only for OLAP.

    `ancestors` are the earlier epochs whose history is this one's too, each up to a position.
    """

    instant: BootInstant
    epoch: int
    lsn: Lsn | None
    beat: int | None = None
    excludes_failover_loss: bool = False
    ancestors: Mapping[int, Lsn] = field(default_factory=dict, compare=False, repr=False)

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
    newest acknowledged beat of the primary, and of positions only the newest fence that it makes usable: what is
    flushed above it may wait for the standbys still, and be seen on a copy before it is seen here.
    """
    if read.in_recovery or read.identity is None or read.identity != known.identity or known.epoch is None:
        return None
    match known.primary_mode:
        case PrimaryMode.SINGLE:
            took = read.answered.nanoseconds - read.asked.nanoseconds
            instant = BootInstant(received.nanoseconds - max(took, 0))
            return _proof(known, instant, read.lsn)
        case PrimaryMode.QUORUM if known.primary_beat is not None:
            acknowledged = known.fences[0].lsn if known.fences else None
            shown = None if read.lsn is None or acknowledged is None else min(read.lsn, acknowledged)
            return _proof(known, known.primary_beat, shown)
        case _:
            return None


def _proof(known: Known, instant: BootInstant, lsn: Lsn | None, beat: int | None = None) -> Proof:
    assert known.epoch is not None
    return Proof(instant, known.epoch, lsn, beat, _may_have_lost(known), known.ancestors)


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
    return _proof(known, fence.instant, read.replayed)


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
    return _proof(known, beat.instant, beat.lsn, beat.number)


def survives(token: Token, epoch: int, ancestors: Mapping[int, Lsn]) -> bool:
    """Tell whether the write that the token names is part of the history of `epoch`; what is not known to be is not."""
    if token.epoch == epoch:
        return True
    forked_at = ancestors.get(token.epoch)
    return forked_at is not None and token.lsn <= forked_at


def covers(proof: Proof, token: Token) -> bool:
    """Tell whether an answer with this proof reflects the write that the token names.

    A primary covers what it had flushed (in mode quorum: what the standbys had acknowledged) and a replica what it had
    replayed before the answer's snapshot. OLAP must be strictly beyond: a beat at the very position need not have seen
    the commit, and the next one always passes it.
    """
    if proof.lsn is None or not survives(token, proof.epoch, proof.ancestors):
        return False
    return proof.lsn > token.lsn if proof.beat is not None else proof.lsn >= token.lsn


def missing_bytes(proof: Proof, token: Token) -> int | None:
    """Return how many bytes of the log the proof is short of the token, or None: it covers it, or does not compare."""
    if proof.lsn is None or covers(proof, token) or not survives(token, proof.epoch, proof.ancestors):
        return None
    return max(token.lsn.bytes - proof.lsn.bytes, 1)
