"""Hops of traced writes behind the commit: a span for each trace that the ledger carries, never one for a record."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from atlaskit.cdc.fields import Int64s
from atlaskit.cdc.ledger import LedgerRow
from atlaskit.clickhouse.watermark import Place
from atlaskit.telemetry.carrier import links_to, parent_of, parse_traceparent
from atlaskit.telemetry.names import Attribute, SpanName
from opentelemetry.context import Context
from opentelemetry.trace import Tracer

from atlas_olap_sink.decoding import Batch, columns_of

MAX_COUNTED = 50_000  # transactions whose rows are counted; the oldest are forgotten, which loses their spans only
MAX_WAITING = 10_000  # traced transactions that wait for rows or for a watermark
_TRANSACTION = (1 << 38) - 1


@dataclass(frozen=True, slots=True)
class Inserted:
    """An insert of a whole batch: nanoseconds since 1970, by this machine's wall clock."""

    start_ns: int
    end_ns: int


@dataclass(slots=True)
class _Traced:
    ledger: LedgerRow
    arrived_ms: int
    traceparents: tuple[str, ...]
    inserted_ns: int = 0
    wanted: dict[Place, int] = field(default_factory=dict)  # offset that a published beat must lie behind


class Traces:
    """Follows each traced transaction until its rows are acknowledged and a watermark covers them. Bounded."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._counted: OrderedDict[int, int] = OrderedDict()
        self._incomplete: OrderedDict[int, _Traced] = OrderedDict()
        self._invisible: OrderedDict[int, _Traced] = OrderedDict()

    def acknowledged(self, batch: Batch, inserted: Inserted) -> None:
        """Take note that ClickHouse has every row of the batch."""
        counts = transactions(batch)
        for transaction, rows in counts.items():
            self._counted[transaction] = self._counted.pop(transaction, 0) + rows
        _bound(self._counted, MAX_COUNTED)
        for row, _, arrived_ms in batch.ledger:
            traced = _Traced(row, arrived_ms, tuple(text for text in row.traceparents if _sampled(text)))
            if traced.traceparents:
                self._incomplete[row.transaction] = traced
        _bound(self._incomplete, MAX_WAITING)
        complete = [at for at in self._incomplete if self._counted.get(at, 0) >= self._incomplete[at].ledger.rows]
        last = {(part.topic.table, part.partition): part.offsets[-1] for part in batch.segments if part.offsets}
        linked: list[str] = []
        for transaction in complete:
            traced = self._incomplete.pop(transaction)
            linked += traced.traceparents
            self._tell_insert(traced, inserted)
            traced.inserted_ns = inserted.end_ns
            traced.wanted = {place: last.get(place, 0) for place in _places(traced.ledger)}
            self._invisible[transaction] = traced
        _bound(self._invisible, MAX_WAITING)
        if linked:
            self._tell_batch(batch, inserted, linked)

    def published(self, claims: Mapping[Place, int], at_ns: int) -> None:
        """Take note of watermarks: the greatest offset of a published beat for each place."""
        for transaction in list(self._invisible):
            traced = self._invisible[transaction]
            traced.wanted = {
                place: offset for place, offset in traced.wanted.items() if claims.get(place, -1) <= offset
            }
            if not traced.wanted:
                del self._invisible[transaction]
                for text in traced.traceparents:
                    self._span(SpanName.OLAP_VISIBLE, text, traced.inserted_ns, at_ns, {})

    def _tell_insert(self, traced: _Traced, inserted: Inserted) -> None:
        rows = {Attribute.ROWS.value: traced.ledger.rows}
        for text in traced.traceparents:
            self._span(SpanName.CDC_DELIVER, text, traced.ledger.created_us * 1000, traced.arrived_ms * 1_000_000, rows)
            self._span(SpanName.OLAP_INSERT, text, inserted.start_ns, inserted.end_ns, rows)

    def _tell_batch(self, batch: Batch, inserted: Inserted, linked: Iterable[str]) -> None:
        span = self._tracer.start_span(
            SpanName.OLAP_INSERT.value,
            context=Context(),
            links=links_to(linked),
            start_time=inserted.start_ns,
            attributes={Attribute.ROWS.value: batch.rows},
        )
        span.end(inserted.end_ns)

    def _span(self, name: SpanName, parent: str, start_ns: int, end_ns: int, attributes: Mapping[str, int]) -> None:
        span = self._tracer.start_span(
            name.value, context=parent_of(parent), start_time=start_ns, attributes=dict(attributes)
        )
        span.end(max(start_ns, end_ns))


def transactions(batch: Batch) -> Counter[int]:
    """Return the number of rows of each transaction in the batch."""
    counted: Counter[int] = Counter()
    for columns in columns_of(batch):
        counted.update(_by_transaction(columns.row_version))
    return counted


def now_ns() -> int:
    """Return nanoseconds since 1970; for spans only."""
    return time.time_ns()


def _by_transaction(versions: Int64s) -> dict[int, int]:
    distinct, counts = np.unique(versions >> 17 & _TRANSACTION, return_counts=True)
    return dict(zip(distinct.tolist(), counts.tolist(), strict=True))


def _places(row: LedgerRow) -> set[Place]:
    return {(entry.table, entry.shard) for entry in row.entries}


def _sampled(text: str) -> bool:
    context = parse_traceparent(text)
    return context is not None and bool(context.trace_flags.sampled)


def _bound(kept: OrderedDict[int, int] | OrderedDict[int, _Traced], most: int) -> None:
    while len(kept) > most:
        kept.popitem(last=False)
