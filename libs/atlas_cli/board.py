"""The lag monitor's board as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from atlas.lag.v1 import lag_service_pb2 as pb
from atlas.lag.v1.lag_service_pb2_grpc import LagServiceStub
from atlas_client import CallFailed
from google.protobuf.duration_pb2 import Duration
from grpc import aio

from atlas_cli.text import span_text


@dataclass(frozen=True, slots=True)
class CopyRow:
    """One copy as last polled. None is unknown, never zero."""

    copy: str
    lag: timedelta | None
    lag_bytes: int | None
    reachable: bool
    problem: str


@dataclass(frozen=True, slots=True)
class Board:
    """What the monitor has measured, and the ages of its newest proofs; None: there is none."""

    copies: tuple[CopyRow, ...]
    epoch: int | None
    timeline: int | None
    fence_age: timedelta | None
    beat: int | None
    beat_age: timedelta | None

    def lines(self) -> list[str]:
        """Return what is proven, for people."""
        epoch = f"epoch {self.epoch}" if self.epoch else "no epoch registered"
        source = "primary not known" if self.timeline is None else f"{epoch}, timeline {self.timeline}"
        beat = "" if self.beat is None else f" (beat {self.beat})"
        return [f"source: {source}", f"newest fence: {span_text(self.fence_age)} old",
                f"newest beat: {span_text(self.beat_age)} old{beat}"]  # fmt: skip


async def read_board(target: str, timeout: float) -> Board:
    """Return the board of the monitor at this address. Raises CallFailed."""
    async with aio.insecure_channel(target) as channel:
        try:
            answer = await LagServiceStub(channel).GetLag(pb.GetLagRequest(), timeout=timeout)
        except aio.AioRpcError as error:
            raise CallFailed.of(error) from error
    return board_of(answer.reading)


def board_of(reading: pb.LagReading) -> Board:
    """Return the board of a reading."""
    fence = reading.fences[0] if reading.fences else None
    beat = reading.beats[0] if reading.beats else None
    known = reading.HasField("source")
    return Board(
        copies=tuple(map(_row, reading.copies)),
        epoch=reading.source.epoch if known else None,
        timeline=reading.source.timeline if known else None,
        fence_age=_span(fence.age) if fence is not None else None,
        beat=beat.beat if beat is not None else None,
        beat_age=_span(beat.age) if beat is not None else None,
    )


def _row(copy: pb.CopyLag) -> CopyRow:
    known = pb.Copy.DESCRIPTOR.values_by_number.get(copy.copy)
    return CopyRow(
        copy=known.name.removeprefix("COPY_").lower() if known else str(copy.copy),
        lag=_span(copy.lag) if copy.HasField("lag") else None,
        lag_bytes=copy.lag_bytes if copy.HasField("lag_bytes") else None,
        reachable=copy.reachable,
        problem=copy.problem,
    )


def _span(span: Duration) -> timedelta:
    return timedelta(seconds=span.seconds, microseconds=-(-span.nanos // 1000))
