"""A promotion: another timeline, and nothing of before is claimed on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from atlas_local.ports import HOST
from atlas_local.scratch import scratch_cluster
from atlaskit.freshness.reading import Reading
from atlaskit.postgres.dedicated import open_session

from .monitors import ROLE, monitor, register


async def test_after_a_promotion_every_proof_of_the_old_timeline_is_gone(
    eventually: Callable[..., Awaitable[None]],
) -> None:
    async with scratch_cluster(replica=True) as cluster:
        await register(cluster)
        ports = f"{HOST}:{cluster.primary.port},{HOST}:{cluster.replica.port}"
        dsn = cluster.primary.dsn(ROLE).replace(f"{HOST}:{cluster.primary.port}", ports)
        async with monitor(cluster, postgres_dsn=f"{dsn}?target_session_attrs=primary") as board:
            before = Reading()

            async def proven() -> None:
                nonlocal before
                before = board.reading()
                assert before.beats

            await eventually(proven)
            cluster.primary.kill()
            async with open_session(cluster.replica.dsn(), "test") as session:
                await session.execute("SELECT pg_promote()")

            async def promoted() -> None:
                now = board.reading()
                assert now.identity is not None
                assert now.identity.timeline == 2
                assert now.fences

            await eventually(promoted)
            now = board.reading()
            assert (now.epoch, now.beats) == (None, ())
            assert now.fences[-1].age < before.fences[0].age + now.fences[-1].age
            oldest = board.evidence.fences()[-1]
            assert oldest.lsn >= before.fences[0].lsn
