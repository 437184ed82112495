"""Health of the parts, and what a test can do to them."""

import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from atlas_local import LocalStack, PartFailed
from atlas_local.reviving import revived

Eventually = Callable[..., Awaitable[None]]


async def test_every_part_is_healthy_after_the_start(bare: LocalStack) -> None:
    assert await bare.health() == dict.fromkeys(["primary", "replica", "kafka", "connect", "clickhouse"], True)


async def test_every_part_has_a_log_of_its_own(bare: LocalStack) -> None:
    assert all(part.log.stat().st_size for part in bare.parts)
    assert len({part.log for part in bare.parts}) == len(bare.parts)


async def test_the_password_is_readable_by_its_owner_only(bare: LocalStack) -> None:
    assert bare.postgres.passfile.stat().st_mode & 0o077 == 0
    assert all(bare.postgres.password not in Path(f"/proc/{p.pid}/cmdline").read_text() for p in bare.parts)


async def test_a_wrong_password_is_refused(bare: LocalStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bare.postgres, "password", "wrong")
    with pytest.raises(PartFailed, match="password authentication failed"):
        await bare.primary.pause_replay()


async def test_replay_can_be_paused_and_goes_on(bare: LocalStack, eventually: Eventually, tmp_path: Path) -> None:
    count = tmp_path / "count.sql"
    count.write_text("SELECT count(*) FROM pg_class WHERE relname = 'after_the_pause';")
    create = tmp_path / "create.sql"
    create.write_text("CREATE TABLE after_the_pause (id int);")
    await bare.replica.pause_replay()
    await bare.primary.run_file(create)
    assert await bare.replica.run_file(count) == "0"
    await bare.replica.resume_replay()

    async def seen() -> None:
        assert await bare.replica.run_file(count) == "1"

    await eventually(seen)


async def test_a_paused_part_is_not_healthy_until_it_is_resumed(bare: LocalStack) -> None:
    bare.clickhouse.pause()
    assert bare.clickhouse.running
    assert not await bare.clickhouse.healthy(limit=0.5)
    bare.clickhouse.resume()
    assert await bare.clickhouse.healthy()


@pytest.mark.parametrize("name", ["clickhouse", "replica"])
async def test_a_part_that_falls_by_itself_is_brought_back(bare: LocalStack, eventually: Eventually, name: str) -> None:
    said: list[str] = []
    part = next(part for part in bare.parts if part.name == name)
    before = part.pid

    async def up_again() -> None:
        assert said[-1:] == [f"{name} is up again"]

    async with revived(bare.parts, said.append):
        os.kill(before, signal.SIGKILL)
        await eventually(up_again, 90)
    assert said[0].startswith(f"{name} ended by itself and is started again")
    assert part.pid != before
    assert all((await bare.health()).values())


async def test_the_engine_keeps_its_rows_through_a_kill(bare: LocalStack) -> None:
    async with httpx.AsyncClient(base_url=bare.clickhouse_url, timeout=30.0) as client:
        create = (
            "CREATE TABLE IF NOT EXISTS kept (id UInt32) ENGINE = MergeTree ORDER BY id SETTINGS fsync_after_insert = 1"
        )
        (await client.post("/", content=create)).raise_for_status()
        (await client.post("/", content="INSERT INTO kept SELECT number FROM numbers(1000)")).raise_for_status()
    bare.clickhouse.kill()
    await bare.clickhouse.start()
    async with httpx.AsyncClient(base_url=bare.clickhouse_url, timeout=30.0) as client:
        assert (await client.post("/", content="SELECT count() FROM kept")).text.strip() == "1000"


async def test_the_replica_streams_again_after_a_restart_of_the_primary(
    bare: LocalStack, eventually: Eventually
) -> None:
    await bare.primary.restart()

    async def streams() -> None:
        assert await bare.replica.streams()

    await eventually(streams)
