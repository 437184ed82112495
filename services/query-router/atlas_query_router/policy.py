"""What to do after no source was fresh enough: wait, degrade, or refuse, and in which words. Decisions only."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from atlaskit.errors import AtlasError, NotBuilt, NotFreshEnough, Overloaded, TokenLost, Unavailable
from atlaskit.freshness.certificate import PassedOver, PassedOverFor
from atlaskit.freshness.proofs import Proof, covers
from atlaskit.freshness.reading import Known
from atlaskit.freshness.requirement import Policy, Requirement
from atlaskit.model import Source

RETRY_AFTER = timedelta(milliseconds=200)
# A copy passed over for one of these still has an answer, if an old one.
_READABLE = frozenset({PassedOverFor.TOO_STALE, PassedOverFor.UNKNOWN})


def worth_waiting(requirement: Requirement, passed_over: Sequence[PassedOver]) -> bool:
    """Tell whether time alone may help: under WAIT always, under every policy for a token that is still on its way."""
    reasons = {passed.reason for passed in passed_over}
    if reasons <= {PassedOverFor.NOT_SUPPORTED}:
        return False
    return requirement.policy is Policy.WAIT or PassedOverFor.TOKEN_NOT_COVERED in reasons


def freshest_first(passed_over: Sequence[PassedOver]) -> list[Source]:
    """Return the sources that can give an old answer, by their staleness as known; unknown ones come last."""
    readable = [passed for passed in passed_over if passed.reason in _READABLE]
    readable.sort(key=lambda passed: timedelta.max if passed.staleness is None else passed.staleness)
    return [passed.source for passed in readable]


def honours_token(source: Source, proof: Proof | None, requirement: Requirement) -> bool:
    """Tell whether an answer may be given at all: a token is never traded for an old answer."""
    token = requirement.at_least
    return token is None or (proof is not None and covers(proof, token, primary=source is Source.PRIMARY))


def lost_token(requirement: Requirement, known: Known | None) -> TokenLost | None:
    """Return the error for a token of an epoch that is over, or None.

    Whether the failover kept the write is not known here, so it is taken for lost: refusing is never a false claim.
    """
    token = requirement.at_least
    if token is None or known is None or known.epoch is None or token.epoch >= known.epoch:
        return None
    return TokenLost(
        f"at_least_token is of epoch {token.epoch}; the source is now in epoch {known.epoch} and the write is not "
        "proven to have survived. Read without the token and write again what is missing"
    )


def refusal(requirement: Requirement, passed_over: Sequence[PassedOver]) -> AtlasError:
    """Return the error that says why there is no answer, and how far off each source is."""
    reasons = {passed.reason for passed in passed_over}
    told = "; ".join(str(passed) for passed in passed_over)
    if PassedOverFor.BUDGET_EXHAUSTED in reasons:
        return Overloaded(f"the number of reads that may fall back onto the primary at a time ({told})", RETRY_AFTER)
    if reasons == {PassedOverFor.NOT_SUPPORTED}:
        return NotBuilt(f"no source of use case {requirement.use_case} can serve this yet: {told}")
    if reasons == {PassedOverFor.UNAVAILABLE}:
        return Unavailable(f"no source answers: {told}")
    limit = requirement.max_staleness.total_seconds() * 1000
    covering = "" if requirement.at_least is None else f" and covers {requirement.at_least}"
    return NotFreshEnough(f"no source is proven to be at most {limit:g} ms stale{covering}: {told}")
