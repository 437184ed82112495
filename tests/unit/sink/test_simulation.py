"""The loop against stores that fail, restart, repeat, lose and fail over: a watermark that holds is never false."""

from __future__ import annotations

import asyncio

import pytest
from atlas_olap_sink import patience, repairing
from atlaskit.cdc.topics import HISTORY
from atlaskit.kafka.consumer import Partition
from doubles.sink_world import SHARDS, TABLE, Killed, Sink, World


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.0)
    monkeypatch.setattr(repairing, "FIRST_PAUSE", 0.0)


async def started(world: World) -> Sink:
    while True:
        sink = world.sink()
        try:
            await patience.persist("starting", sink.pipeline.start, asyncio.Event())
        except Killed:
            continue
        return sink


async def stepped(world: World, sink: Sink) -> Sink:
    try:
        await sink.pipeline.step()
        await sink.repairs.carry_out_next()
    except* Killed:
        sink = await started(world)
    return sink


async def _catch_up(world: World, sink: Sink) -> None:
    world.loss = world.chance.peril = 0.0
    target = world.beat + 1
    for _ in range(400):
        world.clock.seconds += 2
        if world.chance.random() < 0.2 or world.beat < target:
            world.pulse()
        sink = await stepped(world, sink)
        world.check()
        if all(_claimed(world, shard) >= target for shard in SHARDS):
            break
    else:
        raise AssertionError(f"beat {target} is not claimed: {[_claimed(world, shard) for shard in SHARDS]}")
    assert world.committed() <= world.engine.rows.keys()


def _claimed(world: World, shard: int) -> int:
    mark = world.engine.marks.get(((TABLE, shard), world.monitor))
    return mark.beat if mark is not None and mark.incarnation == world.engine.life else 0


async def _live(world: World, weights: tuple[float, ...], steps: int = 250) -> Sink:
    """Let the sink live through events drawn with these weights; every step is checked."""
    sink = await started(world)
    for _ in range(steps):
        world.clock.seconds += world.chance.choice((0.1, 1, 30, 400))
        match world.chance.choices(range(8), weights)[0]:
            case 0:
                world.write()
            case 1:
                world.pulse()
            case 2:
                sink = await stepped(world, sink)
            case 3:
                sink = await started(world)
            case 4:
                world.engine.restart()
            case 5:
                at = Partition(HISTORY.name, world.chance.choice(SHARDS))
                world.log.send_again(at, world.chance.randint(1, 9))
            case 6:
                world.fail_over()
            case 7:
                at = world.chance.choice([*world.log.begins])
                world.log.begins[at] = world.chance.randint(world.log.begins[at], len(world.log.records[at]))
        world.check()
    return sink


@pytest.mark.parametrize("seed", range(60))
async def test_a_watermark_that_holds_is_never_ahead_of_the_rows(seed: int) -> None:
    world = World(seed)
    sink = await _live(world, (6, 3, 6, 0.4, 0.4, 0.4, 0, 0))
    await _catch_up(world, sink)


@pytest.mark.parametrize("seed", range(60))
async def test_what_never_reached_kafka_comes_from_the_primary(seed: int) -> None:
    world = World(seed, loss=0.03)
    sink = await _live(world, (6, 3, 6, 0.3, 0.3, 0.4, 0, 0))
    await _catch_up(world, sink)


@pytest.mark.parametrize("seed", range(60))
async def test_what_a_failover_lost_is_gone_before_the_new_epoch_is_claimed(seed: int) -> None:
    world = World(seed, loss=0.01)
    sink = await _live(world, (6, 3, 6, 0.3, 0.3, 0.3, 0.1, 0))
    await _catch_up(world, sink)


@pytest.mark.parametrize("seed", range(60))
async def test_what_kafka_no_longer_has_comes_from_the_primary(seed: int) -> None:
    world = World(seed, loss=0.01)
    sink = await _live(world, (6, 3, 6, 0.3, 0.3, 0.3, 0, 0.15))
    await _catch_up(world, sink)
