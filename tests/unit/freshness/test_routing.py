from dataclasses import replace
from datetime import timedelta

import pytest
from atlaskit.clock import BootInstant
from atlaskit.errors import InvalidRequest
from atlaskit.freshness.certificate import PassedOver, PassedOverFor
from atlaskit.freshness.proofs import Proof
from atlaskit.freshness.reading import CopyLag, Known
from atlaskit.freshness.requirement import BUDGETS, UseCase, for_max_staleness, for_use_case
from atlaskit.freshness.routing import plan, shortfall
from atlaskit.model import Source
from atlaskit.position import Lsn, Token

NOW = BootInstant(10**11)
DASHBOARD = for_use_case(UseCase.DASHBOARD)
BUILT = frozenset({Source.PRIMARY, Source.REPLICA, Source.OLAP})


def known(**lag: CopyLag) -> Known:
    return Known(asked=NOW, copies={Source(name): copy for name, copy in lag.items()})


FINE = CopyLag(timedelta(milliseconds=20), reachable=True)


def test_the_first_source_of_the_budget_is_tried_first() -> None:
    assert plan(DASHBOARD, known(replica=FINE, primary=FINE), BUILT).sources == (Source.REPLICA, Source.PRIMARY)


def test_unknown_lag_never_counts_as_fresh() -> None:
    unmeasured = CopyLag(None, reachable=True)
    chosen = plan(DASHBOARD, known(replica=unmeasured, primary=FINE), BUILT)
    assert chosen.sources == (Source.PRIMARY,)
    assert chosen.passed_over == (PassedOver(Source.REPLICA, PassedOverFor.UNKNOWN),)


def test_a_copy_over_the_limit_is_passed_over_and_says_by_how_much() -> None:
    late = CopyLag(timedelta(seconds=3), reachable=True)
    chosen = plan(DASHBOARD, known(replica=late, primary=FINE), BUILT)
    assert chosen.passed_over == (PassedOver(Source.REPLICA, PassedOverFor.TOO_STALE, timedelta(seconds=3)),)


def test_without_a_reading_nothing_is_worth_a_try() -> None:
    assert plan(DASHBOARD, None, BUILT).sources == ()


def test_a_source_that_is_not_built_is_passed_over() -> None:
    training = plan(for_use_case(UseCase.ML_TRAINING), known(olap=FINE), BUILT)
    assert training.sources == (Source.OLAP,)
    assert training.passed_over == (PassedOver(Source.LAKE, PassedOverFor.NOT_SUPPORTED),)


def test_an_alert_is_never_answered_by_a_copy() -> None:
    assert BUDGETS[UseCase.REALTIME_ALERT].sources == (Source.PRIMARY,)


def test_the_answer_that_was_read_decides_and_not_the_polled_lag() -> None:
    stale = Proof(BootInstant(NOW.nanoseconds - 2 * 10**9), 1, Lsn(5))
    missed = shortfall(Source.REPLICA, stale, DASHBOARD, NOW)
    assert missed == PassedOver(Source.REPLICA, PassedOverFor.TOO_STALE, timedelta(seconds=2))
    fresh = Proof(BootInstant(NOW.nanoseconds - 10**8), 1, Lsn(5))
    assert shortfall(Source.REPLICA, fresh, DASHBOARD, NOW) is None
    assert shortfall(Source.REPLICA, None, DASHBOARD, NOW) == PassedOver(Source.REPLICA, PassedOverFor.UNKNOWN)


def test_a_fresh_answer_that_misses_the_token_does_not_do() -> None:
    fresh = Proof(BootInstant(NOW.nanoseconds - 10**8), 1, Lsn(5))
    asked = replace(DASHBOARD, at_least=Token(1, Lsn(6)))
    missed = shortfall(Source.REPLICA, fresh, asked, NOW)
    assert missed is not None
    assert missed.reason is PassedOverFor.TOKEN_NOT_COVERED


@pytest.mark.parametrize(
    ("seconds", "use_case"),
    [
        (0.05, UseCase.REALTIME_ALERT),
        (0.1, UseCase.REALTIME_ALERT),
        (0.5, UseCase.DASHBOARD),
        (86400, UseCase.ML_TRAINING),
    ],
)
def test_a_limit_takes_the_sources_of_the_narrowest_use_case_that_has_it(seconds: float, use_case: UseCase) -> None:
    assert for_max_staleness(timedelta(seconds=seconds), "f").use_case is use_case


@pytest.mark.parametrize("seconds", [0, -1, 86401])
def test_a_limit_out_of_range_is_refused_by_its_path(seconds: float) -> None:
    with pytest.raises(InvalidRequest, match="requirement.max_staleness"):
        for_max_staleness(timedelta(seconds=seconds), "requirement.max_staleness")
