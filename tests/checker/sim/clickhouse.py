"""ClickHouse: parts, of which a restart may lose the newest, a table in memory, and reads that collapse versions."""

from __future__ import annotations

import re
from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from importlib.resources import files
from operator import itemgetter
from typing import Any
from uuid import UUID

from atlaskit.sql import load
from checker.sim import pins
from checker.sim.loop import SimulationError
from checker.sim.process import Process
from clickhouse_connect.driver.exceptions import DatabaseError

Parameters = Mapping[str, Any]
ERASED_AT = -86_400_000_000
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_TYPES = ("INT64", "UINT64", "DOUBLE")


class Part:
    """Rows of one table that were inserted together."""

    __slots__ = ("at", "columns", "rows", "table")

    def __init__(self, at: float, table: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
        self.at, self.table, self.columns, self.rows = at, table, columns, rows


class Versions:
    """The rows of one attribute of one entity, by event time; of one time the greatest version counts."""

    __slots__ = ("best", "times")

    def __init__(self) -> None:
        self.times: list[int] = []
        self.best: dict[int, dict[str, Any]] = {}

    def add(self, row: dict[str, Any], *, final: bool) -> None:
        time = row["event_timestamp"]
        found = self.best.get(time)
        if found is None:
            self.best[time] = row
            insort(self.times, time)
        elif final and found["row_version"] <= row["row_version"]:
            self.best[time] = row


class Engine:
    """One server and database."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.parts: list[Part] = []
        self.incarnation: list[UUID] = []
        self.fsync = True
        self.slow_query = 0.0
        self.refusing = False
        self.partial = 0  # inserts of which only a part is written before they fail
        self.schema = _schema()
        self.final = "FINAL" in self.schema["visible_entity_values"]
        self.by_tenant = "stored.tenant_id = {tenant:UInt32}" in self.schema["visible_entity_values"]
        self.written = 0
        self.forget()

    def forget(self) -> None:
        self.newest: dict[int, float] = {}  # tenant -> when its last row was ingested
        self.values: defaultdict[tuple[int, int], dict[str, Versions]] = defaultdict(dict)
        self.entities: dict[tuple[int, int], dict[str, Any]] = {}
        self.members: defaultdict[int, dict[int, None]] = defaultdict(dict)
        self.marks: dict[tuple[str, int, str], dict[str, Any]] = {}
        self.others: defaultdict[str, dict[tuple[Any, ...], dict[str, Any]]] = defaultdict(dict)

    def insert(self, table: str, columns: Sequence[str], rows: list[tuple[Any, ...]]) -> int:
        if table == "olap_incarnation":
            self.incarnation += [row[0] for row in rows]
            return len(rows)
        failing = self.partial > 0 and table != "olap_watermarks" and len(rows) > 1
        if failing:
            self.partial -= 1
            rows = rows[: len(rows) // 2]
        part = Part(self.process.scheduler.now, table, tuple(columns), rows)
        self.parts.append(part)
        self._index(part)
        if failing:
            raise OSError("the connection broke in the middle of an insert")
        return len(rows)

    def _index(self, part: Part) -> None:
        take = _TAKES.get(part.table, Engine._take_other)
        columns = part.columns
        for row in part.rows:
            take(self, part.table, dict(zip(columns, row, strict=True)))

    def _take_value(self, _table: str, row: dict[str, Any]) -> None:
        tenant, entity = row["tenant_id"], row["entity_id"]
        owner = tenant if self.by_tenant else 0
        found = self.values[owner, entity].get(row["attribute_key"])
        if found is None:
            found = self.values[owner, entity][row["attribute_key"]] = Versions()
        found.add(row, final=self.final)
        self.members[tenant][entity] = None
        self.written += 1
        self.newest[tenant] = self.process.scheduler.now

    def _take_entity(self, _table: str, row: dict[str, Any]) -> None:
        key = (row["tenant_id"], row["entity_id"])
        found = self.entities.get(key)
        if found is None or found["row_version"] <= row["row_version"]:
            self.entities[key] = row

    def _take_mark(self, _table: str, row: dict[str, Any]) -> None:
        key = (row["table_name"], row["shard"], str(row["monitor"]))
        found = self.marks.get(key)
        if found is None or found["beat"] <= row["beat"]:
            self.marks[key] = row

    def _take_other(self, table: str, row: dict[str, Any]) -> None:
        self.others[table][tuple(sorted((name, str(value)) for name, value in row.items()))] = row

    def restart(self, lost: Callable[[Part], bool]) -> None:
        """Stop and start: what is in memory is gone, and of the parts those that `lost` says."""
        self.incarnation = []
        self.parts = [part for part in self.parts if not lost(part)]
        self.reindex()

    def reindex(self) -> None:
        self.forget()
        for part in self.parts:
            self._index(part)

    # -- queries

    def floor(self, tenant: int, entity: int, attribute: str) -> int:
        floor = 0
        for name in (attribute, ""):
            versions = self.values[tenant if self.by_tenant else 0, entity].get(name)
            row = versions.best.get(ERASED_AT) if versions is not None else None
            floor = max(floor, row["row_version"] if row is not None else 0)
        return floor

    def visible(self, tenant: int, entity: int, attribute: str, *, descending: bool) -> Iterator[dict[str, Any]]:
        versions = self.values[tenant if self.by_tenant else 0, entity].get(attribute)
        if versions is None:
            return
        floor = self.floor(tenant, entity, attribute)
        for time in reversed(versions.times) if descending else versions.times:
            row = versions.best[time]
            if time != ERASED_AT and row["deletion"] == 0 and row["row_version"] > floor:
                yield row

    def contents(self, tenant: int) -> Iterator[tuple[int, str, int, int]]:
        """Every visible observation of a tenant: entity, attribute, event time, value."""
        for entity in sorted(self.members[tenant]):
            for attribute in sorted(self.values[tenant if self.by_tenant else 0, entity]):
                for row in self.visible(tenant, entity, attribute, descending=False):
                    yield entity, attribute, row["event_timestamp"], row["value_int64"]


_TAKES: dict[str, Callable[[Engine, str, dict[str, Any]], None]] = {
    "entity_analytics_events": Engine._take_value,
    "entities": Engine._take_entity,
    "olap_watermarks": Engine._take_mark,
}


def _incarnation(engine: Engine, _: Parameters) -> list[tuple[Any, ...]]:
    return [(one,) for one in engine.incarnation[:2]]


def _forget_incarnation(engine: Engine, _: Parameters) -> list[tuple[Any, ...]]:
    engine.incarnation.clear()
    return []


_MARK = ("table_name", "shard", "monitor", "beat", "epoch", "timeline", "system_identifier", "lsn", "incarnation")
_marked = itemgetter(*_MARK)


def _proven_watermarks(engine: Engine, asked: Parameters) -> list[tuple[Any, ...]]:
    tables, shards = set(asked["tables"]), set(asked["shards"])
    return [
        _marked(row)
        for row in engine.marks.values()
        if row["incarnation"] in engine.incarnation and row["table_name"] in tables and row["shard"] in shards
    ]


def _marked_places(engine: Engine, _: Parameters) -> list[tuple[Any, ...]]:
    return sorted({(table, shard) for table, shard, _ in engine.marks})


def _greatest_epoch(engine: Engine, _: Parameters) -> list[tuple[Any, ...]]:
    return [(max((row["epoch"] for row in engine.marks.values()), default=0),)]


def _table_engines(engine: Engine, _: Parameters) -> list[tuple[Any, ...]]:
    fsync = 1 if engine.fsync else 0
    return [
        (
            "entity_analytics_events",
            f"ReplacingMergeTree SETTINGS fsync_after_insert = {fsync}, fsync_part_directory = 1",
        )
    ]


def _session_settings(engine: Engine, asked: Parameters) -> list[tuple[Any, ...]]:
    return [(name, "0") for name in asked["names"]]


def _entity(engine: Engine, asked: Parameters) -> list[tuple[Any, ...]]:
    row = engine.entities.get((asked["tenant"], asked["entity"]))
    if row is None:
        return []
    created = _FIRST + timedelta(microseconds=row["created_at"])
    return [(row["entity_key"], row["asset_type"], created, row["deleted"])]


def _value(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        row["attribute_key"],
        row["attribute_type"],
        row["value_int64"],
        row["value_uint64"],
        row["value_double"],
        row["value_bool"],
        row["value_string"],
        row["value_bytes"],
        row["event_timestamp"],
        row["source_type"],
    )


def _latest_values(engine: Engine, asked: Parameters) -> list[tuple[Any, ...]]:
    tenant, entity, as_of = asked["tenant"], asked["entity"], _ticks(asked["as_of"])
    wanted = asked["attributes"] or engine.values[tenant if engine.by_tenant else 0, entity]
    rows = []
    for attribute in sorted(set(wanted) - {""}):
        found = engine.visible(tenant, entity, attribute, descending=True)
        row = next((one for one in found if one["event_timestamp"] <= as_of), None)
        if row is not None:
            rows.append(_value(row))
    return rows[: asked["most"]]


def _history(engine: Engine, asked: Parameters, *, descending: bool) -> list[tuple[Any, ...]]:
    start, end = _ticks(asked["start"]), _ticks(asked["end"])
    found = engine.visible(asked["tenant"], asked["entity"], asked["attribute"], descending=descending)
    return [_value(row) for row in found if start <= row["event_timestamp"] < end][: asked["most"]]


def _figures(engine: Engine, asked: Parameters) -> list[tuple[Any, ...]]:
    """Integers only; one group, or one for each entity."""
    start, end, tenant = _ticks(asked["start"]), _ticks(asked["end"]), asked["tenant"]
    groups: dict[int, list[int]] = {}
    for entity in engine.members[tenant]:
        found = engine.visible(tenant, entity, asked["attribute"], descending=False)
        values = [row["value_int64"] for row in found if start <= row["event_timestamp"] < end]
        if values:
            groups.setdefault(entity if asked["by_entity"] else -1, []).extend(values)
    return [
        (group, -1, len(v), len(v), 0, min(v), max(v), None, None, None, None, str(sum(v)), 0.0)
        for group, v in sorted(groups.items())
    ]


def _greatest_position(engine: Engine, asked: Parameters) -> list[tuple[Any, ...]]:
    return [(max((row["lsn"] for row in engine.marks.values() if row["epoch"] == asked["epoch"]), default=0),)]


_CAPTURED = {"entity_analytics_events": "entity_attributes"}
_DICTIONARIES = ("attribute_keys", "asset_types")


def _rows_of(engine: Engine, asked: Parameters, tables: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    wanted = set(asked["transactions"])
    for part in engine.parts:
        if part.table in tables:
            for row in part.rows:
                found = dict(zip(part.columns, row, strict=True))
                if found["row_version"] >> 17 in wanted and asked.get("shard", 0) == found.get("shard", 0):
                    yield part.table, found


def _places_holding(engine: Engine, asked: Parameters) -> list[tuple[Any, ...]]:
    places = set()
    for shard in range(10):
        rows = _rows_of(engine, {**asked, "shard": shard}, tuple(_PURGES.values()))
        places |= {(_CAPTURED.get(table, table), row.get("shard", 0)) for table, row in rows}
    return sorted(places)


def _identities_of(engine: Engine, asked: Parameters) -> list[tuple[Any, ...]]:
    rows = (row for _, row in _rows_of(engine, asked, ("entity_analytics_events",)))
    return sorted({(row["tenant_id"], row["entity_id"], row["attribute_key"], row["event_timestamp"]) for row in rows})


def _purge(engine: Engine, asked: Parameters, table: str) -> list[tuple[Any, ...]]:
    wanted = set(asked["transactions"])
    for part in engine.parts:
        if part.table == table:
            version = part.columns.index("row_version")
            shard = part.columns.index("shard") if "shard" in part.columns else None
            part.rows = [
                row
                for row in part.rows
                if row[version] >> 17 not in wanted or (shard is not None and row[shard] != asked["shard"])
            ]
    engine.reindex()
    return []


_PURGES = {
    "purge_history": "entity_analytics_events",
    "purge_entities": "entities",
    "purge_hot_attributes": "entity_hot_attributes",
    "purge_attribute_keys": "attribute_keys",
    "purge_asset_types": "asset_types",
}

_HANDLERS: dict[str, Callable[[Engine, Parameters], list[tuple[Any, ...]]]] = {
    "incarnation": _incarnation,
    "forget_incarnation": _forget_incarnation,
    "proven_watermarks": _proven_watermarks,
    "marked_places": _marked_places,
    "greatest_epoch": _greatest_epoch,
    "table_engines": _table_engines,
    "session_settings": _session_settings,
    "entity": _entity,
    "latest_values": _latest_values,
    "history_oldest_first": lambda engine, asked: _history(engine, asked, descending=False),
    "history_newest_first": lambda engine, asked: _history(engine, asked, descending=True),
    "figures": _figures,
    "greatest_position": _greatest_position,
    "places_holding": _places_holding,
    "identities_of": _identities_of,
    **{name: partial(_purge, table=table) for name, table in _PURGES.items()},
}


class Context:
    """What the driver prepares for an insert."""

    def __init__(self, table: str, names: Sequence[str], types: Sequence[str], data: Sequence[Any] | None) -> None:
        self.table, self.column_names, self.column_types, self.data = table, list(names), list(types), data


class Written:
    """What the driver says of an insert."""

    def __init__(self, rows: int) -> None:
        self.written_rows = rows


class Result:
    """What the driver says of a query."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.result_rows = rows


class Client:
    """clickhouse-connect's client, as far as it is used. Its calls act at once; the executor adds the ways."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._by_text = statements()
        self._columns = _columns()

    def query(self, sql: str, parameters: Parameters | None = None, **_: Any) -> Result:
        return Result(self._run(sql, parameters or {}))

    def command(self, sql: str, parameters: Parameters | None = None, **_: Any) -> None:
        if sql.startswith("KILL QUERY"):
            self._check()  # a query is over the moment it is served: there is never one left to end
            return
        self._run(sql, parameters or {})

    def create_insert_context(
        self,
        table: str,
        column_names: Sequence[str] | None = None,
        column_types: Sequence[str] | None = None,
        data: Sequence[Any] | None = None,
        **_: Any,
    ) -> Context:
        self._check()
        if table not in self._columns:
            raise DatabaseError(f"Code: 60. no table {table}")
        known = self._columns[table]
        return Context(table, column_names or list(known), column_types or list(known.values()), data)

    def insert(self, context: Context) -> Written:
        self._check()
        rows = list(zip(*(context.data or ()), strict=True))
        return Written(self._engine.insert(context.table, context.column_names, rows))

    def close(self) -> None:
        return

    def _run(self, sql: str, parameters: Parameters) -> list[tuple[Any, ...]]:
        self._check()
        name = self._by_text.get(sql)
        handler = _HANDLERS.get(name) if name is not None else None
        if handler is None:
            raise SimulationError(f"no handler for the statement {name or sql!r} of ClickHouse")
        return handler(self._engine, parameters)

    def _check(self) -> None:
        if self._engine.refusing:
            raise OSError("connection refused")


# Views whose meaning is part of the fake.
VIEWS = ("visible_entity_values", "tenant_entities", "proven_watermarks")


def handled() -> dict[str, str]:
    """The statements and views that the engine answers for, by name."""
    named = load(files("atlaskit.clickhouse") / "queries") | _schema()
    return {name: named[name] for name in (*_HANDLERS, *VIEWS) if name in named}


@cache
def statements() -> dict[str, str]:
    """The names of the texts that the product sends."""
    named = load(files("atlaskit.clickhouse") / "queries")
    pins.check("clickhouse", named | _schema(), [*_HANDLERS, *VIEWS])
    return {text: name for name, text in named.items()}


@cache
def _schema() -> dict[str, str]:
    folder = files("atlaskit.clickhouse") / "schema"
    texts = [file.read_text(encoding="utf-8").split("-- migrate:down")[0] for file in folder.iterdir()]
    return {
        match[1]: text for text in texts if (match := re.search(r"CREATE (?:TABLE|VIEW) IF NOT EXISTS (\w+)", text))
    }


@cache
def _columns() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for table, text in _schema().items():
        if "CREATE TABLE" in text:
            inside = text[text.index("(") + 1 :]
            found[table] = dict(
                re.findall(r"(?:^|,|\()\s*(\w+) ((?:Low|U?Int|Float|Bool|String|Date|UUID|Enum)[^\n,]*)", inside, re.M)
            )
    return found


@cache
def _ticks(text: str) -> int:
    moment = datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    return (moment - _FIRST) // timedelta(microseconds=1)
