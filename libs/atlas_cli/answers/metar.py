"""Weather reports: 5,302 stations of 22 tenants, sparse keys, redeliveries and corrections.

What came when is not part of the platform's data. So that deliveries can be counted, the runner also writes the two keys
that these questions need under a tenant of their own, an entity for each row delivered, its snapshot as its asset type.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from atlas.query.v1 import query_service_pb2 as pb
from atlas_client.answers import Entity

from atlas_cli.answers.asking import (
    COUNT,
    ENTITY,
    FIRST,
    FIRST_TIME,
    LAST,
    LAST_TIME,
    MEAN,
    TENANT,
    Asking,
    top,
)
from atlas_cli.answers.texts import shown

SET = "metar/"
DELIVERIES = "metar-deliveries"
REPORT = (
    "temp_c", "dewpoint_c", "wind_speed_kt", "visibility_statute_mi", "altim_in_hg", "flight_category", "metar_type",
)  # fmt: skip
KEYS = [
    "raw_text",
    "latitude",
    "longitude",
    "temp_c",
    "dewpoint_c",
    "wind_dir_degrees",
    "wind_speed_kt",
    "wind_gust_kt",
    "visibility_statute_mi",
    "altim_in_hg",
    "sea_level_pressure_mb",
    "corrected",
    "auto",
    "auto_station",
    "maintenance_indicator_on",
    "no_signal",
    "lightning_sensor_off",
    "freezing_rain_sensor_off",
    "present_weather_sensor_off",
    "wx_string",
    "sky_cover_1",
    "cloud_base_ft_agl_1",
    "sky_cover_2",
    "cloud_base_ft_agl_2",
    "sky_cover_3",
    "cloud_base_ft_agl_3",
    "sky_cover_4",
    "cloud_base_ft_agl_4",
    "flight_category",
    "three_hr_pressure_tendency_mb",
    "maxT_c",
    "minT_c",
    "maxT24hr_c",
    "minT24hr_c",
    "precip_in",
    "pcp3hr_in",
    "pcp6hr_in",
    "pcp24hr_in",
    "snow_in",
    "vert_vis_ft",
    "metar_type",
    "elevation_m",
]
# Not older than two hours: at two hours and a microsecond it is.
FRESH = '!silent_for("2h0m0s1us")'


async def newest_of_all(ask: Asking) -> datetime:
    """Return the newest time of an observation of the set."""
    [(_, [newest])] = await ask.groups(list(ask.of(SET).values()), "raw_text", [LAST_TIME])
    found: datetime = newest
    return found


async def fresh(ask: Asking, where: str, attributes: tuple[str, ...] = ()) -> list[Entity]:
    """Return the fresh stations of all tenants that fulfil a filter."""
    newest = await newest_of_all(ask)
    found: list[Entity] = []
    for number in ask.of(SET).values():
        found += await ask.entities(number, f"{where} && {FRESH}" if where else FRESH, attributes, as_of=newest)
    return found


async def latest_report(ask: Asking) -> str:
    values = await ask.entity(ask.of(SET)["K"], "KATL")
    time = values["raw_text"].event_time
    report = ", ".join(f"{name} {shown(values[name].value)}" for name in REPORT if values[name].event_time == time)
    return f"observation_time {time:%Y-%m-%dT%H:%M:%SZ}, {report}."


async def low_visibility(ask: Asking) -> str:
    newest = await newest_of_all(ask)
    where = f'attr["flight_category"].within("0s") == "LIFR" && {FRESH}'
    order = (pb.SortKey(entity_key=True),)
    low = await ask.entities(ask.of(SET)["K"], where, order_by=order, as_of=newest)
    every = await fresh(ask, "")
    names = ", ".join(entity.entity_key for entity in low[:10])
    return f"{len(low)} (fresh stations in all tenants: {len(every):,}); first ten by name: {names}."


async def gusts(ask: Asking) -> str:
    strong = await fresh(ask, 'attr["wind_gust_kt"].within("0s") >= 40', ("wind_gust_kt",))
    ranked = sorted((-int(str(e.values["wind_gust_kt"].value)), e.entity_key) for e in strong)
    return ", ".join(f"{key} {-gust}" for gust, key in ranked) + f" ({len(ranked)})."


async def silent_stations(ask: Asking) -> str:
    newest = await newest_of_all(ask)
    counts = {}
    for name, number in ask.of(SET).items():
        counts[name] = len(await ask.entities(number, 'silent_for("6h0m0s1us")', as_of=newest))
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:6]
    return f"{sum(counts.values())}; largest tenants: {', '.join(f'{name} {count}' for name, count in largest)}."


async def maintenance(ask: Asking) -> str:
    asking = 'attr["maintenance_indicator_on"].within("0s") == true'
    every = await fresh(ask, asking)
    cold = await fresh(ask, f'{asking} && !exists(attr["temp_c"].within("0s"))')
    names = sorted(entity.entity_key for entity in cold)
    return f"{len(every)}; of these without a temperature: {len(cold)} (first five: {', '.join(names[:5])})."


async def redeliveries(ask: Asking) -> str:
    tenants = list(ask.of(SET).values())
    [(_, [delivered])] = await ask.groups([ask.tenants[DELIVERIES]], "metar_type", [COUNT])
    [(_, [distinct])] = await ask.groups(tenants, "raw_text", [COUNT])
    [(_, [types])] = await ask.groups(tenants, "metar_type", [top(5)])
    return (
        f"{delivered:,}, distinct observations {distinct:,}, redelivered {delivered - distinct:,}, changed on redelivery"
        f" {ask.corrected}; after last-write-wins SPECI {types['SPECI']:,}, METAR {types['METAR']:,}."
    )


async def mean_temperatures(ask: Asking) -> str:
    names = {number: name for name, number in ask.of(SET).items()}
    groups = await ask.groups(list(names), "temp_c", [COUNT, MEAN], [TENANT])
    ranked = sorted(((-count, names[key], mean) for [key], [count, mean] in groups))[:6]
    return ", ".join(f"{name} {-count:,}, {mean:.4f}" for count, name, mean in ranked).replace("), ", "; ") + "."


async def filled_values(ask: Asking) -> str:
    filled: Counter[str] = Counter()
    for number in ask.of(SET).values():
        for key in await ask.attributes(number):
            filled[key.attribute_key] += sum(kind.count for kind in key.types)
    return ", ".join(f"{key} {filled[key]:,}" for key in KEYS) + "."


async def by_snapshot(ask: Asking) -> str:
    number = ask.tenants[DELIVERIES]
    by_type = [pb.Grouping(asset_type=True)]
    rows = {snapshot: count for [snapshot], [count] in await ask.groups([number], "metar_type", [COUNT], by_type)}
    parts = []
    for [snapshot], [counts] in await ask.groups([number], "flight_category", [top(10)], by_type):
        none = rows[snapshot] - sum(counts.values())
        named = ", ".join(f"{name} {counts[name]:,}" for name in ("IFR", "LIFR", "MVFR", "VFR"))
        parts.append(f"{snapshot} (none) {none}, {named}")
    return "; ".join(parts) + "."


async def falls(ask: Asking) -> str:
    fallen = []
    for number in ask.of(SET).values():
        groups = await ask.groups([number], "temp_c", [FIRST, LAST, FIRST_TIME, LAST_TIME], [ENTITY])
        changes = sorted(
            (round(last - first, 4), key, first, last, begun, ended) for [key], [first, last, begun, ended] in groups
        )
        for change, key, *rest in changes[:12]:
            name = (await ask.acting_for(number).get_entity(number, key, ["temp_c"])).entity.entity_key
            fallen.append((change, name, *rest))
    five = sorted(fallen)[:5]
    return (
        "; ".join(
            f"{name} {change} ({first} at {begun:%Y-%m-%dT%H:%M:%SZ} to {last} at {ended:%Y-%m-%dT%H:%M:%SZ})"
            for change, name, first, last, begun, ended in five
        )
        + "."
    )


QUESTIONS = {
    "M-O1": latest_report,
    "M-O2": low_visibility,
    "M-O3": gusts,
    "M-O4": silent_stations,
    "M-O5": maintenance,
    "M-A1": redeliveries,
    "M-A2": mean_temperatures,
    "M-A3": filled_values,
    "M-A4": by_snapshot,
    "M-A5": falls,
}
