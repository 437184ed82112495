"""The kinds of faults of a campaign: what each does to the real parts, and how it is undone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from atlas_local.faults.links import CLIENT_LINKS, SERVICE_LINKS, STACK_LINKS
from atlas_local.faults.relay import Relay, Way
from checker.processes import store_kinds
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
async def _clock_stepped(world: World, load: Workload, planned: Planned) -> AsyncIterator[None]:
    world.step_clock(planned.target, load.notes.chance.choice((-3600.0, 3600.0)))
    try:
        yield
    finally:
        world.step_clock(planned.target, 0.0)


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
    "replay_pause": store_kinds.replay_paused,
    "connector_restart": store_kinds.connector_restarted_in_mid_copy,
    "lost_parts": store_kinds.parts_lost,
    "clock_step": _clock_stepped,
    "lost_row": store_kinds.row_lost,
    "failover": store_kinds.failed_over,
    "replay_conflict": store_kinds.replay_conflicts,
    "transaction": store_kinds.transaction_hangs,
    "kafka_transaction": store_kinds.kafka_transaction_hangs,
    "slot_dropped": store_kinds.slot_dropped,
    "topic_cut": store_kinds.topic_cut,
    "unpublished": store_kinds.unpublished,
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
    "replay_conflict": Choice(("replica",), 1.0, 3.0),
    "transaction": Choice(("primary",), 1.0, 4.0),
    "kafka_transaction": Choice(("kafka",), 1.0, 4.0),
    "topic_cut": Choice(("olap-sink",), 0.5, 2.0),
    "unpublished": Choice(("primary",), 0.1, 0.3),
}

# What takes long to recover from: thousands of rows come from the primary, transaction by transaction.
RARE: dict[str, Choice] = {
    "slot_dropped": Choice(("connect",), 0.5, 2.0),
    "failover": Choice(("primary",), 0.1, 0.5),
}
