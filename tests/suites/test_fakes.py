"""The fakes of the simulation keep the rules that the real stores keep."""

from __future__ import annotations

import pytest
from checker.sim.installed import installed, quiet
from checker.sim.loop import START
from checker.sim.services import CLICKHOUSE, KAFKA, Knobs
from checker.sim.world import SimWorld
from suites.stores import RULES, Rule, Stores

PATIENCE = 120.0  # virtual seconds


def kept(rule: Rule, seed: int) -> None:
    world = SimWorld(seed, Knobs())
    client = world.processes["clients"]
    world.equip(client)

    async def set_replay(goes_on: bool) -> None:
        world.standby.set_replay_paused(not goes_on)

    async def run() -> None:
        world.register_tenants()
        world.standby.process.run(world.standby.follow(world.primary), "walreceiver")
        await rule(Stores("primary", "replica", KAFKA, CLICKHOUSE, set_replay))

    with installed(world, seed):
        task = client.run(run(), rule.__name__)
        while not task.done() and world.scheduler.now < START + PATIENCE:
            world.scheduler.run_until(world.scheduler.now + 0.5)
        assert task.done(), "it did not end"
        if (error := task.exception()) is not None:
            raise error


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_fakes_keep_the_rule(rule: Rule, seed: int) -> None:
    with quiet():
        kept(rule, seed)
