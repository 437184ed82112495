"""Functions over observations by group, in one statement: what is seen, its figures, its most frequent values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from atlaskit.model import TypedValue, ValueType
from atlaskit.postgres.choosing import Choice, Tenants, value_order
from atlaskit.postgres.pool import Row
from atlaskit.postgres.rendering import COLUMN, ERASURES, FIRST, FOREVER, VALUES, Parameters, erased, passes
from atlaskit.selection.results import FIGURES, OF_NUMBERS, group_keys, results
from atlaskit.selection.searches import (
    Counted,
    FunctionKind,
    Group,
    Grouping,
    GroupKind,
    GroupSearch,
    function_of,
)

_MICROSECOND: Final = timedelta(microseconds=1)
_NUMBER: Final = "exact_number(seen.value_int, seen.value_uint, seen.value_double)"
_PLACE: Final = 'seen.event_time, seen.tenant_id, seen.entity_id, seen.attribute_key COLLATE "C"'
_SIMPLE: Final = {
    FunctionKind.COUNT: "count(*)",
    FunctionKind.DISTINCT: "count(DISTINCT ROW({order}))",
    FunctionKind.ENTITIES: "count(DISTINCT ROW(seen.tenant_id, seen.entity_id))",
    FunctionKind.ATTRIBUTES: "count(DISTINCT seen.attribute_key)",
    FunctionKind.STANDARD_DEVIATION: "stddev_pop(coalesce(seen.value_int::double precision, seen.value_uint::double precision, seen.value_double))",
    FunctionKind.FIRST: "min(ROW({place}, seen.value_type, {columns}))",
    FunctionKind.LAST: "max(ROW({place}, seen.value_type, {columns}))",
    FunctionKind.FIRST_TIME: "min(seen.event_time)",
    FunctionKind.LAST_TIME: "max(seen.event_time)",
}
_FIGURES: Final = (
    "count(seen.value_int) + count(seen.value_uint)", "count(seen.value_double)", "min(seen.value_int)", "max(seen.value_int)",
    "min(seen.value_uint)", "max(seen.value_uint)", "min(seen.value_double)", "max(seen.value_double)",
    "coalesce(sum(seen.value_int), 0) + coalesce(sum(seen.value_uint), 0)", "coalesce(sum(seen.value_double), 0)",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the group's key, in the order of which groups come."""

    text: str
    sql_type: str


_KEY_COLUMNS: Final = {
    GroupKind.TENANT: _Column("seen.tenant_id", "integer"),
    GroupKind.ENTITY: _Column("seen.entity_id", "bigint"),
    GroupKind.CALENDAR_MONTH: _Column(
        "(extract(epoch FROM date_trunc('month', seen.event_time, 'UTC')) * 1000000)::bigint", "bigint"
    ),
    GroupKind.ATTRIBUTE: _Column('seen.attribute_key COLLATE "C"', "text"),
    GroupKind.SOURCE_TYPE: _Column("coalesce(s.source_type, '') COLLATE \"C\"", "text"),
    GroupKind.VALUE_TYPE: _Column("seen.value_type::integer", "integer"),
    GroupKind.ASSET_TYPE: _Column("coalesce(seen.asset_type, '') COLLATE \"C\"", "text"),
}


def grouped(search: GroupSearch) -> tuple[str, list[Any]]:
    """Return the text and the values of the statement that answers a search: one row a group, as `groups` reads them."""
    parameters = Parameters()
    tenants = Tenants(search.tenant_ids, parameters)
    keys = [column for place, part in enumerate(search.group_by) for column in _key_columns(part, place, parameters)]
    names = [f"g{number}" for number in range(len(keys))]
    shown = ", ".join(f"{column.text} AS {name}" for column, name in zip(keys, names, strict=True))
    head = f"WITH {_chosen_and_seen(search, tenants, parameters)}"
    conditions = [" OR ".join(passes(parameters, "seen", test) for test in tests) for tests in search.conditions]
    source = "FROM seen" + _joins(search)
    if conditions:
        source += " WHERE " + " AND ".join(f"({text})" for text in conditions)
    by = ", ".join(names)
    columns = ", ".join(filter(None, (shown, *_function_columns(search, parameters))))
    text = f"{head}, figures AS (SELECT {columns} {source}{_grouped_by(by)})"
    tail = "SELECT figures.*"
    if function_of(search.functions, FunctionKind.TOP):
        text += ", " + _tops(search, shown, by, source, parameters)
        tail += ", tops.top FROM figures" + (f" LEFT JOIN tops USING ({by})" if by else " LEFT JOIN tops ON true")
    else:
        tail += " FROM figures"
    return f"{text} {tail}{_page(search, keys, names, parameters)}", parameters.values


