"""How far one partition is: which beats count, what may be claimed, what may be committed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from atlaskit.cdc.beat import ArrivedBeat

# Monitors whose greatest beat is remembered for each partition; the one heard of longest ago is forgotten first.
MAX_MONITORS = 8


@dataclass(frozen=True, slots=True)
class Progress:
    """One partition. Every row before `position` was acknowledged by ClickHouse, or the partition is frozen."""

    position: int  # the next offset to read
    resume: int  # nothing is claimed before `position` reaches this: rows are being inserted again
    seen: Mapping[UUID, int] = field(default_factory=dict)  # greatest beat that arrived, by monitor
    standing: Mapping[UUID, ArrivedBeat] = field(default_factory=dict)  # those beats themselves, where known
    published: Mapping[UUID, int] = field(default_factory=dict)  # greatest beat claimed under this incarnation
    beat_end: int | None = None  # offset after the newest beat that counted: what may be committed
    frozen: str | None = None  # why nothing more is ever claimed here, until it is repaired


def acknowledged(progress: Progress, beats: Sequence[ArrivedBeat], end: int, fault: int | None = None) -> Progress:
    """Return the progress once ClickHouse has every row before `end`, except those at and after offset `fault`.

    Only the first occurrence of a beat counts: one above the greatest that arrived of its monitor. A beat behind a
    fault never counts. What is read again tells the beat anew that was counted before, and nothing else.
    """
    if progress.frozen is not None:
        return replace(progress, position=end)
    seen, standing, beat_end = dict(progress.seen), dict(progress.standing), progress.beat_end
    for beat in beats:
        if fault is not None and beat.offset > fault:
            break
        known = seen.get(beat.monitor, 0)
        if beat.number > known:
            seen.pop(beat.monitor, None)
            seen[beat.monitor] = beat.number
            standing[beat.monitor] = beat
            beat_end = beat.offset + 1
        elif beat.number == known:
            standing.setdefault(beat.monitor, beat)
    kept = list(seen)[-MAX_MONITORS:]
    return replace(
        progress,
        position=end,
        seen={monitor: seen[monitor] for monitor in kept},
        standing={monitor: standing[monitor] for monitor in kept if monitor in standing},
        published={monitor: number for monitor, number in progress.published.items() if monitor in kept},
        beat_end=beat_end,
    )


def froze(progress: Progress, reason: str) -> Progress:
    """Return the progress of a partition that claims nothing beyond the beats that counted so far."""
    return progress if progress.frozen is not None else replace(progress, frozen=reason)


def claims(progress: Progress) -> tuple[ArrivedBeat, ...]:
    """Return the beats to publish: all rows before each are acknowledged under this incarnation."""
    if progress.position < progress.resume:
        return ()
    return tuple(
        beat for monitor, beat in progress.standing.items() if progress.published.get(monitor, 0) < beat.number
    )


def claimed(progress: Progress, beats: Sequence[ArrivedBeat]) -> Progress:
    """Return the progress after these beats were published."""
    return replace(progress, published={**progress.published, **{beat.monitor: beat.number for beat in beats}})


def committable(progress: Progress) -> int | None:
    """Return the offset behind the newest beat if it and every other counted one are published, else None."""
    if progress.position < progress.resume or claims(progress):
        return None
    return progress.beat_end


def rewound(progress: Progress, to: int) -> Progress:
    """Return the progress when rows from `to` on have to be inserted again, since the server may have lost them."""
    behind = max(progress.resume, progress.position)
    return replace(progress, position=min(to, progress.position), resume=behind, published={})
