"""Loads and offered load say who they are and for which tenant they act, so that a deployment that asks takes them."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from atlas_cli.bench.batches import Repeated, TenantLoad
from atlas_cli.bench.offer import Offer, Outcome, run, stubs
from atlas_cli.bench.skew import tenant_shapes
from atlas_cli.commands.load import KEPT_HERE
from atlas_cli.loading import Ledger, PlainProgress, Report, load
from atlas_cli.sets import SETS, inputs_of
from atlas_client import AtlasClient, CallFailed
from atlaskit.config import IdentityMode
from atlaskit.rpc.server import serving
from doubles.small_services import SmallServices


@pytest.fixture
async def strict() -> AsyncIterator[str]:
    """Where services listen that answer nobody who does not say who calls."""
    services = SmallServices()
    async with serving(
        services.listed(), "127.0.0.1:0", drain=timedelta(seconds=1), identity=IdentityMode.REQUIRED
    ) as port:
        yield f"127.0.0.1:{port}"


async def loaded(target: str, caller: str) -> Report:
    inputs = inputs_of(SETS["metar"], [KEPT_HERE / "metar"])
    async with AtlasClient.connect(target, target, caller=caller) as client:
        with Ledger(None) as ledger:
            return await load(client, SETS["metar"], inputs, ledger, PlainProgress(io.StringIO()))


async def test_a_load_that_says_who_it_is_acts_for_each_tenant_in_turn(strict: str) -> None:
    report = await loaded(strict, "atlas-cli")
    assert report.stored == report.writes > 0
    assert len(report.tenants) > 1


async def test_a_load_that_does_not_is_refused(strict: str) -> None:
    with pytest.raises(CallFailed) as refused:
        await loaded(strict, "")
    assert refused.value.reason == "IDENTITY_REQUIRED"


@pytest.mark.parametrize(
    ("stream", "caller", "reasons"),
    [
        (False, "atlas-cli", set()),
        (True, "atlas-cli", set()),
        (False, "", {"IDENTITY_REQUIRED"}),
        # Who sends on a stream that was refused meanwhile may see that the sending failed before it sees why.
        (True, "", {"IDENTITY_REQUIRED", "INTERNAL"}),
    ],
)
async def test_an_offered_call_or_stream_acts_for_the_tenant_of_its_requests(
    strict: str, stream: bool, caller: str, reasons: set[str]
) -> None:
    loads = [Repeated(TenantLoad(tenant, tenant_shapes(2)[tenant - 1], 5, seed=tenant), 2) for tenant in (1, 2)]
    offer = Offer(loads, [1, 1], timedelta(seconds=0.2), callers=2, stream=stream, caller=caller)
    async with stubs(strict, 1) as connections:
        outcome = await run(offer, connections, Outcome())
    assert bool(outcome.errors) is bool(reasons)
    assert set(outcome.errors) <= reasons
    assert bool(outcome.answered) is not bool(reasons)
