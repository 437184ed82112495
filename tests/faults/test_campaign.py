"""A small campaign against real parts, each link of which has a relay: `make check-processes` runs the long one."""

from __future__ import annotations

from checker.processes.campaign import LIMITS, Campaign, Run
from checker.processes.schedule import read
from checker.processes.world import World
from checker.verdict import check

SCHEDULE = (
    "kill:olap-sink@0+1,replay_pause:replica@0.3+2;"
    "half_open:query-router->lag-monitor@0+2,lost_parts:clickhouse@0.2+0.3;"
    "freeze:lag-monitor@0+2,late_answers:ingest->primary@0.2+1.5"
)


async def test_no_claim_is_false_and_all_copies_agree_whatever_befalls_the_real_parts(world: World) -> None:
    said: list[str] = []
    history = await Campaign(world, Run(11, read(SCHEDULE), calm=1.0), said.append).go()
    verdict = check(history, LIMITS)
    assert verdict.violations == [], "\n".join([*said, history.replay])
    assert all(verdict.claims[source] > 0 for source in ("primary", "replica", "olap"))
    assert len(verdict.faults) == 6
