"""The replica stops applying: answers move to the primary and say why; it goes on: they move back."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from atlas_client import AtlasClient, EntityAnswer, Policy, Requirement, Source, Tenant, UseCase, Write
from atlas_local.launch import Launched

AT = datetime(2026, 1, 1, tzinfo=UTC)
DASHBOARD = Requirement(use_case=UseCase.DASHBOARD)
Eventually = Callable[..., Awaitable[None]]


async def test_a_dashboard_moves_to_the_primary_while_replay_is_paused(
    atlas: Launched, client: AtlasClient, new_tenant: Callable[..., Awaitable[Tenant]], eventually: Eventually
) -> None:
    tenant = await new_tenant()
    await client.write_rows(tenant.tenant_id, [Write("a", "k", 1, AT)])

    async def dashboard(requirement: Requirement = DASHBOARD) -> EntityAnswer:
        return await client.get_entity(tenant.tenant_id, "a", freshness=requirement, timeout=timedelta(seconds=5))

    async def served_by_the_replica() -> None:
        answer = await dashboard()
        assert answer.freshness.source == Source.REPLICA
        assert answer.freshness.fallbacks == ()
        assert answer.freshness.staleness is not None
        assert answer.freshness.staleness <= timedelta(seconds=1)

    # The router's first reading of the monitor may be a moment away.
    await dashboard(Requirement(use_case=UseCase.DASHBOARD, policy=Policy.WAIT))
    await eventually(served_by_the_replica)
    await atlas.stack.replica.pause_replay()
    try:
        await client.write_rows(tenant.tenant_id, [Write("a", "k", 2, AT)])

        async def served_by_the_primary() -> None:
            answer = await dashboard()
            assert answer.freshness.source == Source.PRIMARY
            [passed_over] = answer.freshness.fallbacks
            assert passed_over.source == Source.REPLICA
            assert passed_over.reason == "too_stale"
            assert passed_over.staleness is not None
            assert passed_over.staleness > timedelta(seconds=1)
            assert answer.entity.values["k"].value == 2

        await eventually(served_by_the_primary)
        # What the replica alone can say is old, and it says so. A bound may fall a little from one answer to the next,
        # as a newer reading tells the age of the same fence more closely: this is waited for like the others.
        wanted = Requirement(use_case=UseCase.DASHBOARD, policy=Policy.DEGRADE, only_source=Source.REPLICA)

        async def degraded_on_the_replica() -> None:
            degraded = await dashboard(wanted)
            assert degraded.freshness.source == Source.REPLICA
            assert degraded.entity.values["k"].value == 1
            assert degraded.freshness.degraded
            assert degraded.freshness.staleness is not None
            assert degraded.freshness.staleness > timedelta(seconds=1)

        await eventually(degraded_on_the_replica)
    finally:
        await atlas.stack.replica.resume_replay()
    await eventually(served_by_the_replica)
    assert (await dashboard()).entity.values["k"].value == 2
