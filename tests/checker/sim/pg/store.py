"""The tables, readable as of any number of applied commits: one copy serves a primary and its standbys."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

Row = dict[str, Any]
# 1969-12-31, where the deletes of an attribute or an entity stand.
ERASED_AT = -86_400_000_000


class Cell:
    """A value that is replaced: what it was after each commit that changed it."""

    __slots__ = ("numbers", "values")

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.values: list[Any] = []

    def put(self, number: int, value: Any) -> None:
        self.numbers.append(number)
        self.values.append(value)

    def at(self, snapshot: int) -> Any:
        numbers = self.numbers
        if numbers and numbers[-1] <= snapshot:
            return self.values[-1]
        place = bisect_right(numbers, snapshot)
        return self.values[place - 1] if place else None


class Chain:
    """The observations of one attribute of one entity."""

    __slots__ = ("by_time", "times")

    def __init__(self) -> None:
        self.times: list[int] = []
        self.by_time: dict[int, list[tuple[int, Row]]] = {}

    def add(self, number: int, row: Row) -> None:
        time = row["event_time"]
        found = self.by_time.get(time)
        if found is None:
            self.by_time[time] = [(number, row)]
            insort(self.times, time)
        else:
            found.append((number, row))

    def newest(self, time: int, snapshot: int) -> Row | None:
        """The row of the greatest version at one event time."""
        best: Row | None = None
        for number, row in self.by_time.get(time, ()):
            if number <= snapshot and (best is None or row["row_version"] > best["row_version"]):
                best = row
        return best

    def visible(self, snapshot: int, floor: int, start: int, end: int, *, descending: bool) -> Iterator[Row]:
        """Rows with start <= event time <= end that no delete hides."""
        for time in reversed(self.times) if descending else self.times:
            if start <= time <= end and time != ERASED_AT:
                row = self.newest(time, snapshot)
                if row is not None and row["deletion"] == 0 and row["row_version"] > floor:
                    yield row


class Store:
    """Every table. A snapshot is the number of commits that it shows."""

    def __init__(self) -> None:
        self.tenants: dict[int, Row] = {}
        self.entities: defaultdict[tuple[int, int], Cell] = defaultdict(Cell)
        self.history: defaultdict[tuple[int, int, int], Chain] = defaultdict(Chain)
        self.carried: defaultdict[tuple[int, int], dict[int, None]] = defaultdict(dict)  # attributes of an entity
        self.members: defaultdict[int, dict[int, None]] = defaultdict(dict)  # entities of a tenant
        self.ids: dict[tuple[str, int, str], tuple[int, int]] = {}
        self.texts: dict[tuple[str, int, int], tuple[int, str]] = {}
        self.terms: defaultdict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)  # commit, id
        self.writers: defaultdict[int, Cell] = defaultdict(Cell)
        self.sessions: dict[int, int | None] = {}  # the session that registered each writer
        self.requests: dict[tuple[int, bytes], tuple[int, bytes, bytes]] = {}
        self.epochs: defaultdict[int, Cell] = defaultdict(Cell)
        self.streams: defaultdict[str, Cell] = defaultdict(Cell)
        self.ledger: defaultdict[tuple[int, int], Cell] = defaultdict(Cell)
        self.slots: defaultdict[int, Cell] = defaultdict(Cell)  # how often entities of a slot were updated
        self.key_types: dict[tuple[int, int, int], int] = {}
        self.by_transaction: defaultdict[int, list[tuple[int, str, Row]]] = defaultdict(list)

    def apply(self, number: int, changes: list[tuple[str, Any]]) -> None:
        """Apply commit `number`, the first of which is 1."""
        for table, what in changes:
            apply = _APPLY.get(table)
            if apply is not None:
                apply(self, number, what)

    def registered(self, snapshot: int) -> list[Row]:
        """The epochs, by number."""
        found = ((epoch, cell.at(snapshot)) for epoch, cell in sorted(self.epochs.items()))
        return [row for _, row in found if row is not None]

    def floor(self, tenant: int, entity: int, attribute: int, snapshot: int) -> int:
        """The greatest version that a delete of the attribute or the entity hides."""
        floor = 0
        for wanted in (attribute, 0):
            chain = self.history.get((tenant, entity, wanted))
            row = chain.newest(ERASED_AT, snapshot) if chain is not None else None
            floor = max(floor, row["row_version"] if row is not None else 0)
        return floor

    def id_of(self, kind: str, tenant: int, text: str, snapshot: int) -> int | None:
        found = self.ids.get((kind, tenant, text))
        return found[1] if found is not None and found[0] <= snapshot else None

    def text_of(self, kind: str, tenant: int, number: int, snapshot: int) -> str | None:
        found = self.texts.get((kind, tenant, number))
        return found[1] if found is not None and found[0] <= snapshot else None


def _entity(store: Store, number: int, row: Row) -> None:
    store.entities[row["tenant_id"], row["entity_id"]].put(number, row)
    store.members[row["tenant_id"]][row["entity_id"]] = None


def _history(store: Store, number: int, row: Row) -> None:
    tenant, entity, attribute = row["tenant_id"], row["entity_id"], row["attribute_id"]
    store.history[tenant, entity, attribute].add(number, row)
    if attribute:
        store.carried[tenant, entity][attribute] = None
    store.by_transaction[row["row_version"] >> 17].append((number, "entity_attributes", row))


def _term(store: Store, number: int, row: Row) -> None:
    kind, tenant, term, text = row["kind"], row["tenant_id"], row["id"], row["text"]
    store.ids[kind, tenant, text] = (number, term)
    store.texts[kind, tenant, term] = (number, text)
    store.terms[kind, tenant].append((number, term))


def _writer(store: Store, number: int, row: Row) -> None:
    store.writers[row["writer"]].put(number, row["last_sequence"])
    store.sessions[row["writer"]] = row["backend"]


def _request(store: Store, number: int, row: Row) -> None:
    store.requests[row["tenant_id"], row["request_id"]] = (number, row["digest"], row["result"])


def _epoch(store: Store, number: int, row: Row) -> None:
    store.epochs[row["epoch"]].put(number, row)


def _stream(store: Store, number: int, row: Row) -> None:
    store.streams[row["slot"]].put(number, row)


def _ledger(store: Store, number: int, row: Row) -> None:
    store.ledger[row["writer"], row["sequence"]].put(number, row)


def _slot(store: Store, number: int, slot: int) -> None:
    cell = store.slots[slot]
    cell.put(number, (cell.values[-1] if cell.values else 0) + 1)


def _key_type(store: Store, number: int, row: Row) -> None:
    store.key_types.setdefault((row["tenant_id"], row["attribute_id"], row["value_type"]), number)


_APPLY: dict[str, Callable[[Store, int, Any], None]] = {
    "entities": _entity,
    "entity_attributes": _history,
    "terms": _term,
    "ingest_writers": _writer,
    "ingest_requests": _request,
    "epochs": _epoch,
    "change_streams": _stream,
    "ingest_batches": _ledger,
    "key_types": _key_type,
    "entity_changes": _slot,
}
