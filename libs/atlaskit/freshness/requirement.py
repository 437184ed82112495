"""What a caller may ask for: the freshness budget matrix as data, and a requirement with its defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType

from atlaskit.errors import InvalidRequest
from atlaskit.model import Source
from atlaskit.position import Token


class UseCase(StrEnum):
    """A row of the budget matrix."""

    REALTIME_ALERT = "realtime_alert"
    DASHBOARD = "dashboard"
    OPERATIONAL_REPORT = "operational_report"
    ANALYTICS = "analytics"
    HISTORICAL = "historical"
    ML_TRAINING = "ml_training"


class Policy(StrEnum):
    """What to do when no source is proven fresh enough."""

    WAIT = "wait"
    FAIL_FAST = "fail_fast"
    DEGRADE = "degrade"


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit and the sources that may serve it, in the order in which they are tried."""

    max_staleness: timedelta
    sources: tuple[Source, ...]


BUDGETS: Mapping[UseCase, Budget] = MappingProxyType(
    {
        UseCase.REALTIME_ALERT: Budget(timedelta(milliseconds=100), (Source.PRIMARY,)),
        UseCase.DASHBOARD: Budget(timedelta(seconds=1), (Source.REPLICA, Source.PRIMARY)),
        UseCase.OPERATIONAL_REPORT: Budget(timedelta(seconds=30), (Source.REPLICA, Source.PRIMARY)),
        UseCase.ANALYTICS: Budget(timedelta(minutes=5), (Source.OLAP, Source.REPLICA)),
        UseCase.HISTORICAL: Budget(timedelta(hours=1), (Source.OLAP, Source.LAKE)),
        UseCase.ML_TRAINING: Budget(timedelta(hours=24), (Source.LAKE, Source.OLAP)),
    }
)
LONGEST = BUDGETS[UseCase.ML_TRAINING].max_staleness


@dataclass(frozen=True, slots=True)
class Requirement:
    """What one answer has to satisfy. `max_wait` None: as long as the call's deadline allows.

    `pinned_away` says that `sources` is the copy of the page before, and not the first choice of the request.
    """

    use_case: UseCase
    max_staleness: timedelta
    sources: tuple[Source, ...]
    policy: Policy = Policy.FAIL_FAST
    at_least: Token | None = None
    max_wait: timedelta | None = None
    want_session_token: bool = False
    pinned_away: bool = False

    def falls_back_onto(self, source: Source) -> bool:
        """Tell whether a read of that source is one in place of the first choice."""
        return self.pinned_away or self.sources[0] is not source


def for_use_case(use_case: UseCase) -> Requirement:
    """Return the requirement that a row of the matrix stands for, with the policy FAIL_FAST."""
    budget = BUDGETS[use_case]
    return Requirement(use_case, budget.max_staleness, budget.sources)


def for_max_staleness(limit: timedelta, field: str) -> Requirement:
    """Return a requirement of this limit; its sources are those of the narrowest use case with at least this limit."""
    if not timedelta(0) < limit <= LONGEST:
        raise InvalidRequest(field, "must be more than 0 and at most 24 h", "MAX_STALENESS_OUT_OF_RANGE")
    use_case = next(case for case, budget in BUDGETS.items() if limit <= budget.max_staleness)
    return Requirement(use_case, limit, BUDGETS[use_case].sources)
