"""Network devices: 26 entities of 22 tenants and 568,111 keys; and the same walks with an entity for each row (mode 2)."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from atlas_cli.answers.asking import (
    ATTRIBUTE,
    ATTRIBUTES,
    COUNT,
    ENTITIES,
    ENTITY,
    LAST,
    SOURCE_TYPE,
    SUM,
    TENANT,
    Asking,
    greater_than,
)
from atlas_cli.answers.texts import shown

SET = "snmp/"
ROWS = "snmp-rows/"
DESCRIPTION, UP_TIME, INTERFACES = "1.3.6.1.2.1.1.1.0", "1.3.6.1.2.1.1.3.0", "1.3.6.1.2.1.2.1.0"
ADMINISTRATIVE, OPERATIONAL = "1.3.6.1.2.1.2.2.1.7.", "1.3.6.1.2.1.2.2.1.8."
ERRORS_IN = "1.3.6.1.2.1.2.2.1.14."
OCTETS_IN = "1.3.6.1.2.1.31.1.1.1.6."
CISCO = "network/switch/cisco-c3750"
A_DAY = 8_640_000  # hundredths of a second


async def devices(ask: Asking) -> dict[int, str]:
    """Return the devices by the platform's numbers."""
    found: dict[int, str] = {}
    for number in ask.of(SET).values():
        found |= {one.entity_id: one.entity_key for one in await ask.entities(number, 'asset_type != "none"')}
    return found


async def device_card(ask: Asking) -> str:
    values = await ask.entity(ask.of(SET)["9"], CISCO, [DESCRIPTION, UP_TIME, INTERFACES])
    begins = shown(values[DESCRIPTION].value)[:60]
    return f"tenant 9; sysDescr begins `{begins}`; sysUpTime {shown(values[UP_TIME].value)}; ifNumber {shown(values[INTERFACES].value)}."


async def down_interfaces(ask: Asking) -> str:
    tenants, names = list(ask.of(SET).values()), await devices(ask)

    async def states(prefix: str) -> dict[tuple[int, str], Any]:
        groups = await ask.groups(tenants, prefix, [LAST], [ENTITY, ATTRIBUTE], by_prefix=True)
        return {(entity, key.removeprefix(prefix)): state for [entity, key], [state] in groups}

    wanted, found = await states(ADMINISTRATIVE), await states(OPERATIONAL)
    down = Counter(
        names[entity] for (entity, row), state in wanted.items() if state == 1 and found.get((entity, row)) == 2
    )
    worst = sorted(down.items(), key=lambda item: (-item[1], item[0]))[:5]
    return (
        f"{sum(down.values())} on {len(down)} devices; worst: {', '.join(f'{name} {count}' for name, count in worst)}."
    )


async def young_devices(ask: Asking) -> str:
    names = await devices(ask)
    groups = await ask.groups(list(ask.of(SET).values()), UP_TIME, [LAST], [ENTITY])
    up = sorted((ticks, names[entity]) for [entity], [ticks] in groups if isinstance(ticks, int))
    young = ", ".join(sorted(name for ticks, name in up if ticks < A_DAY))
    ticks, name = up[-1]
    return f"{young} (of {len(up)} that report it); longest {name} {ticks}."


async def interface_errors(ask: Asking) -> str:
    names = await devices(ask)
    groups = await ask.groups(
        list(ask.of(SET).values()), ERRORS_IN, [COUNT, SUM], [ENTITY], by_prefix=True, conditions=[greater_than(0)]
    )
    ranked = sorted((-total, names[entity], count) for [entity], [count, total] in groups)
    three = ", ".join(f"{name} ({count}, {-total:,})" for total, name, count in ranked[:3])
    interfaces, total = sum(one[2] for one in ranked), -sum(one[0] for one in ranked)
    return f"{interfaces} on {len(ranked)} devices, sum {total:,}; top three (interfaces, sum): {three}."


