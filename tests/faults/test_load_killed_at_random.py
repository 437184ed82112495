"""Loaders, ingest and PostgreSQL are killed at random points of four loads: run again, they store every value once."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import asyncpg
from atlas_cli.sets import SETS, Batch, inputs_of, read_batches
from atlas_cli.sets.totals import Totals, count
from atlas_local.process import ChildProcess, Command, until

from faults.site import Site

BATCH = 1_000
NAMES = ["metar", "azure", "snmp", "backblaze"]
PREFIXES = [f"{name}/" for name in NAMES]
STORED = """
    SELECT count(*) FROM entity_attributes JOIN tenants USING (tenant_id) WHERE name ^@ ANY ($1::text[])
"""
HELD = """
    WITH chosen AS (SELECT tenant_id FROM tenants WHERE starts_with(name, $1)),
         stored AS (SELECT * FROM entity_attributes JOIN chosen USING (tenant_id))
    SELECT (SELECT count(*) FROM stored) AS stored,
           (SELECT count(DISTINCT (tenant_id, entity_id, attribute_id, event_time)) FROM stored) AS values,
           (SELECT count(DISTINCT (tenant_id, entity_id, event_time)) FROM stored) AS observations,
           (SELECT count(*) FROM entities JOIN chosen USING (tenant_id)) AS entities,
           (SELECT count(DISTINCT tenant_id) FROM stored) AS tenants,
           (SELECT count(DISTINCT attribute_key) FROM attribute_keys JOIN chosen USING (tenant_id)) AS keys
"""
# Where an observation was delivered again, the later delivery is the one that holds.
LATEST = """
    SELECT DISTINCT ON (attribute_key) attribute_key,
           coalesce(value_double::text, value_int::text, value_text) AS value
    FROM entity_attributes JOIN tenants USING (tenant_id) JOIN attribute_keys USING (tenant_id, attribute_id)
         JOIN entities USING (tenant_id, entity_id)
    WHERE name = 'metar/K' AND entity_key = 'KATL'
    ORDER BY attribute_key, event_time DESC, entity_attributes.row_version DESC
"""


def batches_of(root: Path, name: str) -> list[Batch]:
    folder = root / "libs" / "atlas_cli" / "data" / name
    return list(read_batches(SETS[name], inputs_of(SETS[name], [folder]), BATCH))


def identities_in(batch: Batch) -> int:
    """Rows that a batch becomes: a value that is followed by another of its identity is not stored."""
    return len({(write.entity_key, write.attribute_key, write.event_time_us) for write in batch.writes})


class Loader(ChildProcess):
    """`atlas load` of one set as a process; healthy as soon as it runs."""

    def __init__(self, name: str, address: str, folder: Path) -> None:
        arguments = [sys.executable, "-m", "atlas_cli", "load", name, "--ingest", address]
        arguments += ["--resume-file", str(folder / "done.json"), "--batch", str(BATCH), "--in-flight", "2"]
        super().__init__("loader", Command(arguments), folder / "loader.log", self._runs, 10.0)

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        assert self._process is not None
        return self._process.poll()

    async def _runs(self) -> bool:
        return True


async def rows_of(dsn: str, statement: str, *values: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(statement, *values)
    finally:
        await connection.close()


async def until_stored(at: Site, loaders: list[Loader], wanted: float) -> None:
    async with asyncio.timeout(60):
        while True:
            [[stored]] = await rows_of(at.primary.dsn(), STORED, PREFIXES)
            if stored >= wanted:
                return
            await run_again(loaders)
            await asyncio.sleep(0.02)


async def run_again(loaders: list[Loader]) -> None:
    """Start every load once more that gave up: one that begins while nobody serves says so and ends."""
    for loader in loaders:
        if loader.status not in (None, 0):
            await loader.start()


async def kill(at: Site, loaders: list[Loader], victim: str, chance: random.Random) -> None:
    parts: dict[str, list[ChildProcess]] = {
        "ingest": [at.ingest],
        "primary": [at.primary],
        "loader": [one for one in loaders if one.status != 0],
    }
    if parts[victim]:
        part = chance.choice(parts[victim])
        part.kill()
        await part.start()


async def until_through(loader: Loader) -> None:
    """Return when the load is whole; one that ended before, since nobody served at its start, is run again."""
    async with asyncio.timeout(90):
        for _ in range(5):
            await until(lambda: not loader.running, every=0.05)
            if loader.status == 0:
                return
            await loader.start()
    raise AssertionError(f"{loader.status}: {loader.log_tail()}")


async def expect_whole(at: Site, name: str, batches: list[Batch]) -> None:
    totals = count(batches)
    held = (await rows_of(at.primary.dsn(), HELD, f"{name}/"))[0]
    found = (held[name] for name in ("values", "observations", "entities", "tenants", "keys"))
    assert Totals(totals.delivered, *found) == totals
    assert held["stored"] == sum(map(identities_in, batches))


async def test_loads_that_are_killed_again_and_again_store_every_value_once(
    here: Site, tmp_path: Path, root: Path
) -> None:
    chance = random.Random(4)
    sets = {name: batches_of(root, name) for name in NAMES}
    rows = sum(sum(map(identities_in, batches)) for batches in sets.values())
    loaders = [Loader(name, here.address, tmp_path / name) for name in NAMES]
    victims = chance.sample(["loader", "ingest", "primary"] * 3, k=9)
    try:
        async with asyncio.TaskGroup() as group:
            for loader in loaders:
                group.create_task(loader.start())
        for place, victim in enumerate(victims):
            await until_stored(here, loaders, (place + chance.random()) / 10 * rows)
            await kill(here, loaders, victim, chance)
        for loader in loaders:
            await until_through(loader)
    finally:
        for loader in loaders:
            loader.kill()
    for name, batches in sets.items():
        await expect_whole(here, name, batches)
    latest = dict(map(tuple, await rows_of(here.primary.dsn(), LATEST)))
    published = {"temp_c": "9.4", "wind_speed_kt": "3", "visibility_statute_mi": "10", "flight_category": "VFR"}
    assert {key: latest[key] for key in published} == published
