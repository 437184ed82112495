"""The real stores keep the rules that the simulation builds on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from atlas_local.migrations import apply_migrations
from atlas_local.stack import LocalStack, StackOptions, local_stack
from suites.stores import RULES, Rule, Stores


@pytest.fixture(scope="module")
async def own() -> AsyncIterator[LocalStack]:
    """A stack of its own: no other process watches its incarnation or writes to it."""
    async with local_stack(StackOptions()) as running:
        await apply_migrations(running)
        yield running


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
async def test_the_real_parts_keep_the_rule(own: LocalStack, rule: Rule) -> None:
    async def set_replay(goes_on: bool) -> None:
        await (own.replica.resume_replay() if goes_on else own.replica.pause_replay())

    await rule(
        Stores(own.primary_dsn(), own.replica_dsn(), own.kafka_bootstrap, f"{own.clickhouse_url}/atlas", set_replay)
    )
