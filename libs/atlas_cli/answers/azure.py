"""Six virtual machines of two tenants, deep histories, keys that come and go."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from atlas.query.v1 import query_service_pb2 as pb

from atlas_cli.answers.asking import (
    ATTRIBUTE,
    ATTRIBUTES,
    COUNT,
    DEVIATION,
    ENTITY,
    FIRST_TIME,
    LAST_TIME,
    MAX,
    MEAN,
    MONTH,
    Asking,
    percentile,
)
from atlas_cli.answers.texts import instant, shown

SET = "azure/"
EVENTS = "Sysbench/Test:_CPU/Events Per Second"
REDIS_SET = "Redis/Test:_SET_-_Parallel_Connections:_50/Requests Per Second"
REDIS_GET = "Redis/Test:_GET_-_Parallel_Connections:_50/Requests Per Second"
IDLE = "Intel_Memory_Latency_Checker/Test:_Idle_Latency/ns"
LATENCY = "PostgreSQL/Scaling_Factor:_2500_-_Clients:_25_-_Mode:_Read_Write_(TPC-B_Like)_-_Average_Latency/ms"
CACHE = "Stress-NG/Test:_CPU_Cache/Bogo Ops_s"
SUITES = (
    "Flexible_IO_Tester", "Intel_Memory_Latency_Checker", "OSBench", "PostgreSQL", "Redis", "Stress-NG", "Sysbench",
    "perf-bench",
)  # fmt: skip
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
MACHINES = ("0", "1", "2")


async def latest_events(ask: Asking) -> str:
    return await _of_machines(ask, EVENTS, None)


async def as_of_new_year(ask: Asking) -> str:
    return await _of_machines(ask, REDIS_SET, datetime(2024, 1, 1, tzinfo=UTC))


async def last_ten(ask: Asking) -> str:
    parts = []
    for name, number in sorted(ask.of(SET).items()):
        for machine in MACHINES:
            ten = await ask.newest(number, machine, IDLE, 10)
            parts.append(f"{name}/{machine} {sum(float(str(one.value)) for one in ten) / len(ten):.2f}")
    return "; ".join(parts) + "."


async def last_day(ask: Asking) -> str:
    parts = []
    for name, number in sorted(ask.of(SET).items()):
        for machine, entity, last in await _last_times(ask, number):
            # From just after a day before the last observation up to it.
            groups = await ask.groups(
                [number],
                "",
                [ATTRIBUTES, COUNT],
                [ENTITY],
                by_prefix=True,
                start=last - DAY + MICROSECOND,
                end=last + MICROSECOND,
            )
            keys, count = {key: results for [key], results in groups}[entity]
            parts.append(f"{name}/{machine} {keys} keys, {count} observations, last {instant(last)}")
    return "; ".join(parts) + "."


async def alert_replay(ask: Asking) -> str:
    above = pb.ValueCondition(operator=pb.COMPARISON_OPERATOR_GREATER)
    above.operand.double_value = 20.0
    parts = []
    for name, number in sorted(ask.of(SET).items()):
        groups = await ask.groups([number], LATENCY, [COUNT, FIRST_TIME, LAST_TIME, MAX], [ENTITY], conditions=[above])
        if not groups:
            parts.append(f"{name} none")
            continue
        machines = {entity: machine for machine, entity, _ in await _last_times(ask, number)}
        count = sum(results[0] for _, results in groups)
        first = min((results[1], machines[key]) for [key], results in groups)
        last = max((results[2], machines[key]) for [key], results in groups)
        worst, machine = max((results[3], machines[key]) for [key], results in groups)
        when = await _when(ask, number, worst)
        values = [await _value_at(ask, number, machine_, time) for time, machine_ in (first, last)]
        parts.append(
            f"{name} {count}, first {instant(first[0])} (VM {first[1]}, {values[0]}), last {instant(last[0])} (VM {last[1]},"
            f" {values[1]}), worst {worst} at {instant(when)} (VM {machine})"
        )
    return "; ".join(parts) + "."


async def counts(ask: Asking) -> str:
    tenants = ask.of(SET)
    machines = []
    for name, number in sorted(tenants.items()):
        known = {entity: machine for machine, entity, _ in await _last_times(ask, number)}
        groups = await ask.groups([number], "", [COUNT], [ENTITY], by_prefix=True)
        machines += sorted(f"{name}/{known[key]} {count:,}" for [key], [count] in groups)
    suites = []
    for suite in SUITES:
        [(_, [count])] = await ask.groups(list(tenants.values()), f"{suite}/", [COUNT], by_prefix=True)
        suites.append(f"{suite} {count:,}")
    return f"{', '.join(machines)}; per suite: {', '.join(suites)}."


async def monthly(ask: Asking) -> str:
    parts = []
    for name, number in sorted(ask.of(SET).items()):
        groups = await ask.groups([number], CACHE, [COUNT, MEAN], [MONTH])
        months = ", ".join(f"{month:%Y-%m} {count} / {mean:.3f}" for [month], [count, mean] in groups)
        parts.append(f"{name}: {months}")
    return " | ".join(parts) + "."


async def noisiest(ask: Asking) -> str:
    parts = []
    for name, number in sorted(ask.of(SET).items()):
        groups = await ask.groups([number], "", [COUNT, MEAN, DEVIATION], [ATTRIBUTE], by_prefix=True)
        noisy = sorted((-sd / mean, key, count) for [key], [count, mean, sd] in groups if count >= 1000 and mean)[:5]
        parts.append(f"{name}: " + "; ".join(f"`{key}` n={count:,} cv={-cv:.6f}" for cv, key, count in noisy))
    return " | ".join(parts) + "."


async def percentiles(ask: Asking) -> str:
    parts = []
    functions = [COUNT, percentile(0.5), percentile(0.95), percentile(0.99)]
    for name, number in sorted(ask.of(SET).items()):
        known = {entity: machine for machine, entity, _ in await _last_times(ask, number)}
        for [key], [count, *marks] in sorted(
            await ask.groups([number], REDIS_GET, functions, [ENTITY]), key=lambda group: known[group[0][0]]
        ):
            parts.append(f"{name}/{known[key]} n={count:,}: " + " / ".join(str(mark) for mark in marks))
    return "; ".join(parts) + "."


async def key_drift(ask: Asking) -> str:
    parts = []
    for name, number in sorted(ask.of(SET).items()):
        keys = await ask.attributes(number)
        first = [key.first_event_time.ToDatetime(tzinfo=UTC) for key in keys]
        last = [key.last_event_time.ToDatetime(tzinfo=UTC) for key in keys]
        month = timedelta(days=30)
        silent = sum(time < max(last) - month for time in last)
        late = sum(time > min(first) + month for time in first)
        rare = sum(sum(kind.count for kind in key.types) <= 2 for key in keys)
        parts.append(f"{name} {len(keys)} / {silent} / {late} / {rare}")
    return "; ".join(parts) + "."


async def _of_machines(ask: Asking, attribute: str, as_of: datetime | None) -> str:
    parts = []
    for name, number in sorted(ask.of(SET).items()):
        for machine in MACHINES:
            value = (await ask.entity(number, machine, [attribute], as_of=as_of))[attribute]
            parts.append(f"{name}/{machine} {shown(value.value)} at {instant(value.event_time)}")
    return "; ".join(parts) + "."


async def _last_times(ask: Asking, number: int) -> list[tuple[str, int, datetime]]:
    """Return machine, number and newest time of each entity of a tenant."""
    groups = await ask.groups([number], "", [LAST_TIME], [ENTITY], by_prefix=True)
    newest: defaultdict[int, datetime] = defaultdict(lambda: datetime.min.replace(tzinfo=UTC))
    newest |= {key: time for [key], [time] in groups}
    entities = await ask.entities(number, 'asset_type == "vm"')
    return sorted((one.entity_key, one.entity_id, newest[one.entity_id]) for one in entities)


async def _when(ask: Asking, number: int, worst: float) -> datetime:
    """Return when the worst latency of a tenant was observed."""
    exactly = pb.ValueCondition(operator=pb.COMPARISON_OPERATOR_EQUAL)
    exactly.operand.double_value = worst
    [(_, [time])] = await ask.groups([number], LATENCY, [FIRST_TIME], conditions=[exactly])
    found: datetime = time
    return found


async def _value_at(ask: Asking, number: int, machine: str, time: datetime) -> object:
    return (await ask.entity(number, machine, [LATENCY], as_of=time))[LATENCY].value


QUESTIONS = {
    "V-O1": latest_events,
    "V-O2": as_of_new_year,
    "V-O3": last_ten,
    "V-O4": last_day,
    "V-O5": alert_replay,
    "V-A1": counts,
    "V-A2": monthly,
    "V-A3": noisiest,
    "V-A4": percentiles,
    "V-A5": key_drift,
}
