"""Where each partition begins when the sink starts. Pure."""

from __future__ import annotations

from atlaskit.kafka.consumer import Commit, Extent

from atlas_olap_sink.advance import Progress, froze, rewound
from atlas_olap_sink.checkpoint import NOTHING, decoded, reread_from


def starting(commit: Commit | None, extent: Extent, *, proven: bool, stored: bool, now: int) -> Progress:
    """Return the progress of a partition at a start.

    `proven`: ClickHouse still vouches for a watermark of it; then the committed offset is where to go on. `stored`: it
    has one at all; if not, its data are new or gone, and everything is read from the beginning. What Kafka no longer
    has cannot be read again, so that the partition is frozen.
    """
    checkpoint = decoded(commit.metadata) if commit else NOTHING
    begin = extent.begin
    if commit is None:
        fresh = Progress(begin, begin)
        return froze(fresh, _trimmed(0, begin)) if begin > 0 else fresh
    held = Progress(commit.offset, commit.offset, checkpoint.seen, beat_end=commit.offset)
    if commit.offset > extent.end:
        reason = f"offset {commit.offset} was committed and Kafka ends at {extent.end}: the topic was lost or made anew"
        return froze(Progress(begin, begin), reason)
    beyond_doubt = reread_from(checkpoint.marks, now) if stored else None
    place = held if proven else rewound(held, beyond_doubt or 0)
    if place.position < begin:
        return froze(Progress(begin, place.resume, place.seen), _trimmed(place.position, begin))
    return place


def again(progress: Progress, marks_from: int | None, extent: Extent) -> Progress:
    """Return the progress when the running sink finds ClickHouse restarted: back to a place beyond doubt."""
    back = rewound(progress, marks_from or 0)
    if back.position < extent.begin:
        return froze(rewound(progress, extent.begin), _trimmed(back.position, extent.begin))
    return back


def _trimmed(wanted: int, begin: int) -> str:
    return f"rows from offset {wanted} on are needed and Kafka begins at {begin}: repair from PostgreSQL is needed"