async def by_prefix(ask: Asking) -> str:
    entity = {name: number for number, name in (await devices(ask)).items()}[CISCO]
    parts = []
    for title, prefix in (
        ("system", "1.3.6.1.2.1.1."),
        ("ifTable", "1.3.6.1.2.1.2.2.1."),
        ("ifXTable", "1.3.6.1.2.1.31.1.1.1."),
        ("enterprises", "1.3.6.1.4.1."),
    ):
        groups = await ask.groups([ask.of(SET)["9"]], prefix, [COUNT], [ENTITY], by_prefix=True)
        count = {key: results[0] for [key], results in groups}[entity]
        parts.append(f"{title} `{prefix}` {count:,}")
    return ", ".join(parts) + "."


async def types(ask: Asking) -> str:
    groups = await ask.groups(list(ask.of(SET).values()), "", [COUNT], [SOURCE_TYPE], by_prefix=True)
    counts = {kind.lower(): count for [kind], [count] in groups}
    order = ("int32", "counter64", "octets", "gauge32", "counter32", "ipv4", "oid", "timeticks", "opaque")
    return ", ".join(f"{kind} {counts[kind]:,}" for kind in order) + "."


async def keys(ask: Asking) -> str:
    groups = await ask.groups(list(ask.of(SET).values()), "", [ENTITIES], [ATTRIBUTE], by_prefix=True)
    common = sorted(((-count, key) for [key], [count] in groups))[:5]
    shared = sum(count >= 2 for _, [count] in groups)
    shown = ", ".join(f"{key} ({-count})" for count, key in common)
    rows = list(ask.of(ROWS).values())
    [(_, [names, entities])] = await ask.groups(rows, "", [ATTRIBUTES, ENTITIES], by_prefix=True)
    of_rows = await ask.groups(rows, "", [COUNT], [ATTRIBUTE], by_prefix=True)
    single = sum(count == 1 for _, [count] in of_rows)
    largest = sorted(((-count, key) for [key], [count] in of_rows))[:3]
    return (
        f"{len(groups):,}; on two or more devices {shared:,}; most common: {shown}. Mode 2: {names:,} keys, {entities:,} entities,"
        f" {single:,} keys with one value only; largest keys: "
        + ", ".join(f"{key} ({-count:,})" for count, key in largest)
        + "."
    )


async def largest_devices(ask: Asking) -> str:
    names = await devices(ask)
    groups = await ask.groups(list(ask.of(SET).values()), "", [COUNT], [ENTITY], by_prefix=True)
    five = sorted((-count, names[entity]) for [entity], [count] in groups)[:5]
    return ", ".join(f"{name} {-count:,}" for count, name in five) + "."


async def octets(ask: Asking) -> str:
    names = {number: name for name, number in ask.of(SET).items()}
    groups = await ask.groups(list(names), OCTETS_IN, [COUNT, SUM], [TENANT, SOURCE_TYPE], by_prefix=True)
    sums: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for [tenant, kind], [count, total] in groups:
        if kind.lower() == "counter64":
            sums[names[tenant]] = (count, total)
    ranked = sorted(sums.items(), key=lambda item: -item[1][1])
    return "; ".join(f"{name} {count}, {total:,}" for name, (count, total) in ranked) + "."


async def subtrees(ask: Asking) -> str:
    tenants = list(ask.of(SET).values())

    async def under(prefix: str, **options: Any) -> int:
        groups = await ask.groups(tenants, prefix, [COUNT], by_prefix=True, **options)
        return int(groups[0][1][0])

    every, standard, private = await under(""), await under("1.3.6.1.2.1."), await under("1.3.6.1.4.1.")
    large = await ask.groups(tenants, "", [COUNT], [SOURCE_TYPE], by_prefix=True, conditions=[greater_than(2**63 - 1)])
    counters = {kind.lower(): count for [kind], [count] in large}["counter64"]
    return (
        f"{standard:,}, under `1.3.6.1.4.1.` {private:,} ({100 * private / every:.2f} %), elsewhere {every - standard - private:,}."
        f" Counter64 values above 2^63-1: {counters:,}."
    )


QUESTIONS = {
    "S-O1": device_card,
    "S-O2": down_interfaces,
    "S-O3": young_devices,
    "S-O4": interface_errors,
    "S-O5": by_prefix,
    "S-A1": types,
    "S-A2": keys,
    "S-A3": largest_devices,
    "S-A4": octets,
    "S-A5": subtrees,
}
