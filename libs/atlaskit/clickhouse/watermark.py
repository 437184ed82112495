"""What ClickHouse itself says about how fresh it is: the server's incarnation and the watermarks it vouches for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Final
from uuid import UUID, uuid4

from atlaskit.clickhouse.pool import CALL_LIMIT, ClickHouse, Row
from atlaskit.clickhouse.table import INSERT_SETTINGS, insert
from atlaskit.position import Lsn
from atlaskit.sql import load

_SQL = load(files("atlaskit.clickhouse") / "queries")
# What the DDL of every table must state, or an acknowledged insert may be gone after a crash or swallowed as a repeat.
TABLE_SETTINGS: Final[Mapping[str, str]] = {"fsync_after_insert": "1", "fsync_part_directory": "1"}

Place = tuple[str, int]  # table and shard


@dataclass(frozen=True, slots=True)
class Watermark:
    """Every row of a table and shard committed before this beat of this monitor can be read, under this incarnation."""

    table: str
    shard: int
    monitor: UUID
    beat: int
    epoch: int
    timeline: int
    system_identifier: int
    lsn: Lsn
    incarnation: UUID


async def begin_incarnation(clickhouse: ClickHouse, limit: timedelta = CALL_LIMIT) -> UUID:
    """Return a new incarnation, stored in the server's memory; with the old one all watermarks lose their force.

    A watermark counts only under the incarnation that it names: name this one in none before everything since a proven
    beat that was ten minutes old at the last commit was inserted again.
    """
    incarnation = uuid4()
    await clickhouse.execute(_SQL["forget_incarnation"], limit=limit)
    columns = {"incarnation": [incarnation], "since": [int(datetime.now(UTC).timestamp() * 1_000_000)]}
    await insert(clickhouse, "olap_incarnation", columns, limit)
    return incarnation


async def read_incarnation(clickhouse: ClickHouse, limit: timedelta = CALL_LIMIT) -> UUID | None:
    """Return the incarnation of the running server, or None if none was begun since it started."""
    rows = await clickhouse.rows(_SQL["incarnation"], limit=limit)
    return rows[0][0] if len(rows) == 1 else None


async def publish(clickhouse: ClickHouse, watermarks: Sequence[Watermark], limit: timedelta = CALL_LIMIT) -> None:
    """Store these watermarks, whose rows were inserted before. A smaller beat never replaces a greater one."""
    columns = {
        "table_name": [mark.table for mark in watermarks],
        "shard": [mark.shard for mark in watermarks],
        "monitor": [mark.monitor for mark in watermarks],
        "beat": [mark.beat for mark in watermarks],
        "epoch": [mark.epoch for mark in watermarks],
        "timeline": [mark.timeline for mark in watermarks],
        "system_identifier": [str(mark.system_identifier) for mark in watermarks],
        "lsn": [mark.lsn.bytes for mark in watermarks],
        "incarnation": [mark.incarnation for mark in watermarks],
    }
    await insert(clickhouse, "olap_watermarks", columns, limit)


async def read_watermarks(
    clickhouse: ClickHouse, places: Iterable[Place], limit: timedelta = CALL_LIMIT
) -> list[Watermark]:
    """Return the newest watermark of each of these tables and shards, by monitor, under the running incarnation.

    A place without one is left out: nothing is proven there. Read before the data that it shall vouch for.
    """
    wanted = set(places)
    parameters = {"tables": sorted({table for table, _ in wanted}), "shards": sorted({shard for _, shard in wanted})}
    rows = await clickhouse.rows(_SQL["proven_watermarks"], parameters, limit=limit)
    marks = (_watermark(row) for row in rows)
    return [mark for mark in marks if (mark.table, mark.shard) in wanted]


def least(watermarks: Iterable[Watermark], places: Iterable[Place], monitor: UUID) -> Watermark | None:
    """Return the watermark of one monitor with the smallest beat, or None unless it has one for every place.

    Beats of two monitors do not compare, nor do watermarks of two incarnations: a mixture proves nothing.
    """
    wanted = set(places)
    found = {(mark.table, mark.shard): mark for mark in watermarks if mark.monitor == monitor}
    if not wanted or not wanted <= found.keys():
        return None
    marks = [found[place] for place in wanted]
    if len({(mark.incarnation, mark.epoch) for mark in marks}) > 1:
        return None
    return min(marks, key=lambda mark: mark.beat)


def _watermark(row: Row) -> Watermark:
    table, shard, monitor, beat, epoch, timeline, system_identifier, lsn, incarnation = row
    return Watermark(table, shard, monitor, beat, epoch, timeline, int(system_identifier), Lsn(lsn), incarnation)


async def settings_hold(clickhouse: ClickHouse, limit: timedelta = CALL_LIMIT) -> bool:
    """Return whether the server states that an acknowledged insert is on disk and a repeat not swallowed.

    If not, claim nothing.
    """
    tables = await clickhouse.rows(_SQL["table_engines"], limit=limit)
    session = await clickhouse.rows(
        _SQL["session_settings"], {"names": list(INSERT_SETTINGS)}, limit=limit, settings=INSERT_SETTINGS
    )
    return durable(dict(tables), dict(session))


def durable(engines: Mapping[str, str], session: Mapping[str, str]) -> bool:
    """Return whether every table's engine states TABLE_SETTINGS and the session has those of inserts."""
    wanted = [re.compile(rf"\b{name} = {value}\b") for name, value in TABLE_SETTINGS.items()]
    stated = all(setting.search(engine) for engine in engines.values() for setting in wanted)
    return bool(engines) and stated and all(session.get(name) == str(value) for name, value in INSERT_SETTINGS.items())
