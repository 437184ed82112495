"""Aviation weather reports: snapshots of the newest report of each station; reports come again, some corrected."""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import BinaryIO

from atlaskit.model import Scalar, ValueType

from atlas_cli.sets.batches import DataFault, DataSet, TenantWrite, Write

KINDS = """
double: latitude longitude temp_c dewpoint_c visibility_statute_mi altim_in_hg sea_level_pressure_mb elevation_m
double: three_hr_pressure_tendency_mb maxT_c minT_c maxT24hr_c minT24hr_c
double: precip_in pcp3hr_in pcp6hr_in pcp24hr_in snow_in
int64: wind_dir_degrees wind_speed_kt wind_gust_kt cloud_base_ft_agl vert_vis_ft
bool: corrected auto auto_station maintenance_indicator_on no_signal
bool: lightning_sensor_off freezing_rain_sensor_off present_weather_sensor_off
"""
KIND_OF = {
    column: kind
    for kind, _, columns in (line.partition(":") for line in KINDS.split("\n"))
    for column in columns.split()
}
TRUTH = {"TRUE": True, "FALSE": False}


def keys_of(header: Sequence[str]) -> list[str]:
    """Return the attribute key of each column: its name, and where a name repeats, with `_1`, `_2` and so on."""
    times = Counter(header)
    seen: Counter[str] = Counter()
    keys = []
    for name in header:
        seen[name] += 1
        keys.append(f"{name}_{seen[name]}" if times[name] > 1 else name)
    return keys


def typed(column: str, text: str) -> tuple[ValueType, Scalar]:
    """Return the value of a cell that is not empty, with the type of its column."""
    match KIND_OF.get(column):
        case "double":
            return ValueType.DOUBLE, float(text)
        case "int64":
            return ValueType.INT64, int(text)
        case "bool":
            return ValueType.BOOL, TRUTH[text]
        case _:
            return ValueType.STRING, text


def read(raw: BinaryIO, name: str) -> Iterator[TenantWrite]:
    """Yield each filled cell of each report, in the order of delivery."""
    header, rows = opened(raw, name)
    keys = keys_of(header)
    for place, row in rows:
        try:
            yield from _writes(header, keys, row)
        except (ValueError, KeyError, IndexError) as wrong:
            raise DataFault(f"{name}: row {place} after the header: {wrong!r}") from wrong


def opened(raw: BinaryIO, name: str) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Return the header of a file, and its rows that are not blank, each with its line after the header.

    Raises DataFault for a file without a header.
    """
    with gzip.open(raw) as unpacked:
        text = unpacked.read().decode()
    # What stands before the header is the state of the service; rows may be separated by CR CR LF.
    start = text.find("raw_text,")
    if start < 0:
        raise DataFault(f"{name}: no header line that begins with raw_text")
    rows = csv.reader(io.StringIO(text[start:].replace("\r\r\n", "\n"), newline=""))
    return next(rows), ((rows.line_num, row) for row in rows if row)


def _writes(header: Sequence[str], keys: Sequence[str], row: Sequence[str]) -> Iterator[TenantWrite]:
    station = row[header.index("station_id")]
    observed = datetime.fromisoformat(row[header.index("observation_time")])
    event_time_us = int(observed.timestamp()) * 1_000_000
    for column, key, text in zip(header, keys, row, strict=True):
        if text and column not in {"station_id", "observation_time"}:
            value_type, value = typed(column, text)
            yield TenantWrite(f"metar/{station[0]}", Write(station, "station", key, event_time_us, value_type, value))


METAR = DataSet(
    name="metar",
    title="METAR weather reports",
    suffix=".csv.gz",
    ordered=True,
    key_quota=1_000,
    rooted=False,
    read=read,
)
