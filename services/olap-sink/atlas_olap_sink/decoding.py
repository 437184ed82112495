"""One poll of Kafka as columns by table, with what cannot be decoded told apart. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
from atlaskit.cdc.changes import (
    EntityColumns,
    HistoryColumns,
    HotColumns,
    TermColumns,
    entity_columns,
    history_columns,
    hot_columns,
    separated,
    term_columns,
)
from atlaskit.cdc.envelope import Fault, RowEvent, Segment
from atlaskit.cdc.fields import Int64s, Undecodable
from atlaskit.cdc.ledger import LedgerRow, ledger_row_from
from atlaskit.cdc.topics import ASSET_TYPES, ATTRIBUTE_KEYS, BY_NAME, ENTITIES, HISTORY, HOT_ATTRIBUTES, LEDGER, Topic
from atlaskit.model import ROW_INDEX_BITS, RowVersion

from atlas_olap_sink.rows import values_at


class LedgerEvent(NamedTuple):
    """A row of the ledger, with its record's offset and its time in Kafka, milliseconds since 1970."""

    row: LedgerRow
    offset: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What one poll holds. The columns of a table are those of all its partitions; None where there are no rows."""

    segments: tuple[Segment, ...]
    history: HistoryColumns | None
    entities: EntityColumns | None
    hot: HotColumns | None
    attribute_keys: TermColumns | None
    asset_types: TermColumns | None
    ledger: tuple[LedgerEvent, ...]

    @property
    def rows(self) -> int:
        """Return the number of rows, beats not counted."""
        return sum(len(segment.rows) for segment in self.segments)


def attribute_key_columns(rows: Sequence[RowEvent]) -> TermColumns:
    """Return the rows of `attribute_keys`. Raises Undecodable."""
    return term_columns(rows, "attribute_id", "attribute_key")


def asset_type_columns(rows: Sequence[RowEvent]) -> TermColumns:
    """Return the rows of `asset_types`. Raises Undecodable."""
    return term_columns(rows, "asset_type_id", "asset_type")


def _ledger_rows(rows: Sequence[RowEvent]) -> list[LedgerRow]:
    return [ledger_row_from(row) for row in rows]


_DECODERS: dict[Topic, Callable[[Sequence[RowEvent]], Any]] = {
    HISTORY: history_columns,
    ENTITIES: entity_columns,
    HOT_ATTRIBUTES: hot_columns,
    ATTRIBUTE_KEYS: attribute_key_columns,
    ASSET_TYPES: asset_type_columns,
    LEDGER: _ledger_rows,
}


def decode(segments: Sequence[Segment]) -> Batch:
    """Return the segments as one batch. A row that cannot be decoded becomes a fault of its segment."""
    sound: dict[Topic, list[Segment]] = {}
    columns: dict[Topic, Any] = {}
    for topic, decoder in _DECODERS.items():
        found = [segment for segment in segments if segment.topic == topic]
        try:
            columns[topic] = decoder(_rows(found))
        except Undecodable:
            found = [_without_faults(segment, decoder) for segment in found]
            columns[topic] = decoder(_rows(found))
        sound[topic] = found
    kept = {topic: columns[topic] if _rows(found) else None for topic, found in sound.items()}
    offsets = [offset for segment in sound[LEDGER] for offset in segment.offsets]
    timestamps = [time for segment in sound[LEDGER] for time in segment.timestamps]
    return Batch(
        segments=tuple(segment for found in sound.values() for segment in found),
        history=kept[HISTORY],
        entities=kept[ENTITIES],
        hot=kept[HOT_ATTRIBUTES],
        attribute_keys=kept[ATTRIBUTE_KEYS],
        asset_types=kept[ASSET_TYPES],
        ledger=tuple(map(LedgerEvent, columns[LEDGER], offsets, timestamps)),
    )


_FIELD = {
    HISTORY: "history",
    ENTITIES: "entities",
    HOT_ATTRIBUTES: "hot",
    ATTRIBUTE_KEYS: "attribute_keys",
    ASSET_TYPES: "asset_types",
}
NOTHING = Batch((), None, None, None, None, None, ())


def decoded_rows(table: str, rows: Sequence[RowEvent]) -> Batch:
    """Return rows of one table that did not come from Kafka as a batch to insert. Raises Undecodable."""
    topic = BY_NAME[f"atlas.{table}"]
    changed: dict[str, Any] = {_FIELD[topic]: _DECODERS[topic](rows)}
    return replace(NOTHING, **changed)


def versions_by_segment(batch: Batch) -> Iterator[tuple[Segment, Int64s]]:
    """Yield each segment of rows with the row versions of its rows; those of the ledger are none."""
    taken: Counter[Topic] = Counter()
    for segment in batch.segments:
        columns = getattr(batch, _FIELD[segment.topic]) if segment.topic in _FIELD else None
        first = taken[segment.topic]
        taken[segment.topic] += len(segment.rows)
        if segment.rows and columns is not None:
            yield segment, columns.row_version[first : first + len(segment.rows)]


def transactions(batch: Batch) -> frozenset[int]:
    """Return the keys of all transactions that the batch has rows of."""
    found = [np.unique(rows.row_version >> ROW_INDEX_BITS) for rows in columns_of(batch)]
    return frozenset(np.concatenate(found).tolist()) if found else frozenset()


def newest_epoch(batch: Batch) -> int:
    """Return the greatest epoch of a row of the batch; 0 without rows."""
    return max((RowVersion.unpacked(int(rows.row_version.max())).epoch for rows in columns_of(batch)), default=0)


def columns_of(batch: Batch) -> list[Any]:
    """Return the columns of each table that the batch has rows of."""
    return [rows for name in _FIELD.values() if (rows := getattr(batch, name)) is not None]


def without(batch: Batch, unwanted: Callable[[int], bool]) -> Batch:
    """Return the batch without the rows of transactions that are unwanted by key. Its segments stay as they are."""
    changed = {name: _kept(rows, unwanted) for name in _FIELD.values() if (rows := getattr(batch, name)) is not None}
    return replace(batch, **changed)


def _kept(columns: Any, unwanted: Callable[[int], bool]) -> Any:
    keys = (columns.row_version >> ROW_INDEX_BITS).tolist()
    kept = [place for place, key in enumerate(keys) if not unwanted(key)]
    if len(kept) == len(keys):
        return columns
    if not kept:
        return None
    return replace(columns, **{one.name: values_at(getattr(columns, one.name), kept) for one in fields(columns)})


def _rows(segments: Sequence[Segment]) -> list[RowEvent]:
    return [row for segment in segments for row in segment.rows]


def _without_faults(segment: Segment, decoder: Callable[[Sequence[RowEvent]], Any]) -> Segment:
    reasons = separated(segment.rows, decoder)
    kept = [place for place in range(len(segment.rows)) if place not in reasons]
    faults = [Fault(segment.offsets[place], "UNDECODABLE", reason, None) for place, reason in reasons.items()]
    return replace(
        segment,
        rows=tuple(segment.rows[place] for place in kept),
        offsets=tuple(segment.offsets[place] for place in kept),
        timestamps=tuple(segment.timestamps[place] for place in kept),
        faults=tuple(sorted((*segment.faults, *faults), key=lambda fault: fault.offset)),
    )
