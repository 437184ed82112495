"""The board as gauges. What is unknown is absent, and said to be unknown by a gauge of its own: it is never 0."""

from __future__ import annotations

from collections.abc import Collection

from atlaskit.freshness.reading import Reading
from atlaskit.model import Source
from atlaskit.telemetry.measures import (
    BEAT_AGE,
    COPY_KNOWN,
    COPY_LAG,
    COPY_REACHABLE,
    COPY_STALENESS,
    SLOT_LAG,
    SLOTS_HOLD,
)
from atlaskit.telemetry.metrics import Figures, gauge
from opentelemetry.metrics import Meter

from atlas_lag_monitor.board import Board


def board_gauges(meter: Meter, board: Board, copies: Collection[Source]) -> None:
    """Export the board; each of `copies` is known or unknown, whether or not it was ever seen."""
    gauge(meter, COPY_STALENESS, lambda: staleness(board.reading()))
    gauge(meter, COPY_KNOWN, lambda: known(board.reading(), copies))
    gauge(meter, COPY_REACHABLE, lambda: reachable(board.reading(), copies))
    gauge(meter, COPY_LAG, lambda: missing_bytes(board.reading()))
    gauge(meter, BEAT_AGE, lambda: beat_age(board.reading()))
    gauge(meter, SLOT_LAG, lambda: {} if (behind := board.slot_lag()) is None else {(): behind})
    gauge(meter, SLOTS_HOLD, lambda: {} if (held := board.held_back()) is None else {(): held})


def staleness(reading: Reading) -> Figures:
    """Return the seconds that each copy lags behind; one of which that is unknown is not in it."""
    return {(copy.value,): lag.lag.total_seconds() for copy, lag in reading.copies.items() if lag.lag is not None}


def known(reading: Reading, copies: Collection[Source]) -> Figures:
    """Return 1 for each copy whose staleness is known, and 0 for each other one."""
    seen = staleness(reading)
    return {(copy.value,): (copy.value,) in seen for copy in copies}


def reachable(reading: Reading, copies: Collection[Source]) -> Figures:
    """Return 1 for each copy that answers, and 0 for each that does not or was not asked."""
    lags = {copy: reading.copies.get(copy) for copy in copies}
    return {(copy.value,): lag is not None and lag.reachable for copy, lag in lags.items()}


def missing_bytes(reading: Reading) -> Figures:
    """Return the bytes of the log that each copy lacks; one of which that is unknown is not in it."""
    return {(copy.value,): lag.lag_bytes for copy, lag in reading.copies.items() if lag.lag_bytes is not None}


def beat_age(reading: Reading) -> Figures:
    """Return the seconds since the newest usable beat was sent, if there is one."""
    return {(): reading.beats[0].age.total_seconds()} if reading.beats else {}
