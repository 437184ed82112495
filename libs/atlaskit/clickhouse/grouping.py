"""Functions over observations by group, in one statement."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from atlaskit.clickhouse.choosing import Choice
from atlaskit.clickhouse.pool import CALL_LIMIT, ClickHouse
from atlaskit.clickhouse.rendering import (
    FIRST,
    MICROSECONDS,
    VALUE,
    Parameters,
    cursor_value,
    is_number,
    number_order,
    passes,
    value_order,
)
from atlaskit.clickhouse.settings import SETTINGS
from atlaskit.model import TypedValue, ValueType
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
_TEXT_OF: Final = "tuple({v}.1, {v}.2, {v}.3, {v}.4, {v}.5, hex({v}.6), hex({v}.7))"
_PLACE: Final = "tuple(at, tenant_id, entity_id, toString(attribute_key))"
_SIMPLE: Final = {
    FunctionKind.DISTINCT: f"uniqExact(tuple({', '.join(value_order('v', None))}))",
    FunctionKind.ENTITIES: "uniqExact(tuple(tenant_id, entity_id))",
    FunctionKind.ATTRIBUTES: "uniqExact(attribute_key)",
    FunctionKind.STANDARD_DEVIATION: f"if(countIf({is_number('v')}) = 0, NULL, stddevPopStableIf({number_order('v')[0]}, {is_number('v')}))",
    FunctionKind.FIRST: f"argMin({_TEXT_OF.format(v='v')}, {_PLACE})",
    FunctionKind.LAST: f"argMax({_TEXT_OF.format(v='v')}, {_PLACE})",
    FunctionKind.FIRST_TIME: "min(at)",
    FunctionKind.LAST_TIME: "max(at)",
}
_FIGURES: Final = (
    "countIf(v.1 IN (1, 2))", "countIf(v.1 = 3)", "minOrNullIf(v.2, v.1 = 1)", "maxOrNullIf(v.2, v.1 = 1)",
    "minOrNullIf(v.3, v.1 = 2)", "maxOrNullIf(v.3, v.1 = 2)", "minOrNullIf(v.4, v.1 = 3)", "maxOrNullIf(v.4, v.1 = 3)",
    "toString(sumIf(toInt128(v.2), v.1 = 1) + sumIf(toInt128(v.3), v.1 = 2))", "sumIf(v.4, v.1 = 3)",
)  # fmt: skip


_KEY_COLUMNS: Final = {
    GroupKind.TENANT: ("tenant_id", "UInt32"),
    GroupKind.ENTITY: ("entity_id", "UInt64"),
    GroupKind.CALENDAR_MONTH: (
        "toUnixTimestamp64Micro(toDateTime64(toStartOfMonth(event_timestamp), 6, 'UTC'))",
        "Int64",
    ),
    GroupKind.ATTRIBUTE: ("toString(attribute_key)", "String"),
    GroupKind.SOURCE_TYPE: ("toString(source_type)", "String"),
    GroupKind.VALUE_TYPE: ("v.1", "Int8"),
    GroupKind.ASSET_TYPE: ("toString(asset_type)", "String"),
}


async def groups(clickhouse: ClickHouse, asked: GroupSearch, *, limit: timedelta = CALL_LIMIT) -> list[Group]:
    """Return the groups that a search asks for, by their keys."""
    text, parameters, names = grouped(asked)
    rows = await clickhouse.rows(text, parameters, limit=limit, settings=SETTINGS)
    return [_group(asked, dict(zip(names, row, strict=True))) for row in rows]


def grouped(asked: GroupSearch) -> tuple[str, dict[str, Any], list[str]]:
    """Return text, values and names of the columns of the statement that answers a search."""
    parameters = Parameters()
    tenants = parameters.add(list(asked.tenant_ids), "Array(UInt32)")
    keys = [column for place, part in enumerate(asked.group_by) for column in _key_columns(part, place, parameters)]
    names = [f"g{number}" for number in range(len(keys))]
    source = _source(asked, tenants, parameters)
    functions = _function_columns(asked, parameters)
    shown = [f"{text} AS {name}" for (text, _), name in zip(keys, names, strict=True)]
    columns = shown + [f"{text} AS {name}" for name, text in functions]
    by = ", ".join(names)
    figures = f"SELECT {', '.join(columns)} FROM {source} {f'GROUP BY {by}' if by else 'HAVING count() > 0'}"
    all_names = names + [name for name, _ in functions]
    text = f"SELECT {', '.join('f.' + name for name in all_names)} FROM ({figures}) AS f"
    if function_of(asked.functions, FunctionKind.TOP):
        tops = _tops(asked, shown, by, source, parameters)
        joined = f"LEFT JOIN ({tops}) AS t USING ({by})" if by else f"CROSS JOIN ({tops}) AS t"
        text = text.replace(" FROM (", ", t.top FROM (", 1) + f" {joined}"
        all_names.append("top")
    return text + _page(asked, keys, names, parameters), parameters.values, all_names


def _page(asked: GroupSearch, keys: list[tuple[str, str]], names: list[str], parameters: Parameters) -> str:
    if not names:
        return ""
    text = ""
    if asked.after is not None:
        values = [
            cursor_value(parameters, sql_type, value) for (_, sql_type), value in zip(keys, asked.after, strict=True)
        ]
        text = f" WHERE tuple({', '.join('f.' + name for name in names)}) > tuple({', '.join(values)})"
    by = ", ".join("f." + name for name in names)
    return f"{text} ORDER BY {by} LIMIT {parameters.add(asked.most, 'UInt32')}"


def _key_columns(part: Grouping, place: int, parameters: Parameters) -> list[tuple[str, str]]:
    """Return text and type of each column of a part of the key."""
    match part.kind:
        case GroupKind.TIME_BUCKET:
            width = parameters.microseconds(part.width)
            return [(f"intDiv(at, {width}) * {width}", "Int64")]
        case GroupKind.ATTRIBUTE_VALUE:
            types = ("UInt8", "Float64", "Int128", "String", "String")
            return list(zip(value_order(f"k{place}", None), types, strict=True))
        case kind:
            return [_KEY_COLUMNS[kind]]


def _source(asked: GroupSearch, tenants: str, parameters: Parameters) -> str:
    """Return the subquery of the observations that count, with what their entities add to them."""
    by_value = {
        place: part.attribute for place, part in enumerate(asked.group_by) if part.kind is GroupKind.ATTRIBUTE_VALUE
    }
    by_type = any(part.kind is GroupKind.ASSET_TYPE for part in asked.group_by)
    carried, joined = [], ""
    if asked.predicate is not None or by_value or by_type:
        as_of = None if asked.end is None else asked.end - _MICROSECOND
        choice = Choice(parameters, tenants, asked.predicate, tuple(by_value.values()), as_of)
        carried = ["asset_type"] if by_type else []
        carried += [f"k{place}" for place in by_value]
        shown = "".join(f", {choice.value(name)} AS k{place}" for place, name in by_value.items())
        chosen = f"SELECT tenant_id, entity_id, asset_type{shown} FROM {choice.entities()} WHERE {choice.condition()}"
        joined = f" INNER JOIN ({chosen}) AS c ON c.tenant_id = s.tenant_id AND c.entity_id = s.entity_id"
    others = "".join(f", c.{name} AS {name}" for name in carried)
    observed = (
        "SELECT s.tenant_id AS tenant_id, s.entity_id AS entity_id, s.attribute_key AS attribute_key, s.source_type AS source_type,"
        f" s.event_timestamp AS event_timestamp, s.at AS at, s.v AS v{others}"
        f" FROM ({_observations(asked, tenants, parameters)}) AS s{joined}"
    )
    tests = [" OR ".join(passes(parameters, "v", test) for test in condition) for condition in asked.conditions]
    where = " WHERE " + " AND ".join(f"({text})" for text in tests) if tests else ""
    return f"(SELECT * FROM ({observed}){where})"


def _observations(asked: GroupSearch, tenants: str, parameters: Parameters) -> str:
    where = [_of_attributes(asked, parameters)]
    if asked.start is not None:
        where.append(f"event_timestamp >= {parameters.instant(asked.start)}")
    if asked.end is not None:
        where.append(f"event_timestamp < {parameters.instant(asked.end)}")
    latest = " ORDER BY event_timestamp DESC LIMIT 1 BY tenant_id, entity_id, attribute_key" if asked.latest else ""
    return (
        f"SELECT tenant_id, entity_id, attribute_key, source_type, event_timestamp, {MICROSECONDS} AS at, {VALUE} AS v"
        f" FROM visible_values(tenants = {tenants}) WHERE {' AND '.join(where)}{latest}"
    )


def _of_attributes(asked: GroupSearch, parameters: Parameters) -> str:
    key = parameters.octets(asked.attribute)
    if not asked.is_prefix:
        return f"attribute_key = {key}"
    text = f"startsWith(attribute_key, {key})"
    if asked.keys_after is not None:
        text += f" AND attribute_key > {parameters.octets(asked.keys_after)}"
    return text


def _function_columns(asked: GroupSearch, parameters: Parameters) -> list[tuple[str, str]]:
    columns = [("count", "count()")]
    kinds = {function.kind for function in asked.functions}
    if kinds & OF_NUMBERS:
        columns += zip(FIGURES[1:], _FIGURES, strict=True)
    columns += [(kind.value, _SIMPLE[kind]) for kind in sorted(kinds & set(_SIMPLE))]
    for place, function in enumerate(asked.functions):
        if function.kind is FunctionKind.PERCENTILE:
            fraction = parameters.scalar(ValueType.DOUBLE, function.fraction)
            numbers = f"arraySort(groupArrayIf(tuple({', '.join(number_order('v'))}), {is_number('v')}))"
            place_of = f"toUInt64(greatest(1, ceil({fraction} * countIf({is_number('v')}))))"
            columns.append((f"percentile_{place}", f"arrayElement({numbers}, {place_of})"))
    columns += [
        (f"k{place}_type", f"min(k{place}.1)")
        for place, part in enumerate(asked.group_by)
        if part.kind is GroupKind.ATTRIBUTE_VALUE
    ]
    return columns


def _tops(asked: GroupSearch, shown: list[str], by: str, source: str, parameters: Parameters) -> str:
    """Return the query for the most frequent values of each group, in one array."""
    most = parameters.add(max(f.limit for f in asked.functions if f.kind is FunctionKind.TOP), "UInt32")
    order = value_order("v", None)
    named = [f"{text} AS t{number}" for number, text in enumerate(order)]
    parts = ", ".join(f"t{number}" for number in range(len(order)))
    counted = (
        f"SELECT {', '.join([*shown, *named])}, min(v.1) AS value_type, count() AS times FROM {source}"
        f" GROUP BY {', '.join(filter(None, (by, parts)))} ORDER BY times DESC, {parts} LIMIT {most}{f' BY {by}' if by else ''}"
    )
    # The order of an aggregation over a sorted subquery is not promised.
    top = f"arraySort(groupArray(tuple(-toInt64(times), {parts}, value_type))) AS top"
    return f"SELECT {f'{by}, ' if by else ''}{top} FROM ({counted}){f' GROUP BY {by}' if by else ''}"


def _group(asked: GroupSearch, row: dict[str, Any]) -> Group:
    keys, cursor = group_keys(asked.group_by, row, 5, _typed)
    return Group(keys, results(asked.functions, _computed(asked, row)), cursor)


def _computed(asked: GroupSearch, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its columns as `results` takes them."""
    if "integer_sum" in row:
        row["integer_sum"] = int(row["integer_sum"])
    for name in ("first", "last"):
        if name in row:
            row[name] = _value(row[name])
        if f"{name}_time" in row:
            row[f"{name}_time"] = FIRST + row[f"{name}_time"] * _MICROSECOND
    for place, function in enumerate(asked.functions):
        if function.kind is FunctionKind.PERCENTILE:
            row[f"percentile_{place}"] = _percentile(row, place)
    if "top" in row:
        row["top"] = [Counted(_typed(entry[6], *entry[2:6]), -entry[0]) for entry in row["top"]]
    return row


def _percentile(row: dict[str, Any], place: int) -> int | float | None:
    near, over = row[f"percentile_{place}"]
    if not row["integers"] and not row["doubles"]:
        return None
    return float(near) if row["doubles"] else int(near) + int(over)


def _typed(value_type: int, near: float, over: int, text: str, octets: str) -> TypedValue:
    match ValueType(value_type):
        case ValueType.STRING as kind:
            return TypedValue(kind, text)
        case ValueType.BYTES as kind:
            return TypedValue(kind, bytes.fromhex(octets))
        case ValueType.BOOL as kind:
            return TypedValue(kind, near != 0)
        case ValueType.DOUBLE as kind:
            return TypedValue(kind, near)
        case kind:
            return TypedValue(kind, int(near) + int(over))


def _value(entry: tuple[Any, ...]) -> TypedValue:
    kind = ValueType(entry[0])
    stored = entry[int(kind)]
    if kind is ValueType.STRING:
        return TypedValue(kind, bytes.fromhex(stored).decode())
    return TypedValue(kind, bytes.fromhex(stored) if kind is ValueType.BYTES else stored)
