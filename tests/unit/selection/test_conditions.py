"""A condition in the form that stores compare is the condition itself, for every value of every type."""

from __future__ import annotations

import pytest
from atlaskit.model import TypedValue, ValueType
from atlaskit.selection.conditions import NUMBERS, Operator, interval, passing_tests
from doubles.value_model import compared, passes
from hypothesis import given
from hypothesis import strategies as st

BOUNDS = [0, 1, -1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63)]
INTEGERS = st.sampled_from([n for n in BOUNDS if n < 2**63]) | st.integers(-(2**63), 2**63 - 1)
UNSIGNED = st.sampled_from([n for n in BOUNDS if n >= 0]) | st.integers(0, 2**64 - 1)
DOUBLES = st.sampled_from([*map(float, BOUNDS), -0.0, 0.5, 5e-324, 1.7e308]) | st.floats(
    allow_nan=False, allow_infinity=False
)
NUMERIC = st.one_of(
    st.builds(TypedValue, st.just(ValueType.INT64), INTEGERS),
    st.builds(TypedValue, st.just(ValueType.UINT64), UNSIGNED),
    st.builds(TypedValue, st.just(ValueType.DOUBLE), DOUBLES),
)
ORDERS = [
    Operator.EQUAL,
    Operator.NOT_EQUAL,
    Operator.LESS,
    Operator.LESS_OR_EQUAL,
    Operator.GREATER,
    Operator.GREATER_OR_EQUAL,
]


@given(NUMERIC, st.sampled_from(ORDERS), NUMERIC)
def test_numbers_of_all_types_compare_by_value_without_rounding(
    value: TypedValue, operator: Operator, operand: TypedValue
) -> None:
    held = any(passes(value, test) for test in passing_tests(operator, [operand]))
    assert held is compared(value.value, operator, operand.value)


@given(NUMERIC, st.lists(NUMERIC, min_size=1, max_size=8))
def test_in_holds_for_a_number_that_equals_one_of_the_operands(value: TypedValue, operands: list[TypedValue]) -> None:
    held = any(passes(value, test) for test in passing_tests(Operator.IN, operands))
    assert held is any(value.value == operand.value for operand in operands)


@given(st.sampled_from(NUMBERS), st.sampled_from([one for one in ORDERS if one is not Operator.NOT_EQUAL]), NUMERIC)
def test_the_bounds_of_an_interval_are_values_of_its_type(
    kind: ValueType, operator: Operator, operand: TypedValue
) -> None:
    low, high = interval(kind, operator, operand.value)  # type: ignore[arg-type]
    assert isinstance(low, float if kind is ValueType.DOUBLE else int)
    assert isinstance(high, float if kind is ValueType.DOUBLE else int)


@pytest.mark.parametrize("operator", ORDERS)
def test_kinds_do_not_compare_with_each_other(operator: Operator) -> None:
    text, octets, truth = (
        TypedValue(ValueType.STRING, "1"),
        TypedValue(ValueType.BYTES, b"1"),
        TypedValue(ValueType.BOOL, True),
    )
    one = TypedValue(ValueType.INT64, 1)
    for value, operand in ((text, octets), (octets, text), (truth, one), (one, truth), (text, one), (one, text)):
        assert not any(passes(value, test) for test in passing_tests(operator, [operand])), (value, operand)
