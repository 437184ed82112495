"""What to do after no source was fresh enough: wait, degrade, or refuse, and in which words. Decisions only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from atlaskit.clock import BootInstant
from atlaskit.errors import (
    AtlasError,
    NotBuilt,
    NotFreshEnough,
    Overloaded,
    TokenEpochUnknown,
    TokenLost,
    Unavailable,
)
from atlaskit.freshness.certificate import PassedOver, PassedOverFor
from atlaskit.freshness.progress import Progress
from atlaskit.freshness.proofs import Proof, covers, survives
from atlaskit.freshness.reading import Known
from atlaskit.freshness.requirement import Policy, Requirement
from atlaskit.model import Source

# Told to a caller who finds the cap reached by another way than through the gate, which has its own answer.
RETRY_AFTER = timedelta(milliseconds=200)
SOONEST = timedelta(milliseconds=20)
# A copy passed over for one of these still has an answer, if an old one.
_READABLE = frozenset({PassedOverFor.TOO_STALE, PassedOverFor.UNKNOWN})


def worth_waiting(requirement: Requirement, passed_over: Sequence[PassedOver]) -> bool:
    """Tell whether time alone may help: under WAIT, and under every policy for a token that is still on its way.

    Not once the cap on the primary is reached: who waited there would ask it again and again, which the cap is against.
    """
    reasons = {passed.reason for passed in passed_over}
    if reasons <= {PassedOverFor.NOT_SUPPORTED} or PassedOverFor.BUDGET_EXHAUSTED in reasons:
        return False
    return requirement.policy is Policy.WAIT or PassedOverFor.TOKEN_NOT_COVERED in reasons


def freshest_first(passed_over: Sequence[PassedOver]) -> list[Source]:
    """Return the sources that can give an old answer, by their staleness as known; unknown ones come last."""
    readable = [passed for passed in passed_over if passed.reason in _READABLE]
    readable.sort(key=lambda passed: timedelta.max if passed.staleness is None else passed.staleness)
    return [passed.source for passed in readable]


def honours_token(proof: Proof | None, requirement: Requirement) -> bool:
    """Tell whether an answer may be given at all: a token is never traded for an old answer."""
    token = requirement.at_least
    return token is None or (proof is not None and covers(proof, token))


def token_is_early(requirement: Requirement, known: Known | None) -> bool:
    """Tell whether the token is of an epoch after the one that is known here: a reading on its way may know it."""
    token = requirement.at_least
    return token is not None and known is not None and known.epoch is not None and token.epoch > known.epoch


def lost_token(requirement: Requirement, known: Known | None) -> NotFreshEnough | None:
    """Return the error for a token whose write is not known to be part of the present history, or None.

    What is not proven to have survived is taken for lost: refusing is never a false claim.
    """
    token = requirement.at_least
    if token is None or known is None or known.epoch is None or survives(token, known.epoch, known.ancestors):
        return None
    if token.epoch > known.epoch:
        return TokenEpochUnknown(
            f"at_least_token is of epoch {token.epoch}, and the lag monitor knows none after {known.epoch}: it is of "
            "another platform, or was changed on its way"
        )
    forked_at = known.ancestors.get(token.epoch)
    ended = (
        f"is not known to be part of the history of epoch {known.epoch}, the present one"
        if forked_at is None
        else f"ended at {forked_at}, where epoch {known.epoch} goes on, and the token is of {token.lsn}"
    )
    return TokenLost(
        f"at_least_token is of epoch {token.epoch}, which {ended}: the write is not proven to have survived. Read "
        "without the token and write again what is missing"
    )


def with_estimate(
    passed: PassedOver, requirement: Requirement, progress: Callable[[Source], Progress], now: BootInstant
) -> PassedOver:
    """Return the entry with the time after which the source is likely to do, where its progress tells."""
    match passed.reason:
        case PassedOverFor.TOO_STALE:
            likely = progress(passed.source).until_staleness(requirement.max_staleness, now)
        case PassedOverFor.TOKEN_NOT_COVERED if requirement.at_least is not None:
            likely = progress(passed.source).until_position(requirement.at_least.lsn, now)
        case _:
            return passed
    return replace(passed, likely_after=likely)


def refusal(requirement: Requirement, passed_over: Sequence[PassedOver]) -> AtlasError:
    """Return the error that says why there is no answer, how far off each source is, and when to come again."""
    reasons = {passed.reason for passed in passed_over}
    told = "; ".join(str(passed) for passed in passed_over)
    likely = [passed.likely_after for passed in passed_over if passed.likely_after is not None]
    if PassedOverFor.BUDGET_EXHAUSTED in reasons:
        return Overloaded(
            f"the number of reads that may fall back onto the primary ({told})",
            min(likely, default=RETRY_AFTER),
            "FALLBACK_BUDGET_EXHAUSTED",
        )
    if reasons == {PassedOverFor.NOT_SUPPORTED}:
        return NotBuilt(f"no source of use case {requirement.use_case} can serve this: {told}")
    if reasons == {PassedOverFor.UNAVAILABLE}:
        return Unavailable(f"no source answers: {told}")
    limit = requirement.max_staleness.total_seconds() * 1000
    covering = "" if requirement.at_least is None else f" and covers {requirement.at_least}"
    text = f"no source is proven to be at most {limit:g} ms stale{covering}: {told}"
    return NotFreshEnough(text, max(min(likely), SOONEST) if likely else None)
