"""From a reading to its message."""

from __future__ import annotations

from atlas.lag.v1 import lag_service_pb2 as pb
from atlaskit.freshness.reading import CopyLag, PrimaryMode, Reading
from atlaskit.model import Source
from atlaskit.rpc.times import duration_of

_COPIES = {Source.PRIMARY: pb.COPY_PRIMARY, Source.REPLICA: pb.COPY_REPLICA, Source.OLAP: pb.COPY_OLAP}
_MODES = {PrimaryMode.SINGLE: pb.PRIMARY_MODE_SINGLE, PrimaryMode.QUORUM: pb.PRIMARY_MODE_QUORUM}


def reading_message(reading: Reading) -> pb.LagReading:
    """Return the message of a reading. What is unknown is unset."""
    message = pb.LagReading(
        fences=[pb.Fence(wal_position_bytes=fence.lsn.bytes, age=duration_of(fence.age)) for fence in reading.fences],
        beats=[
            pb.Beat(beat=beat.number, age=duration_of(beat.age), wal_position_bytes=beat.lsn.bytes)
            for beat in reading.beats
        ],
        monitor_id=reading.monitor_id,
        primary_mode=pb.PRIMARY_MODE_UNSPECIFIED if reading.primary_mode is None else _MODES[reading.primary_mode],
        copies=[_copy(copy, lag) for copy, lag in reading.copies.items() if copy in _COPIES],
        ancestors=[
            pb.Ancestor(epoch=epoch, wal_position_bytes=forked_at.bytes)
            for epoch, forked_at in sorted(reading.ancestors.items())
        ],
    )
    if reading.identity is not None:
        message.source.system_identifier = str(reading.identity.system_identifier)
        message.source.timeline = reading.identity.timeline
        message.source.epoch = reading.epoch or 0
    if reading.primary_beat_age is not None:
        message.primary_beat_age.CopyFrom(duration_of(reading.primary_beat_age))
    return message


def _copy(copy: Source, lag: CopyLag) -> pb.CopyLag:
    return pb.CopyLag(
        copy=_COPIES[copy],
        lag=None if lag.lag is None else duration_of(lag.lag),
        reachable=lag.reachable,
        problem=lag.problem,
        lag_bytes=lag.lag_bytes,
    )
