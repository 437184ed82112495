"""One beat as it arrives among the rows of a table and shard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from atlaskit.cdc.fields import Undecodable


@dataclass(frozen=True, slots=True)
class ArrivedBeat:
    """Beat `number` of a monitor at a place in a partition: every row committed before it stands before it there.

    `lsn` is in bytes. `vector` is the last committed sequence of each writer; empty but in the ledger's topic.
    """

    monitor: UUID
    number: int
    epoch: int
    lsn: int
    shard: int
    offset: int
    vector: Mapping[int, int]


def beat_from(row: Mapping[str, Any], offset: int) -> ArrivedBeat:
    """Return the beat that a row of a `<table>_beat` tells. Raises Undecodable."""
    try:
        beat = ArrivedBeat(
            monitor=UUID(row["monitor"]),
            number=_positive(row["beat"]),
            epoch=_positive(row["epoch"]),
            lsn=_positive(row["lsn"]),
            shard=int(row["shard"]),
            offset=offset,
            vector={int(writer): int(sequence) for writer, sequence in orjson.loads(row.get("vector") or "{}").items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as wrong:
        raise Undecodable(f"not a beat: {wrong!r}") from None
    return beat


def _positive(value: object) -> int:
    if not isinstance(value, int) or value <= 0:
        raise ValueError(f"{value!r} is not above 0")
    return value