def groups(search: GroupSearch, rows: Sequence[Row]) -> list[Group]:
    """Return the groups that the rows of the statement hold, in their order."""
    return [_group(search, row) for row in rows]


def _grouped_by(by: str) -> str:
    # Without a grouping there would be a row even of nothing.
    return f" GROUP BY {by}" if by else " HAVING count(*) > 0"


def _page(search: GroupSearch, keys: list[_Column], names: list[str], parameters: Parameters) -> str:
    if not names:
        return ""
    text = ""
    if search.after is not None:
        values = [
            parameters.add(str(part), "text") + "::numeric"
            if column.sql_type == "numeric"
            else parameters.add(part, column.sql_type)
            for column, part in zip(keys, search.after, strict=True)
        ]
        text = f" WHERE ({', '.join(names)}) > ({', '.join(values)})"
    return f"{text} ORDER BY {', '.join(names)} LIMIT {parameters.add(search.most, 'integer')}"


def _key_columns(part: Grouping, place: int, parameters: Parameters) -> list[_Column]:
    match part.kind:
        case GroupKind.TIME_BUCKET:
            width = parameters.add(part.width // _MICROSECOND, "bigint")
            micros = f"(floor(extract(epoch FROM seen.event_time) * 1000000 / {width}) * {width})::bigint"
            return [_Column(micros, "bigint")]
        case GroupKind.ATTRIBUTE_VALUE:
            types = ("integer", "numeric", "text", "text")
            return [_Column(f"seen.k{place}_{number}", sql_type) for number, sql_type in enumerate(types)]
        case kind:
            return [_KEY_COLUMNS[kind]]


def _joins(search: GroupSearch) -> str:
    if any(part.kind is GroupKind.SOURCE_TYPE for part in search.group_by):
        return " LEFT JOIN source_types AS s ON s.source_type_id = seen.source_type_id"
    return ""


def _chosen_and_seen(search: GroupSearch, tenants: Tenants, parameters: Parameters) -> str:
    """Return the common table expressions `chosen` of entities and `seen` of observations."""
    by_value = {
        place: part.attribute for place, part in enumerate(search.group_by) if part.kind is GroupKind.ATTRIBUTE_VALUE
    }
    as_of = None if search.end is None else search.end - _MICROSECOND
    choice = Choice(parameters, tenants, search.predicate, tuple(by_value.values()), as_of)
    of_entity = ["e.tenant_id", "e.entity_id"]
    carried = []
    if any(part.kind is GroupKind.ASSET_TYPE for part in search.group_by):
        of_entity.append(
            "(SELECT t.asset_type FROM asset_types AS t WHERE t.tenant_id = e.tenant_id AND t.asset_type_id = e.asset_type_id) AS asset_type"
        )
        carried.append("asset_type")
    for place, attribute in by_value.items():
        alias = choice.alias(attribute)
        of_entity += [f"{text} AS k{place}_{number}" for number, text in enumerate(value_order(alias, longest=None))]
        of_entity.append(f"coalesce({alias}.value_type, 0) AS k{place}_type")
        carried += [f"k{place}_{suffix}" for suffix in (0, 1, 2, 3, "type")]
    chosen = f"SELECT {', '.join(of_entity)} FROM {choice.entities()} WHERE {choice.chosen()}"
    once = "" if search.predicate is None and not by_value else "MATERIALIZED "
    seen = (_of_prefix if search.is_prefix else _of_attribute)(search, tenants, parameters, carried)
    if search.latest:
        same = "tenant_id, entity_id, attribute_key"
        seen = f"SELECT DISTINCT ON ({same}) * FROM ({seen}) AS every ORDER BY {same}, event_time DESC"
    return f"{choice.before()}chosen AS {once}({chosen}), seen AS ({seen})"


def _seen_columns(carried: list[str]) -> str:
    values = VALUES.replace("h.", "w.")
    others = "".join(f", e.{name}" for name in carried)
    return f"e.tenant_id, e.entity_id, k.attribute_key, w.event_time, w.value_type, w.source_type_id, {values}{others}"


def _range(search: GroupSearch, parameters: Parameters) -> str:
    start, end = (
        parameters.add(search.start or FIRST, "timestamptz"),
        parameters.add(search.end or FOREVER, "timestamptz"),
    )
    return f"h.event_time >= {start} AND h.event_time < {end}"


def _of_attribute(search: GroupSearch, tenants: Tenants, parameters: Parameters, carried: list[str]) -> str:
    """Return the query for observations of one attribute: entity by entity, by the index."""
    tenant = tenants.of("e")
    key = parameters.add(search.attribute, "text")
    return (
        f"SELECT {_seen_columns(carried)} FROM chosen AS e"
        f" JOIN attribute_keys AS k ON k.tenant_id = {tenant} AND k.attribute_key = {key}"
        f" CROSS JOIN LATERAL (SELECT {erased(tenant, 'e.entity_id', 'k.attribute_id')} AS version) AS erased"
        " CROSS JOIN LATERAL (SELECT h.*, lead(h.event_time) OVER (ORDER BY h.event_time, h.row_version) AS after"
        f" FROM entity_attributes AS h WHERE h.tenant_id = {tenant} AND h.entity_id = e.entity_id"
        f" AND h.attribute_id = k.attribute_id AND {_range(search, parameters)}) AS w"
        " WHERE w.after IS DISTINCT FROM w.event_time AND w.deletion = 0 AND w.row_version > erased.version"
    )


def _of_prefix(search: GroupSearch, tenants: Tenants, parameters: Parameters, carried: list[str]) -> str:
    """Return the query for observations of many attributes: one pass over the history of the tenants."""
    key = parameters.add(search.attribute, "text")
    known = f'{tenants.are("k")} AND starts_with(k.attribute_key COLLATE "C", {key})'
    if search.keys_after is not None:
        known += f' AND k.attribute_key COLLATE "C" > {parameters.add(search.keys_after, "text")}'
    same = "h.tenant_id, h.entity_id, h.attribute_id"
    return (
        f"SELECT {_seen_columns(carried)} FROM (SELECT h.*,"
        f" lead(h.event_time) OVER (PARTITION BY {same} ORDER BY h.event_time, h.row_version) AS after,"
        f" max(h.row_version) FILTER (WHERE h.event_time = {ERASURES}) OVER (PARTITION BY {same}) AS of_attribute,"
        f" max(h.row_version) FILTER (WHERE h.event_time = {ERASURES} AND h.attribute_id = 0)"
        " OVER (PARTITION BY h.tenant_id, h.entity_id) AS of_entity"
        f" FROM entity_attributes AS h WHERE {tenants.are('h')} AND (h.event_time = {ERASURES} OR ({_range(search, parameters)}))"
        ") AS w"
        f" JOIN (SELECT k.tenant_id, k.attribute_id, k.attribute_key FROM attribute_keys AS k WHERE {known}) AS k"
        " ON k.tenant_id = w.tenant_id AND k.attribute_id = w.attribute_id"
        " JOIN chosen AS e ON e.tenant_id = w.tenant_id AND e.entity_id = w.entity_id"
        f" WHERE w.after IS DISTINCT FROM w.event_time AND w.deletion = 0 AND w.event_time > {ERASURES}"
        " AND w.row_version > greatest(w.of_attribute, w.of_entity, 0)"
    )


def _function_columns(search: GroupSearch, parameters: Parameters) -> list[str]:
    columns = ["count(*) AS count"]
    kinds = {function.kind for function in search.functions}
    if kinds & OF_NUMBERS:
        columns += [f"{text} AS {name}" for text, name in zip(_FIGURES, FIGURES[1:], strict=True)]
    texts = {
        "order": ", ".join(value_order("seen", longest=None)),
        "place": _PLACE,
        "columns": ", ".join(f"seen.{column}" for column in COLUMN.values()),
    }
    for kind in sorted((kinds & set(_SIMPLE)) - {FunctionKind.COUNT}):
        columns.append(f"{_SIMPLE[kind].format(**texts)} AS {kind.value}")
    for place, function in enumerate(search.functions):
        if function.kind is FunctionKind.PERCENTILE:
            fraction = parameters.add(function.fraction, "double precision")
            columns.append(
                f"(percentile_disc({fraction}) WITHIN GROUP (ORDER BY {_NUMBER}))::text AS percentile_{place}"
            )
    columns += [
        f"min(seen.k{place}_type) AS k{place}_type"
        for place, part in enumerate(search.group_by)
        if part.kind is GroupKind.ATTRIBUTE_VALUE
    ]
    return columns


def _tops(search: GroupSearch, shown: str, by: str, source: str, parameters: Parameters) -> str:
    """Return the common table expression `tops`: the most frequent values of each group, in one array."""
    most = max(function.limit for function in search.functions if function.kind is FunctionKind.TOP)
    order = value_order("seen", longest=None)
    named = ", ".join(f"{text} AS t{number}" for number, text in enumerate(order))
    keys = f"{shown}, " if shown else ""
    partition = f"PARTITION BY {by} " if by else ""
    grouping = ", ".join(filter(None, (by, "t0, t1, t2, t3")))
    counted = (
        f"SELECT {keys}{named}, min(seen.value_type) AS value_type, count(*) AS times {source} GROUP BY {grouping}"
    )
    ranked = f"SELECT *, row_number() OVER ({partition}ORDER BY times DESC, t0, t1, t2, t3) AS place FROM ({counted}) AS counted"
    result = "array_agg(ROW(value_type, t1::text, t2, t3, times) ORDER BY place) AS top"
    chosen = f"FROM ({ranked}) AS ranked WHERE place <= {parameters.add(most, 'integer')}"
    return f"tops AS (SELECT {by}, {result} {chosen} GROUP BY {by})" if by else f"tops AS (SELECT {result} {chosen})"


def _group(search: GroupSearch, row: Row) -> Group:
    computed: dict[str, Any] = dict(row.items())
    if "integer_sum" in computed:
        computed["integer_sum"] = int(row["integer_sum"])
        for name in ("min_uint64", "max_uint64"):
            computed[name] = None if row[name] is None else int(row[name])
    for name in ("first", "last"):
        if name in computed:
            computed[name] = _placed_value(row[name])
    for place, function in enumerate(search.functions):
        if function.kind is FunctionKind.PERCENTILE:
            computed[f"percentile_{place}"] = _percentile(row, place)
    if "top" in computed:
        computed["top"] = [_counted(*entry) for entry in row["top"] or ()]
    keys, cursor = group_keys(search.group_by, computed, 4, _typed)
    return Group(keys, results(search.functions, computed), cursor)


def _percentile(row: Row, place: int) -> int | float | None:
    text = row[f"percentile_{place}"]
    if text is None:
        return None
    return float(text) if row["doubles"] else int(Decimal(text))


def _placed_value(entry: tuple[Any, ...]) -> TypedValue:
    kind = ValueType(entry[4])
    stored = entry[5 + list(COLUMN).index(kind)]
    return TypedValue(kind, int(stored) if kind is ValueType.UINT64 else stored)


def _counted(value_type: int, number: str, text: str, octets: str, times: int) -> Counted:
    return Counted(_typed(value_type, number, text, octets), times)


def _typed(value_type: int, number: str, text: str, octets: str) -> TypedValue:
    match ValueType(value_type):
        case ValueType.STRING as kind:
            return TypedValue(kind, text)
        case ValueType.BYTES as kind:
            return TypedValue(kind, bytes.fromhex(octets))
        case ValueType.BOOL as kind:
            return TypedValue(kind, Decimal(number) != 0)
        case ValueType.DOUBLE as kind:
            return TypedValue(kind, float(number))
        case kind:
            return TypedValue(kind, int(Decimal(number)))
