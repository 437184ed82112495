"""ClickHouse answers and takes no rows: nothing new is claimed, nothing is lost, and the claim comes back by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from atlaskit.clickhouse.watermark import settings_hold

from .conftest import World

Eventually = Callable[..., Awaitable[None]]
HISTORY = "entity_analytics_events"


@pytest.mark.parametrize(
    ("refuse", "allow", "said"),
    [
        (
            [f"ALTER TABLE {HISTORY} MODIFY SETTING min_free_disk_bytes_to_perform_insert = {1 << 62}"],
            [f"ALTER TABLE {HISTORY} RESET SETTING min_free_disk_bytes_to_perform_insert"],
            "NOT_ENOUGH_SPACE",
        ),
        (
            [f"SYSTEM STOP MERGES {HISTORY}", f"ALTER TABLE {HISTORY} MODIFY SETTING parts_to_throw_insert = 3"],
            [f"SYSTEM START MERGES {HISTORY}", f"OPTIMIZE TABLE {HISTORY} FINAL"],
            "TOO_MANY_PARTS",
        ),
    ],
    ids=["its disk is full", "too many parts"],
)
async def test_while_clickhouse_takes_no_rows_nothing_is_claimed_of_them_and_afterwards_nothing_is_missing(
    world: World,
    eventually: Eventually,
    capfd: pytest.CaptureFixture[str],
    refuse: list[str],
    allow: list[str],
    said: str,
) -> None:
    told = ""

    async def proven() -> None:
        assert await world.proven(0) >= world.beats

    async def refused() -> None:
        nonlocal told
        told += capfd.readouterr().out
        assert told.count(said) >= 3  # tried again and again

    async with world.sink("first"):
        for _ in range(3):  # each a part of its own
            await world.write(20, 0)
            await world.beat()
            await eventually(proven)
        for statement in refuse:
            await world.clickhouse.execute(statement)
        try:
            await world.write(500, 0)
            claimed, beat = world.beats, await world.beat()
            await eventually(refused)
            assert await settings_hold(world.clickhouse)  # what the claims of before rest on
            assert await world.stored() < await world.committed()
            assert await world.proven(0) == claimed
        finally:
            for statement in allow:
                await world.clickhouse.execute(statement)
        await eventually(proven)
        assert await world.proven(0) >= beat
    assert await world.stored() == await world.committed()


@pytest.fixture(autouse=True)
async def as_it_was(world: World) -> AsyncIterator[None]:
    """Take back what these tests tell the table, whatever became of them; merges came before, as on a server."""
    yield
    for setting in ("parts_to_throw_insert", "min_free_disk_bytes_to_perform_insert"):
        await world.clickhouse.execute(f"ALTER TABLE {HISTORY} RESET SETTING {setting}")
