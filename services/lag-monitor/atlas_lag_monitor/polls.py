"""What a poll of a copy amounts to, for routing and for people."""

from __future__ import annotations

from datetime import timedelta

from atlaskit.clickhouse.watermark import Watermark, least
from atlaskit.freshness.fences import newest_covered, newest_proven
from atlaskit.model import SHARD_COUNT
from atlaskit.position import SourceIdentity
from atlaskit.postgres.aurora import AuroraLook
from atlaskit.postgres.probes import ReplicaLook

from atlas_lag_monitor.evidence import Evidence, Poll

# What answers of OLAP are made of: history, and the entities that it belongs to.
OLAP_PLACES = tuple((table, shard) for table in ("entities", "entity_attributes") for shard in range(SHARD_COUNT))


def replica_poll(look: ReplicaLook, evidence: Evidence) -> Poll:
    """Return how far a replica is by the monitor's own fences; of a standby of another primary nothing is known."""
    problem = _not_following(look, evidence.identity)
    if problem or look.replayed is None:
        return Poll(reachable=True, problem=problem or "has replayed nothing yet")
    fences = evidence.fences()
    fence = newest_covered(fences, look.replayed)
    behind = None if not fences else max(fences[0].lsn.bytes - look.replayed.bytes, 0)
    return Poll(reachable=True, covered=None if fence is None else fence.instant, lag_bytes=behind)


def aurora_poll(look: AuroraLook) -> Poll:
    """Return how far an Aurora reader is, in Aurora's words. `covered` stays unknown: its estimate is no proof of ours.

    Its positions are not those of fences, so no fence is known to be covered.
    """
    if not look.is_reader:
        return Poll(reachable=True, problem="is the writer: not a reader")
    behind = None if look.durable is None or look.read is None else max(look.durable - look.read, 0)
    told = "nothing" if look.lag is None else f"{look.lag / timedelta(milliseconds=1):g} ms"
    return Poll(reachable=True, problem=f"not proven: Aurora's own estimate of its lag is {told}", lag_bytes=behind)


def _not_following(look: ReplicaLook, primary: SourceIdentity | None) -> str:
    if not look.in_recovery:
        return "is not in recovery: not a standby"
    if primary is None:
        return "the primary is not known"
    if look.system_identifier != primary.system_identifier:
        return f"belongs to system {look.system_identifier}, not to {primary.system_identifier}"
    if look.receiver_status != "streaming":
        return f"does not stream: its receiver is {look.receiver_status or 'not running'}"
    if look.receiver_timeline != primary.timeline:
        return f"streams timeline {look.receiver_timeline}, the primary writes {primary.timeline}"
    return ""


def olap_poll(marks: list[Watermark], evidence: Evidence) -> Poll:
    """Return how far OLAP is: the least watermark over the shards, by this monitor's beats."""
    if not marks:
        return Poll(reachable=True, problem="no watermark under its present incarnation")
    mark = least(marks, OLAP_PLACES, evidence.monitor)
    if mark is None or mark.epoch != evidence.epoch:
        return Poll(reachable=True, problem="no watermark of this monitor's beats for every shard yet")
    beats = evidence.beats()
    beat = newest_proven(beats, mark.beat)
    behind = beats[0].lsn.bytes - mark.lsn.bytes if beats else None
    return Poll(reachable=True, covered=None if beat is None else beat.instant, lag_bytes=behind)
