"""How far one partition is: what was read, what may be claimed, what may be committed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from uuid import UUID

from atlaskit.cdc.beat import ArrivedBeat

from atlas_olap_sink.audit import Shard


class ShardState(StrEnum):
    """Whether a table and shard is claimed, and if not, what stands in the way."""

    CLAIMING = "claiming"  # what is proven is published
    READING_AGAIN = "reading_again"  # rows that ClickHouse may have lost are inserted again
    UNBALANCED = "unbalanced"  # rows are missing or too many: nothing newer is claimed until that is repaired
    OWING = "owing"  # a snapshot, or a repair of before, has to come first
    FROZEN = "frozen"  # somebody has to look


@dataclass(frozen=True, slots=True)
class Progress:
    """One partition. Every row before `position` was acknowledged by ClickHouse, or is told by the audit."""

    position: int  # the next offset to read
    resume: int  # nothing is claimed before `position` reaches this: rows are being inserted again
    published: Mapping[UUID, int] = field(default_factory=dict)  # greatest beat claimed under this incarnation
    frozen: str | None = None  # why nothing more is ever claimed here, until somebody looks
    owes: str | None = None  # why a snapshot has to come before the next claim
    # Beats, one of which stands just before `resume` if what is read again is what was read before. Empty: not asked.
    witness: Mapping[UUID, int] = field(default_factory=dict)


def froze(progress: Progress, reason: str) -> Progress:
    """Return the progress of a partition that claims nothing any more; the first reason stands."""
    return progress if progress.frozen is not None else replace(progress, frozen=reason)


def state_of(progress: Progress, shard: Shard) -> ShardState:
    """Return the state of a table and shard; of several that fit, the one that takes longest to end."""
    if progress.frozen is not None:
        return ShardState.FROZEN
    if progress.owes is not None or shard.indebted:
        return ShardState.OWING
    if progress.position < progress.resume:
        return ShardState.READING_AGAIN
    return ShardState.UNBALANCED if shard.unbalanced else ShardState.CLAIMING


def claims(progress: Progress, shard: Shard) -> tuple[ArrivedBeat, ...]:
    """Return the beats to publish: each is proven, and its rows are acknowledged under this incarnation."""
    if progress.position < progress.resume or progress.frozen or progress.owes or shard.indebted:
        return ()
    published = progress.published
    return tuple([beat for monitor, beat in shard.standing.items() if published.get(monitor, 0) < beat.number])


def claimed(progress: Progress, beats: Sequence[ArrivedBeat]) -> Progress:
    """Return the progress after these beats were published."""
    return replace(progress, published={**progress.published, **{beat.monitor: beat.number for beat in beats}})


def committable(progress: Progress, shard: Shard) -> int | None:
    """Return the offset behind the newest proven beat if every proven one is published, else None."""
    if progress.position < progress.resume or progress.frozen or progress.owes or claims(progress, shard):
        return None
    return None if shard.indebted else shard.beat_end


def read_on(progress: Progress, end: int, beats: Sequence[ArrivedBeat]) -> Progress:
    """Return the progress when everything up to `end` was read, with these beats among it.

    Where rows were read again and another record stands before `resume` than the beat that stood there, Kafka lost the
    end of the partition and filled it anew: what came of it does not come again, and the ledger counts it as proven.
    """
    moved = replace(progress, position=end)
    if not progress.witness or not progress.position < progress.resume <= end:
        return moved
    moved = replace(moved, witness={})
    if any(beat.offset == progress.resume - 1 and progress.witness.get(beat.monitor) == beat.number for beat in beats):
        return moved
    lost = f"rows before offset {progress.resume} are needed again and Kafka has others there than it had"
    return replace(moved, owes=progress.owes or lost)


def rewound(progress: Progress, to: int) -> Progress:
    """Return the progress when rows from `to` on have to be inserted again, since the server may have lost them."""
    behind = max(progress.resume, progress.position)
    return replace(progress, position=min(to, progress.position), resume=behind, published={})
