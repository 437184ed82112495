"""From PostgreSQL through Debezium, Kafka and the sink into ClickHouse. The tests run in order, over the same rows."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from atlas_olap_sink.app import running
from atlas_olap_sink.settings import Settings
from atlaskit.kafka.consumer import Consumer, Partition, Record, open_consumer
from atlaskit.postgres.pool import open_pool
from atlaskit.postgres.repair import PrimaryReader

from .conftest import WRITER, World

Eventually: TypeAlias = Callable[..., Awaitable[None]]
EXTREMES = "value_type, value_int, value_uint, value_double, value_bool, value_text, value_bytes"


def reaches(world: World, beat: int, *shards: int) -> Callable[[], Awaitable[None]]:
    async def condition() -> None:
        for shard in shards:
            assert await world.proven(shard) >= beat

    return condition


async def test_every_type_arrives_bit_exact_and_the_watermark_follows(world: World, eventually: Eventually) -> None:
    await world.write(1, 3, EXTREMES, "1, (-9223372036854775808)::bigint, null, null, null, null, null")
    await world.write(1, 4, EXTREMES, "2, null, 18446744073709551615, null, null, null, null")
    await world.write(1, 5, EXTREMES, "3, null, null, '-0'::float8, null, null, null")
    await world.write(1, 6, EXTREMES, "3, null, null, 5e-324, null, null, null")
    await world.write(1, 7, EXTREMES, "6, null, null, null, null, null, '\\xff00fe'::bytea")
    beat = await world.beat()
    async with world.sink("first"):
        await eventually(reaches(world, beat, 3, 4, 5, 6, 7))
    rows = await world.clickhouse.rows(
        "SELECT shard, value_int64, value_uint64, hex(reinterpretAsString(value_double)), hex(value_bytes),"
        " attribute_key, toUnixTimestamp64Micro(event_timestamp) FROM entity_analytics_events WHERE shard >= 3"
        " ORDER BY shard"
    )
    assert [row[0] for row in rows] == [3, 4, 5, 6, 7]
    assert rows[0][1] == -(2**63)
    assert rows[1][2] == 2**64 - 1
    assert [row[3] for row in rows[2:4]] == ["0000000000000080", "01"]
    assert rows[4][4] == "FF00FE"
    assert {(row[5], row[6]) for row in rows} == {("temp/°C", 1_704_067_201_000_000)}


async def test_no_watermark_before_the_insert_is_acknowledged(world: World, eventually: Eventually) -> None:
    hindered = asyncio.Event()
    async with world.sink("first", hindered) as pipeline:
        await eventually(reaches(world, await world.beat(), 0))
        hindered.set()
        await world.write(500, 0)
        beat = await world.beat()
        read = pipeline.progress[Partition("atlas.entity_attributes", 0)].position

        async def nothing_claimed() -> None:
            waiting = any(task.get_name() == "insert-entity_analytics_events" for task in asyncio.all_tasks())
            assert waiting

        await eventually(nothing_claimed)
        assert pipeline.progress[Partition("atlas.entity_attributes", 0)].position == read
        assert await world.proven(0) < beat
        hindered.clear()
        await eventually(reaches(world, beat, 0))
    assert await world.stored() == await world.committed()


async def test_delivered_again_from_the_beginning_each_row_counts_once(world: World, eventually: Eventually) -> None:
    await world.write(300, 1)
    beat = await world.beat()
    async with world.sink("second"):
        await eventually(reaches(world, beat, *range(10)))
        assert await world.stored() == await world.committed()
    async with world.sink("first"):
        await eventually(reaches(world, await world.beat(), *range(10)))
    assert await world.stored() == await world.committed()


async def test_a_killed_engine_proves_nothing_until_it_has_the_rows_again(world: World, eventually: Eventually) -> None:
    async with world.sink("first"):
        await world.write(1000, 2)
        before = await world.beat()
        await eventually(reaches(world, before, 2))
        world.stack.clickhouse.kill()
        await world.stack.clickhouse.restart()
        await world.write(1000, 2)
        after = await world.beat()
        await eventually(reaches(world, after, *range(10)), 60)
        assert await world.stored() == await world.committed()


async def test_a_consumer_that_hears_nothing_more_is_replaced(
    world: World, eventually: Eventually, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Consumer] = []

    @asynccontextmanager
    async def watched(*where: Any, **how: Any) -> AsyncIterator[Consumer]:
        async with open_consumer(*where, **how) as consumer:
            opened.append(consumer)
            yield consumer

    monkeypatch.setattr("atlas_olap_sink.app.open_consumer", watched)
    settings = Settings(
        postgres_dsn=world.stack.primary_dsn("atlas_sink"),
        clickhouse_url=f"{world.stack.clickhouse_url}/atlas",
        kafka_bootstrap=world.stack.kafka_bootstrap,
        kafka_group="deaf",
        kafka_silence=timedelta(seconds=1),
    )
    async with running(settings):
        await eventually(reaches(world, await world.beat(), *range(10)))
        # The background task of the driver ends, as after an error it did not foresee: no record, nothing said.
        with suppress(asyncio.CancelledError):
            opened[0]._driver._fetcher._fetch_task.cancel()
            await opened[0]._driver._fetcher._fetch_task
        await world.write(5, 4)
        first = await world.beat()

        async def goes_on() -> None:
            await world.beat()  # the partitions grow
            assert len(opened) == 2
            await reaches(world, first, *range(10))()

        await eventually(goes_on)
    assert await world.stored() == await world.committed()


async def test_a_term_stops_the_process_at_a_committed_beat(
    world: World, eventually: Eventually, tmp_path: Path
) -> None:
    running = await process(world, tmp_path)
    try:
        await world.write(100, 8)
        await eventually(reaches(world, await world.beat(), *range(10)))
        running.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.wait(), 20) == 0, (tmp_path / "log").read_text()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    assert await world.stored() == await world.committed()


async def process(world: World, directory: Path, **extra: str) -> asyncio.subprocess.Process:
    settings = {
        "ATLAS_POSTGRES_DSN": world.stack.primary_dsn("atlas_sink"),
        "ATLAS_CLICKHOUSE_URL": f"{world.stack.clickhouse_url}/atlas",
        "ATLAS_KAFKA_BOOTSTRAP": world.stack.kafka_bootstrap,
        "ATLAS_PORT_FILE": str(directory / "port"),
        **extra,
    }
    with (directory / "log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "atlas_olap_sink", env={**os.environ, **settings}, stderr=log
        )


def shards_of(directory: Path) -> list[int]:
    """Return the shards that a process said last that it has."""
    said = [line for line in (directory / "log").read_text().splitlines() if "shards of this process" in line]
    found: list[int] = json.loads(said[-1])["shards"] if said else []
    return found


async def test_two_processes_share_the_shards_and_one_takes_over_when_the_other_is_killed(
    world: World, eventually: Eventually, tmp_path: Path
) -> None:
    places = [tmp_path / name for name in ("one", "other")]
    for place in places:
        place.mkdir()
    shared = {"ATLAS_KAFKA_GROUP": "shared", "ATLAS_SHARE": "true"}
    one, other = [await process(world, place, **shared) for place in places]
    try:

        async def divided() -> None:
            mine, yours = (set(shards_of(place)) for place in places)
            assert mine
            assert yours
            assert mine | yours == set(range(10))
            assert not mine & yours

        await eventually(divided, 60)
        for shard in range(10):
            await world.write(20, shard)
        await eventually(reaches(world, await world.beat(), *range(10)), 60)
        other.kill()
        await other.wait()
        for shard in range(10):
            await world.write(20, shard)
        await eventually(reaches(world, await world.beat(), *range(10)), 60)
        assert set(shards_of(places[0])) == set(range(10))
        assert await world.stored() == await world.committed()
    finally:
        for running in (one, other):
            if running.returncode is None:
                running.kill()
                await running.wait()


async def test_a_writer_that_is_gone_leaves_the_vector_once_all_it_wrote_is_proven(world: World) -> None:
    async with open_pool(world.stack.primary_dsn("atlas_sink"), max_size=1) as pool:
        primary = PrimaryReader(pool)
        last = (await primary.last_sequences())[WRITER]
        mine = int(await world.primary.fetchval("SELECT pg_backend_pid()"))
        gone = "INSERT INTO ingest_writers (writer, last_sequence, backend_pid) VALUES ($1, 7, $2)"
        await world.primary.execute(gone, WRITER + 1, 2**22 + 1)
        await world.primary.execute(gone, WRITER + 2, mine)
        proven = {WRITER: last, WRITER + 1: 6, WRITER + 2: 7}
        assert await primary.retire_writers(proven) == []
        assert await primary.retire_writers({**proven, WRITER + 1: 7}) == [WRITER + 1]
        await world.primary.execute("DELETE FROM ingest_writers WHERE writer = $1", WRITER + 2)


async def test_a_lost_event_freezes_the_claim_and_is_repaired_from_the_primary(
    world: World, eventually: Eventually, capfd: pytest.CaptureFixture[str]
) -> None:
    async with world.sink("lossy"):
        await eventually(reaches(world, await world.beat(), *range(10)))
    lost: list[int] = []

    def drops(at: Partition, record: Record) -> bool:
        if at == Partition("atlas.entity_attributes", 1) and b'"__table":"entity_attributes"' in (record.value or b""):
            lost.append(record.offset)
        return at.topic == "atlas.entity_attributes" and record.offset in lost

    async with world.sink("lossy", drops=drops):
        await world.write(3, 1)
        await world.write(3, 2)
        beat = await world.beat()
        await eventually(reaches(world, beat, *range(10)))
    assert len(lost) == 3
    assert await world.stored() == await world.committed()
    told = capfd.readouterr().out
    assert "the ledger does not balance" in told
    assert f"writer={WRITER}" in told.replace("\x1b[35m", "").replace("\x1b[0m", "").replace("\x1b[36m", "")


async def test_a_lost_row_of_the_ledger_is_read_from_the_primary(world: World, eventually: Eventually) -> None:
    def drops(at: Partition, record: Record) -> bool:
        return at.topic == "atlas.ingest_batches" and b'"__table":"ingest_batches"' in (record.value or b"")

    async with world.sink("unledgered", drops=drops):
        await world.write(2, 5)
        await eventually(reaches(world, await world.beat(), *range(10)), 60)
    assert await world.stored() == await world.committed()


async def test_rows_that_the_primary_does_not_have_freeze_their_shard_until_its_ledger_is_mended(
    world: World, eventually: Eventually
) -> None:
    async with world.sink("first"):
        before = await world.beat()
        await eventually(reaches(world, before, *range(10)))
        await world.write(2, 7, counted=1)
        after = await world.beat()
        await eventually(reaches(world, after, 0, 1, 6, 8, 9))
        later = await world.beat()
        await eventually(reaches(world, later, 0, 1, 6, 8, 9))
        assert await world.proven(7) == before
        async with world.primary.transaction():
            await world.primary.execute("SET LOCAL session_replication_role = replica")
            await world.primary.execute(
                "UPDATE ingest_batches SET entries = jsonb_set(entries, '{0,2}', '2') WHERE transaction_number = $1",
                world.transactions,
            )
        await eventually(reaches(world, later, *range(10)), 60)


async def test_a_delete_behind_the_ledgers_back_freezes_its_table(world: World, eventually: Eventually) -> None:
    await world.write(1, 9)
    async with world.sink("first") as pipeline:
        before = await world.beat()
        await eventually(reaches(world, before, *range(10)))
        had = await world.stored("WHERE shard = 9")
        newest = "DELETE FROM entity_attributes WHERE entity_id = (SELECT max(entity_id) FROM entity_attributes)"
        async with world.primary.transaction():
            await world.primary.execute("SET LOCAL session_replication_role = replica")
            assert await world.primary.execute(newest) == "DELETE 1"

        async def frozen() -> None:
            table = [pipeline.progress[Partition("atlas.entity_attributes", number)] for number in range(10)]
            assert all("DELETED" in str(progress.frozen) for progress in table)

        await eventually(frozen)
        await world.write(1, 9)
        await world.beat()

        async def read() -> None:
            assert await world.stored("WHERE shard = 9") == had + 1

        await eventually(read)
        assert [await world.proven(shard) for shard in range(10)] == [before] * 10
        assert pipeline.progress[Partition("atlas.entities", 0)].frozen is None
