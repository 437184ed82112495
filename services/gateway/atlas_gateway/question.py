"""What a request asks for, from its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import assert_never

from atlaskit.errors import InvalidRequest
from atlaskit.model import MAX_ENTITY_ID

LONGEST_STALENESS = timedelta(hours=24)


class UseCase(StrEnum):
    """A row of the freshness budget matrix."""

    REALTIME_ALERT = "realtime_alert"
    DASHBOARD = "dashboard"
    OPERATIONAL_REPORT = "operational_report"
    ANALYTICS = "analytics"
    HISTORICAL = "historical"
    ML_TRAINING = "ml_training"


class QueryType(StrEnum):
    """The three coarse kinds of query; each stands for the use case with the same limit and sources."""

    REALTIME = "realtime"
    OPERATIONAL = "operational"
    ANALYTICAL = "analytical"


class Policy(StrEnum):
    """What to do when no source is fresh enough."""

    WAIT = "wait"
    FAIL_FAST = "fail_fast"
    DEGRADE = "degrade"


class IdKind(StrEnum):
    """How the id in the path is read. AUTO: digits are a number and, if there is no such entity, a key; else a key."""

    AUTO = "auto"
    KEY = "key"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Freshness:
    """How fresh the answer must be; at most one of `use_case` and `max_staleness`. None: the router's default."""

    use_case: UseCase | None
    max_staleness: timedelta | None
    at_least: str
    policy: Policy | None
    max_wait: timedelta | None
    want_session_token: bool


@dataclass(frozen=True, slots=True)
class Question:
    """One read of one entity; `entity` is a number of the platform or a key of the caller."""

    tenant_id: int
    entity: int | str
    attributes: tuple[str, ...]
    freshness: Freshness


def use_case_of(query_type: QueryType) -> UseCase:
    """Return the use case that a coarse kind of query stands for."""
    match query_type:
        case QueryType.REALTIME:
            return UseCase.REALTIME_ALERT  # 100 ms, primary only
        case QueryType.OPERATIONAL:
            return UseCase.DASHBOARD  # 1 s, replica and then primary
        case QueryType.ANALYTICAL:
            return UseCase.ANALYTICS  # 5 min, OLAP and then replica
        case _:
            assert_never(query_type)


def freshness_of(
    *,
    use_case: UseCase | None,
    query_type: QueryType | None,
    max_staleness_ms: int | None,
    at_least: str,
    policy: Policy | None,
    max_wait_ms: int | None,
    session: bool,
) -> Freshness:
    """Return the requirement that these parameters state. Raises InvalidRequest if they state more than one bound."""
    stated = [
        name
        for name, value in (("use_case", use_case), ("query_type", query_type), ("max_staleness_ms", max_staleness_ms))
        if value is not None
    ]
    if len(stated) > 1:
        raise InvalidRequest(stated[1], f"both {' and '.join(stated)} are given; give one", "BOUND_AMBIGUOUS")
    return Freshness(
        use_case=use_case if query_type is None else use_case_of(query_type),
        max_staleness=None if max_staleness_ms is None else timedelta(milliseconds=max_staleness_ms),
        at_least=at_least,
        policy=policy,
        max_wait=None if max_wait_ms is None else timedelta(milliseconds=max_wait_ms),
        want_session_token=session,
    )


def entities_of(text: str, kind: IdKind) -> tuple[int | str, ...]:
    """Return what the id in the path may mean, in the order in which to ask. Raises InvalidRequest if it is nothing."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else None
    if number is not None and number > MAX_ENTITY_ID:
        number = None
    match kind:
        case IdKind.KEY:
            return (text,)
        case IdKind.NUMBER if number is None:
            raise InvalidRequest("id", f"must be a number from 0 to {MAX_ENTITY_ID}, or ask with id_kind=key")
        case IdKind.NUMBER:
            assert number is not None
            return (number,)
        case IdKind.AUTO:
            return (text,) if number is None else (number, text)
        case _:
            assert_never(kind)


def timeout_of(asked_ms: int | None, default: timedelta, limit: timedelta) -> timedelta:
    """Return how long a request may take: what it asks for, at most `limit`; `default` if it asks for nothing."""
    return default if asked_ms is None else min(timedelta(milliseconds=asked_ms), limit)
