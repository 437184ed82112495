"""Where to look first: the polled lag decides what is worth a try, and never what is claimed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from atlaskit.clock import BootInstant
from atlaskit.freshness.certificate import PassedOver, PassedOverFor
from atlaskit.freshness.proofs import Proof, covers, missing_bytes
from atlaskit.freshness.reading import CopyLag, Known
from atlaskit.freshness.requirement import Requirement
from atlaskit.model import Source


@dataclass(frozen=True, slots=True)
class Plan:
    """Sources worth reading, in order, and those passed over unread."""

    sources: tuple[Source, ...]
    passed_over: tuple[PassedOver, ...]


def plan(requirement: Requirement, known: Known | None, supported: Collection[Source]) -> Plan:
    """Return where to read, by what was last polled. Without a usable reading nothing can be proven anywhere."""
    sources: list[Source] = []
    passed: list[PassedOver] = []
    for source in requirement.sources:
        unfit = _unfit(source, requirement, known, supported)
        if unfit is None:
            sources.append(source)
        else:
            passed.append(unfit)
    return Plan(tuple(sources), tuple(passed))


def _unfit(
    source: Source, requirement: Requirement, known: Known | None, supported: Collection[Source]
) -> PassedOver | None:
    if source not in supported:
        return PassedOver(source, PassedOverFor.NOT_SUPPORTED)
    if known is None:
        return PassedOver(source, PassedOverFor.UNKNOWN)
    return _unfit_as_polled(source, requirement, known.copies.get(source))


def _unfit_as_polled(source: Source, requirement: Requirement, copy: CopyLag | None) -> PassedOver | None:
    if copy is not None and not copy.reachable:
        return PassedOver(source, PassedOverFor.UNAVAILABLE, copy.lag)
    if source is Source.PRIMARY:
        return None
    if copy is None or copy.lag is None:
        return PassedOver(source, PassedOverFor.UNKNOWN)
    if copy.lag > requirement.max_staleness:
        return PassedOver(source, PassedOverFor.TOO_STALE, copy.lag)
    return None


def shortfall(
    source: Source, proof: Proof | None, requirement: Requirement, received: BootInstant
) -> PassedOver | None:
    """Return why an answer that was read does not satisfy the requirement, or None: it does."""
    if proof is None:
        return PassedOver(source, PassedOverFor.UNKNOWN)
    staleness = proof.staleness(received)
    if staleness > requirement.max_staleness:
        return PassedOver(source, PassedOverFor.TOO_STALE, staleness)
    token = requirement.at_least
    if token is not None and not covers(proof, token):
        missing = missing_bytes(proof, token)
        return PassedOver(source, PassedOverFor.TOKEN_NOT_COVERED, staleness, missing_bytes=missing)
    return None
