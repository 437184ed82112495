"""The loop against stores that fail, restart, repeat, lose and fail over: a watermark that holds is never false."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping

import pytest
import structlog
from atlas_olap_sink import patience, repairing
from atlas_olap_sink.advance import ShardState
from atlas_olap_sink.sharing import LEDGER_PARTITION
from atlaskit.kafka.consumer import Partition
from doubles.change_events import event, history_row
from doubles.sink_world import SHARDS, TABLE, Killed, Sink, World


@pytest.fixture(autouse=True)
def _quick_and_quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.0)
    monkeypatch.setattr(repairing, "FIRST_PAUSE", 0.0)
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(wrapper_class=before)


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


# How often each thing happens, against each other.
CALM = {"write": 6.0, "pulse": 3.0, "step": 6.0, "restart": 0.3, "engine_restarts": 0.3, "repeat": 0.4}


async def _live(world: World, weights: Mapping[str, float], steps: int = 250) -> Sink:
    """Let the sink live through events drawn with these weights; every step is checked."""
    sink = await started(world)
    for _ in range(steps):
        world.clock.seconds += world.chance.choice((0.1, 1, 30, 400))
        match world.chance.choices([*weights], [*weights.values()])[0]:
            case "step":
                sink = await stepped(world, sink)
            case "restart":
                sink = await started(world)
            case what:
                getattr(world, what)()
        world.check()
    return sink


@pytest.mark.parametrize("seed", range(20))
async def test_a_watermark_that_holds_is_never_ahead_of_the_rows(seed: int) -> None:
    world = World(seed)
    sink = await _live(world, CALM)
    await _catch_up(world, sink)


@pytest.mark.parametrize("seed", range(20))
async def test_what_never_reached_kafka_comes_from_the_primary(seed: int) -> None:
    world = World(seed, loss=0.03)
    sink = await _live(world, CALM)
    await _catch_up(world, sink)


@pytest.mark.parametrize("seed", range(20))
async def test_what_a_failover_lost_is_gone_before_the_new_epoch_is_claimed(seed: int) -> None:
    world = World(seed, loss=0.01)
    sink = await _live(world, {**CALM, "fail_over": 0.1})
    await _catch_up(world, sink)


@pytest.mark.parametrize("seed", range(20))
async def test_what_kafka_no_longer_has_comes_from_the_primary(seed: int) -> None:
    world = World(seed, loss=0.01)
    sink = await _live(world, {**CALM, "trim": 0.15})
    await _catch_up(world, sink)


@pytest.mark.parametrize(
    ("value", "frozen"),
    [
        (event(TABLE, history_row(99, 0), "d"), [*range(10)]),
        (b"{", []),
        (event(TABLE, history_row(99, 0, value_int="x")), []),
        (event(TABLE, history_row(99, 1)), []),
    ],
)
async def test_only_a_delete_freezes_and_what_cannot_be_stored_is_passed_by(value: bytes, frozen: list[int]) -> None:
    world = World(1)
    world.chance.random = lambda: 1.0  # type: ignore[method-assign]  # nothing fails here
    world.write()
    world.pulse()
    world.log.append(Partition(f"atlas.{TABLE}", 0), value)
    world.pulse()
    for _ in range(2):
        sink = await started(world)
        for _ in range(60):
            world.clock.seconds += 2
            await sink.pipeline.step()
        found = [at.number for at, progress in sink.pipeline.progress.items() if progress.frozen]
        assert found == frozen
        assert 99 not in world.engine.rows
    if not frozen:
        assert all(_claimed(world, shard) == 2 for shard in SHARDS)


async def test_a_row_that_cannot_be_read_is_missing_and_comes_from_the_primary() -> None:
    world = World(1)
    world.chance.random = lambda: 1.0  # type: ignore[method-assign]  # nothing fails here
    world.write()
    spoilt = world.log.records[Partition(f"atlas.{TABLE}", 0)]
    spoilt[-1] = type(spoilt[-1])(spoilt[-1].offset, b"{")
    world.pulse()
    sink = await started(world)
    for _ in range(60):
        world.clock.seconds += 2
        await sink.pipeline.step()
        await sink.repairs.carry_out_next()
    assert world.committed() == world.engine.rows.keys()
    assert all(_claimed(world, shard) == 1 for shard in SHARDS)


async def test_rows_of_a_lost_transaction_whose_dictionary_id_is_lost_too_do_not_hold_up_the_others() -> None:
    world = World(1)
    world.chance.random = lambda: 1.0  # type: ignore[method-assign]  # nothing fails here
    world.unknown.add(77)
    phantom = history_row((1 << 55) + (500 << 17), 0, attribute_id=77)
    world.send(Partition(f"atlas.{TABLE}", 0), event(TABLE, phantom))
    world.write()
    world.pulse()
    sink = await started(world)
    for _ in range(80):
        world.clock.seconds += 2
        await sink.pipeline.step()
        await sink.repairs.carry_out_next()
    assert world.committed() == world.engine.rows.keys()
    assert all(_claimed(world, shard) == 1 for shard in SHARDS)


def _lost(world: World, transactions: int) -> None:
    """Let the primary commit so many transactions of which nothing reaches Kafka, and one more, and a beat."""
    world.chance.random = lambda: 0.5  # type: ignore[method-assign]  # nothing fails here, and what is lost is said
    world.loss = 1.0
    for _ in range(transactions):
        world.write()
    world.loss = 0.0
    world.write()
    world.pulse()


async def test_transactions_that_were_lost_together_are_read_and_inserted_together() -> None:
    world = World(1)
    _lost(world, 300)
    sink = await started(world)
    for _ in range(60):
        world.clock.seconds += 2
        await sink.pipeline.step()
        await sink.repairs.carry_out_next()
    assert world.committed() == world.engine.rows.keys()
    assert all(_claimed(world, shard) == 1 for shard in SHARDS)
    assert world.primary.rereads <= 2 * len(SHARDS)


async def test_a_transaction_that_the_primary_does_not_have_whole_does_not_hold_up_those_read_with_it() -> None:
    world = World(1)
    _lost(world, 50)
    one = list(world.primary.committed.values())[25]
    shard, rows = next(iter(one.rows.items()))
    one.rows[shard] = rows[:-1]
    sink = await started(world)
    for _ in range(80):
        world.clock.seconds += 2
        await sink.pipeline.step()
        await sink.repairs.carry_out_next()
    held_up = {row["row_version"] for row in rows}
    assert world.committed() - held_up <= world.engine.rows.keys()
    assert not held_up & world.engine.rows.keys()
    assert [each for each in SHARDS if _claimed(world, each) < 1] == [shard]


async def test_a_shard_is_unbalanced_until_its_lost_event_is_repaired_and_its_watermark_grows_old_meanwhile() -> None:
    world = World(5)
    world.chance.peril = 0.0
    sink = await started(world)
    pipeline, lossy = sink.pipeline, Partition(f"atlas.{TABLE}", SHARDS[0])

    async def step_until(condition: Callable[[], bool], *, repair: bool = False) -> None:
        for _ in range(200):
            world.clock.seconds += 1
            world.pulse()
            await pipeline.step()
            if repair:
                await sink.repairs.carry_out_next()
            if condition():
                return
        raise AssertionError(f"{pipeline.states()} {pipeline.ages()}")

    def old(seconds: float) -> bool:
        age = pipeline.ages()[lossy]
        return age is not None and age > seconds

    assert set(pipeline.ages().values()) == {None}
    await step_until(lambda: None not in pipeline.ages().values())
    assert set(pipeline.states().values()) == {ShardState.CLAIMING}
    done = world.primary.commit([SHARDS[0]])
    world.send(LEDGER_PARTITION, event("ingest_batches", done.ledger))  # and not its row
    await step_until(lambda: old(30))
    states = pipeline.states()
    assert {at for at, state in states.items() if state is ShardState.UNBALANCED} == {lossy}
    assert sink.repairs.waiting == 1
    await step_until(lambda: set(pipeline.states().values()) == {ShardState.CLAIMING}, repair=True)
    await step_until(lambda: not old(10))
