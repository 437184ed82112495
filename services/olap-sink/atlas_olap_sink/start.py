"""Where each partition begins when the sink starts, and where it goes back to. Pure."""

from __future__ import annotations

from dataclasses import replace

from atlaskit.kafka.consumer import Commit, Extent

from atlas_olap_sink.advance import Progress, froze, rewound
from atlas_olap_sink.checkpoint import NOTHING, Checkpoint, beyond_doubt, decoded


def remembered(commit: Commit | None, *, proven: bool, stored: bool) -> Checkpoint:
    """Return what counts of the checkpoint of a commit.

    `proven`: ClickHouse still vouches for a watermark of the partition; then all of it. `stored`: it has one at all; if
    not, its data are new or gone, and no earlier place counts.
    """
    checkpoint = decoded(commit.metadata) if commit else NOTHING
    if proven:
        return checkpoint
    return doubted(checkpoint, stored=stored)


def doubted(checkpoint: Checkpoint, *, stored: bool) -> Checkpoint:
    """Return what counts of a checkpoint once the server was restarted, or is another one."""
    return beyond_doubt(checkpoint) if stored else replace(checkpoint, marks=())


def starting(commit: Commit | None, kept: Checkpoint, extent: Extent, *, proven: bool) -> Progress:
    """Return the progress of a partition at a start.

    A proven one goes on at its commit, another one at the place beyond doubt, or at the beginning. What Kafka no longer
    has cannot be read again, so that the partition is frozen.
    """
    begin = extent.begin
    if commit is None:
        fresh = Progress(begin, begin)
        return froze(fresh, _trimmed(0, begin)) if begin > 0 else fresh
    held = Progress(commit.offset, commit.offset, kept.seen, beat_end=commit.offset)
    if commit.offset > extent.end:
        reason = f"offset {commit.offset} was committed and Kafka ends at {extent.end}: the topic was lost or made anew"
        return froze(Progress(begin, begin), reason)
    return _from(held, commit.offset if proven else _place(kept), begin)


def again(progress: Progress, kept: Checkpoint, extent: Extent) -> Progress:
    """Return the progress when the running sink finds ClickHouse restarted: back to the place beyond doubt."""
    return _from(progress, _place(kept), extent.begin)


def _place(kept: Checkpoint) -> int:
    return kept.marks[-1].offset if kept.marks else 0


def _from(progress: Progress, offset: int, begin: int) -> Progress:
    if offset < begin:
        return froze(rewound(progress, begin), _trimmed(offset, begin))
    return rewound(progress, offset)


def _trimmed(wanted: int, begin: int) -> str:
    return f"rows from offset {wanted} on are needed and Kafka begins at {begin}: repair from PostgreSQL is needed"
