from __future__ import annotations

from atlaskit.figures import Figures
from atlaskit.model import TypedValue, ValueType


def test_figures_of_nothing_are_none_and_not_zero() -> None:
    nothing = Figures(count=2)  # two texts
    assert (nothing.minimum(), nothing.maximum(), nothing.exact_sum(), nothing.sum(), nothing.mean()) == (None,) * 5


def test_extremes_of_different_types_compare_by_value() -> None:
    close = Figures(
        integers=2, doubles=1, min_int64=2**53 + 1, max_int64=2**53 + 1, min_double=2.0**53, max_double=2.0**53
    )
    assert close.minimum() == TypedValue(ValueType.DOUBLE, 2.0**53)
    assert close.maximum() == TypedValue(ValueType.INT64, 2**53 + 1)


def test_the_sum_of_integers_is_exact_and_with_doubles_there_is_none() -> None:
    assert Figures(integers=2, integer_sum=2**70 + 1).exact_sum() == 2**70 + 1
    assert Figures(integers=1, doubles=1, integer_sum=1, double_sum=0.5).exact_sum() is None
    assert Figures(integers=1, doubles=1, integer_sum=1, double_sum=0.5).mean() == 0.75
