"""Disks: 22,048 entities of six tenants, one row a day."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from atlas.query.v1 import query_service_pb2 as pb

from atlas_cli.answers.asking import (
    COUNT,
    ENTITIES,
    ENTITY,
    FIRST,
    FIRST_TIME,
    LAST,
    MEAN,
    SUM,
    TENANT,
    Asking,
    bucket,
    by_value,
    greater_than,
    top,
)
from atlas_cli.answers.texts import shown

SET = "backblaze/"
DAY = timedelta(days=1)
LAST_DAY = datetime(2013, 5, 9, tzinfo=UTC)
CARD = ("smart_5_raw", "smart_197_raw", "smart_194_raw", "smart_9_raw")
# Seen on the last day: its newest row is less than a day older than that.
REPORTING = '!silent_for("24h")'


async def drive_card(ask: Asking) -> str:
    tenant = ask.of(SET)["hitachi"]
    now = await ask.entity(tenant, "JK11A8B9J7PP3F")
    then = await ask.entity(tenant, "JK11A8B9J7PP3F", CARD, as_of=datetime(2013, 4, 25, tzinfo=UTC))
    day = now["model"].event_time.date()
    values = ", ".join(f"{name} {shown(now[name].value)}" for name in CARD)
    return f"{shown(now['model'].value)}, {day}: {values}. The same as of 2013-04-25: " + ", ".join(
        str(then[n].value) for n in CARD
    )


async def sick_drives(ask: Asking) -> str:
    where = f'attr["smart_197_raw"] > 0 && attr["smart_5_raw"] > 0 && {REPORTING}'
    order = (pb.SortKey(attribute_key="smart_5_raw", descending=True), pb.SortKey(entity_key=True))
    found = await ask.entities(ask.of(SET)["seagate"], where, CARD, order_by=order, as_of=LAST_DAY)
    five = ", ".join(
        f"({e.entity_key}, {shown(e.values['smart_5_raw'].value)}, {shown(e.values['smart_197_raw'].value)})"
        for e in found[:5]
    )
    return f"{len(found)} drives; first five by smart_5_raw (then serial), as (serial, smart_5, smart_197): {five}."


async def alert_feed(ask: Asking) -> str:
    tenants = ask.of(SET)
    names = {number: name for name, number in tenants.items()}
    groups = await ask.groups(
        list(tenants.values()),
        "failure",
        [top(2)],
        [TENANT],
        start=datetime(2013, 5, 3, tzinfo=UTC),
        end=LAST_DAY + DAY,
    )
    failed = {names[key]: counts[True] for [key], [counts] in groups if counts.get(True)}
    drives = []
    for number in tenants.values():
        drives += await ask.entities(number, f'attr["failure"] == true && {REPORTING}', as_of=LAST_DAY)
    serials = sorted(entity.entity_key for entity in drives)
    feed = ", ".join(f"{name} {failed[name]}" for name in sorted(failed))
    return f"{feed}; others none. On 2013-05-09: {', '.join(serials)}."


async def hot_drives(ask: Asking) -> str:
    where = f'attr["smart_194_raw"] >= 38 && {REPORTING}'
    order = (pb.SortKey(attribute_key="smart_194_raw", descending=True), pb.SortKey(entity_key=True))
    counts, hottest = {}, []
    for name, number in sorted(ask.of(SET).items()):
        found = await ask.entities(number, where, ("smart_194_raw",), order_by=order, as_of=LAST_DAY)
        counts[name] = len(found)
        hottest += [(-int(str(e.values["smart_194_raw"].value)), e.entity_key) for e in found]
    per_tenant = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    three = ", ".join(f"{key} {-heat}" for heat, key in sorted(hottest)[:3])
    return f"{per_tenant}; others none. Hottest three (then serial): {three}."


async def silent_drives(ask: Asking) -> str:
    tenants = ask.of(SET)
    where = 'silent_for("24h") && attr["failure"] == false'
    silent = {}
    for name, number in sorted(tenants.items()):
        silent[name] = len(await ask.entities(number, where, as_of=LAST_DAY))
    numbers = list(tenants.values())
    [(_, [failed])] = await ask.groups(numbers, "failure", [top(2)])
    # A drive that was seen again would show a later row without failure.
    [(_, [last])] = await ask.groups(numbers, "failure", [top(2)], latest_only=True)
    rows, still = failed.get(True, 0), last.get(True, 0)
    counts = ", ".join(f"{name} {count}" for name, count in silent.items() if count)
    return f"{sum(silent.values())} in all: {counts}. Drives that failed: {rows}; of these seen again on a later day: {rows - still}."


async def failure_rates(ask: Asking) -> str:
    groups = await ask.groups(list(ask.of(SET).values()), "failure", [COUNT, top(2)], [by_value("model")])
    rates = []
    for [model], [days, counts] in groups:
        failures = counts.get(True, 0)
        if days >= 10_000:
            rates.append((-days, f"{model} {days:,} / {failures} / {round(failures * 36500 / days, 4)}"))
    return "; ".join(text for _, text in sorted(rates)) + "."


async def daily_means(ask: Asking) -> str:
    groups = await ask.groups(list(ask.of(SET).values()), "smart_194_raw", [SUM, COUNT, MEAN], [bucket(DAY)])
    days = {day.date(): results for [day], results in groups}
    first, last = min(days), max(days)
    shown = "; ".join(f"{day}: {days[day][0]:,} / {days[day][1]:,} = {days[day][2]:.6f}" for day in (first, last))
    hottest = max(days, key=lambda day: days[day][2])
    coldest = min(days, key=lambda day: days[day][2])
    return f"{shown}; hottest day {hottest} ({days[hottest][2]:.6f}), coldest {coldest} ({days[coldest][2]:.6f})."


async def signs_of_failure(ask: Asking) -> str:
    tenants = list(ask.of(SET).values())

    async def failed(where: str) -> int:
        [(_, [count])] = await ask.groups(tenants, "failure", [ENTITIES], latest_only=True, where=where)
        return int(count)

    async def rows(attribute: str) -> int:
        [(_, [count])] = await ask.groups(tenants, attribute, [COUNT], conditions=[greater_than(0)])
        return int(count)

    every, of_5 = (
        await failed('attr["failure"] == true'),
        await failed('attr["failure"] == true && attr["smart_5_raw"] > 0'),
    )
    of_197 = await failed('attr["failure"] == true && attr["smart_197_raw"] > 0')
    [(_, [total])] = await ask.groups(tenants, "smart_5_raw", [COUNT])
    with_5, with_197 = await rows("smart_5_raw"), await rows("smart_197_raw")
    return (
        f"of {every} failure rows {of_5} have smart_5_raw > 0 ({round(100 * of_5 / every, 4)} %) and {of_197} smart_197_raw > 0;"
        f" of all rows {with_5:,} ({round(100 * with_5 / total, 4)} %) and {with_197:,}."
    )


async def growth(ask: Asking) -> str:
    grown = []
    for number in ask.of(SET).values():
        groups = await ask.groups([number], "smart_5_raw", [FIRST, LAST], [ENTITY])
        best = sorted(((first - last, entity, first, last) for [entity], [first, last] in groups))[:12]
        for change, entity, first, last in best:
            key = (await ask.acting_for(number).get_entity(number, entity, ["model"])).entity.entity_key
            grown.append((change, key, first, last))
    return ", ".join(f"({key}, {-change}, {first}, {last})" for change, key, first, last in sorted(grown)[:5]) + "."


async def fleet_growth(ask: Asking) -> str:
    tenants = list(ask.of(SET).values())
    groups = await ask.groups(tenants, "failure", [FIRST_TIME], [TENANT, ENTITY])
    days = Counter(time.date() for _, [time] in groups)
    first = min(days)
    later = {day: count for day, count in days.items() if day != first}
    five = sorted(later.items(), key=lambda item: -item[1])[:5]
    [(_, [octets, drives])] = await ask.groups(
        tenants, "capacity_bytes", [SUM, COUNT], start=LAST_DAY, end=LAST_DAY + DAY
    )
    shown = ", ".join(f"{day} {count}" for day, count in five)
    return (
        f"{sum(later.values())}; by day: {shown} (top five). Bytes in service on the last day: {octets:,} on {drives:,} drives"
        " (exact integer)."
    )


QUESTIONS = {
    "B-O1": drive_card,
    "B-O2": sick_drives,
    "B-O3": alert_feed,
    "B-O4": hot_drives,
    "B-O5": silent_drives,
    "B-A1": failure_rates,
    "B-A2": daily_means,
    "B-A3": signs_of_failure,
    "B-A4": growth,
    "B-A5": fleet_growth,
}
