"""The lag monitor's reading, from the contract to the freshness model."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from atlas.lag.v1 import lag_service_pb2 as pb
from atlaskit.freshness.reading import AgedBeat, AgedFence, CopyLag, PrimaryMode, Reading
from atlaskit.lazily import Lazily
from atlaskit.model import Source
from atlaskit.position import Lsn, SourceIdentity
from atlaskit.rpc.times import span_of

_COPIES: Mapping[int, Source] = MappingProxyType(
    {pb.COPY_PRIMARY: Source.PRIMARY, pb.COPY_REPLICA: Source.REPLICA, pb.COPY_OLAP: Source.OLAP}
)
_MODES: Mapping[int, PrimaryMode] = MappingProxyType(
    {pb.PRIMARY_MODE_SINGLE: PrimaryMode.SINGLE, pb.PRIMARY_MODE_QUORUM: PrimaryMode.QUORUM}
)


def reading_of(message: pb.LagReading) -> Reading:
    """Return the reading; without a source nothing in it proves anything. Raises ValueError if it makes no sense."""
    known = message.HasField("source")
    source = message.source
    return Reading(
        identity=SourceIdentity(int(source.system_identifier), source.timeline) if known else None,
        epoch=source.epoch or None,
        # Of some hundred markers a read looks at a few, and a reading comes twenty times a second.
        fences=Lazily(message.fences, _fence),
        beats=Lazily(message.beats, _beat),
        monitor_id=message.monitor_id,
        primary_mode=_MODES.get(message.primary_mode),
        primary_beat_age=span_of(message.primary_beat_age) if message.HasField("primary_beat_age") else None,
        copies={_COPIES[copy.copy]: _copy(copy) for copy in message.copies if copy.copy in _COPIES},
        ancestors={ancestor.epoch: Lsn(ancestor.wal_position_bytes) for ancestor in message.ancestors},
    )


def _fence(message: pb.Fence) -> AgedFence:
    return AgedFence(Lsn(message.wal_position_bytes), span_of(message.age))


def _beat(message: pb.Beat) -> AgedBeat:
    return AgedBeat(message.beat, Lsn(message.wal_position_bytes), span_of(message.age))


def _copy(message: pb.CopyLag) -> CopyLag:
    return CopyLag(
        lag=span_of(message.lag) if message.HasField("lag") else None,
        reachable=message.reachable,
        problem=message.problem,
        lag_bytes=message.lag_bytes if message.HasField("lag_bytes") else None,
    )
