"""The naive twin: the decision that was written down first, on the same stores under the same faults.

`get_data_freshness_info` of the first design knows three kinds of queries. It takes the replica's lag from
`pg_stat_replication` (NULL counts as 0), the lag of ClickHouse from the newest ingestion timestamp of the tenant, and
the primary's as 0; it compares them with two limits, and answers with the lag that it looked up as the freshness.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from atlas_query_router import router as routing
from atlaskit.errors import DeadlinePassed, Overloaded, Unavailable
from atlaskit.freshness.certificate import Certificate
from atlaskit.freshness.requirement import Requirement, UseCase
from atlaskit.model import Source
from checker.sim.run import Run
from checker.sim.world import SimWorld

REPLICA_LIMIT = timedelta(seconds=1)
OLAP_LIMIT = timedelta(minutes=5)


def replica_lag(world: SimWorld) -> timedelta:
    """`pg_stat_replication.replay_lag` of the primary: as last measured; without a standby NULL, read as 0."""
    return timedelta(seconds=world.cluster.resolve("primary").measured_lag or 0.0)


def olap_lag(world: SimWorld, tenant: int) -> timedelta:
    """now() - max(ingestion_timestamp) of the tenant; without a row there is nothing to be late."""
    newest = world.engine.newest.get(tenant)
    return timedelta(seconds=0.0 if newest is None else max(world.scheduler.now - newest, 0.0))


def freshness_info(kind: str, world: SimWorld, tenant: int) -> tuple[Source, timedelta]:
    """Where to read and what to say of it."""
    if kind == "realtime":
        return Source.PRIMARY, timedelta(0)
    lag = replica_lag(world)
    if kind == "operational":
        return (Source.REPLICA, lag) if lag < REPLICA_LIMIT else (Source.PRIMARY, timedelta(0))
    behind = olap_lag(world, tenant)
    return (Source.OLAP, behind) if behind < OLAP_LIMIT else (Source.REPLICA, lag)


_KINDS = {
    UseCase.REALTIME_ALERT: "realtime",
    UseCase.DASHBOARD: "operational",
    UseCase.OPERATIONAL_REPORT: "operational",
}


@contextmanager
def naive(run: Run) -> Iterator[None]:
    """Let the router decide and certify so."""
    world = run.world

    async def answer(self: Any, question: Any, requirement: Requirement, call: Any) -> routing.Answer:
        kind = _KINDS.get(requirement.use_case, "analytical")
        source, lag = freshness_info(kind, world, question.tenant_id)
        try:
            reply = await self._backends[source].read(question, call, lambda _: True)
        except (Unavailable, Overloaded, DeadlinePassed, TimeoutError) as error:
            refused = Certificate(None, None, requirement, self._clock.wall())
            raise routing.Refusal(Unavailable(f"{source}: {error}"), refused) from error
        staleness = max(lag, timedelta(microseconds=1))
        certificate = Certificate(source, staleness, requirement, self._clock.wall())
        return routing.Answer(reply.rows, certificate)

    with patch.object(routing.Router, "answer", answer):
        yield
