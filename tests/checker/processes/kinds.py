"""The kinds of faults of a campaign: what each does to the real parts, and how it is undone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from atlas_local.faults.failover import fail_over
from atlas_local.faults.links import CLIENT_LINKS, SERVICE_LINKS, STACK_LINKS
from atlas_local.faults.relay import Relay, Way
from atlas_local.faults.stores import lose_newest_parts, restart_connector
from checker.history import WritesLost
from checker.index import position_of
from checker.processes.copies import surviving
from checker.processes.notebook import now
from checker.processes.schedule import Choice, Planned
from checker.processes.workload import Workload
from checker.processes.world import SERVICES, World

STORES = ("primary", "replica", "kafka", "connect", "clickhouse")
# Each link but those that the campaign does not use.
LINKS = tuple(
    link
    for link in (*STACK_LINKS, *SERVICE_LINKS, *CLIENT_LINKS)
    if not link.startswith(("gateway", "client->gateway"))
)
POWER_LOSS_SECONDS = 5.0
HISTORY_TABLES = ("entity_analytics_events",)
TOPICS = ("atlas.entity_attributes", "atlas.ingest_batches")

Kind = Callable[[World, Workload, Planned], AbstractAsyncContextManager[None]]


def _killed_for_a_while(world: World, _: Workload, planned: Planned) -> AbstractAsyncContextManager[None]:
    return _away(world, planned.target)


@asynccontextmanager
async def _away(world: World, name: str) -> AsyncIterator[None]:
    process = world.atlas.process(name)
    process.kill()
    try:
        yield
    finally:
        await process.start()


@asynccontextmanager
async def _frozen(world: World, _: Workload, planned: Planned) -> AsyncIterator[None]:
    process = world.atlas.process(planned.target)
    process.pause()
    try:
        yield
    finally:
        process.resume()


def _on_link(begin: Callable[[Relay, Planned], Awaitable[None]]) -> Kind:
    @asynccontextmanager
    async def kind(world: World, _: Workload, planned: Planned) -> AsyncIterator[None]:
        relay = world.links[planned.target]
        await begin(relay, planned)
        try:
            yield
        finally:
            await relay.heal()

    return kind


async def _reset(relay: Relay, _: Planned) -> None:
    relay.reset()


@asynccontextmanager
async def _replay_paused(world: World, _: Workload, planned: Planned) -> AsyncIterator[None]:
    await world.stack.replica.pause_replay()
    try:
        yield
    finally:
        await world.stack.replica.resume_replay()


@asynccontextmanager
async def _connector_restarted_in_mid_copy(world: World, load: Workload, planned: Planned) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        group.create_task(load.load(load.tenants[0]), name="load")
        await restart_connector(world.stack.connect_url)
        yield


@asynccontextmanager
async def _parts_lost(world: World, _: Workload, planned: Planned) -> AsyncIterator[None]:
    await lose_newest_parts(world.stack, HISTORY_TABLES, POWER_LOSS_SECONDS)
    yield


@asynccontextmanager
async def _clock_stepped(world: World, load: Workload, planned: Planned) -> AsyncIterator[None]:
    world.step_clock(planned.target, load.notes.chance.choice((-3600.0, 3600.0)))
    try:
        yield
    finally:
        world.step_clock(planned.target, 0.0)


@asynccontextmanager
async def _row_lost(world: World, _: Workload, planned: Planned) -> AsyncIterator[None]:
    await world.lose_row(TOPICS[int(planned.after * 10) % len(TOPICS)])
    yield


@asynccontextmanager
async def _failed_over(world: World, load: Workload, planned: Planned) -> AsyncIterator[None]:
    notes = load.notes
    epoch = max((position[0] for token in notes.tokens.values() if (position := position_of(token))), default=0)
    await fail_over(world.stack, world.links, world.pair)
    held = await surviving(world.pair, load.tenants)
    lost = tuple(sorted(op for op, values in notes.acknowledged(epoch).items() if not values <= held))
    notes.history.append(WritesLost(now(), lost, epoch + 1))
    yield


KINDS: dict[str, Kind] = {
    "kill": _killed_for_a_while,
    "kill_store": _killed_for_a_while,
    "freeze": _frozen,
    "freeze_store": _frozen,
    "slow": _on_link(lambda relay, planned: relay.slow(0.1, 0.1)),
    "late_answers": _on_link(lambda relay, planned: relay.delay_answers(1.0)),
    "half_open": _on_link(lambda relay, planned: relay.half_open()),
    "one_way": _on_link(lambda relay, planned: relay.one_way(Way.BACK if planned.after > 0.4 else Way.THERE)),
    "drip": _on_link(lambda relay, planned: relay.drip(20_000)),
    "cut": _on_link(lambda relay, planned: relay.cut()),
    "reset": _on_link(_reset),
    "replay_pause": _replay_paused,
    "connector_restart": _connector_restarted_in_mid_copy,
    "lost_parts": _parts_lost,
    "clock_step": _clock_stepped,
    "lost_row": _row_lost,
    "failover": _failed_over,
}

CHOICES: dict[str, Choice] = {
    "kill": Choice(SERVICES, 0.2, 2.0),
    "kill_store": Choice(STORES, 0.2, 2.0),
    "freeze": Choice(SERVICES, 0.3, 4.0),
    "freeze_store": Choice(STORES, 0.3, 4.0),
    "slow": Choice(LINKS, 1.0, 3.0),
    "late_answers": Choice(LINKS, 1.0, 3.0),
    "half_open": Choice(LINKS, 1.0, 4.0),
    "one_way": Choice(LINKS, 1.0, 4.0),
    "drip": Choice(LINKS, 1.0, 3.0),
    "cut": Choice(LINKS, 0.5, 3.0),
    "reset": Choice(LINKS, 0.1, 0.5),
    "replay_pause": Choice(("replica",), 1.0, 4.0),
    "connector_restart": Choice(("connect",), 0.5, 2.0),
    "lost_parts": Choice(("clickhouse",), 0.1, 0.5),
    "clock_step": Choice(SERVICES, 1.0, 3.0),
    "lost_row": Choice(("olap-sink",), 0.1, 0.5),
}
