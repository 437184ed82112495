"""Random searches and groupings over the data set."""

from __future__ import annotations

from datetime import datetime, timedelta

from atlaskit.model import TypedValue, ValueType
from atlaskit.selection.conditions import Operator, Test, passing_tests
from atlaskit.selection.predicates import AllOf, AnyOf, Comparison, Not, OfAssetType, Predicate, SilentFor
from atlaskit.selection.searches import (
    EntitySearch,
    Function,
    FunctionKind,
    Grouping,
    GroupKind,
    GroupSearch,
    Order,
)
from hypothesis import strategies as st

from .dataset import ASSET_TYPES, ATTRIBUTES, DOUBLES, INTEGERS, NOON, OCTETS, TENANTS, TEXTS, UNSIGNED

VALUES: st.SearchStrategy[TypedValue] = st.one_of(
    st.builds(TypedValue, st.just(ValueType.INT64), st.sampled_from(INTEGERS) | st.integers(-(2**63), 2**63 - 1)),
    st.builds(TypedValue, st.just(ValueType.UINT64), st.sampled_from(UNSIGNED) | st.integers(0, 2**64 - 1)),
    st.builds(
        TypedValue,
        st.just(ValueType.DOUBLE),
        st.sampled_from(DOUBLES) | st.floats(allow_nan=False, allow_infinity=False),
    ),
    st.builds(TypedValue, st.just(ValueType.BOOL), st.booleans()),
    st.builds(
        TypedValue,
        st.just(ValueType.STRING),
        st.sampled_from(TEXTS) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5),
    ),
    st.builds(TypedValue, st.just(ValueType.BYTES), st.sampled_from(OCTETS) | st.binary(max_size=4)),
)
NAMES = st.sampled_from((*ATTRIBUTES, "unknown"))
INSTANTS: st.SearchStrategy[datetime | None] = st.none() | st.integers(0, 950).map(
    lambda hours: NOON - timedelta(hours=hours)
)
AGES = st.sampled_from(
    (timedelta(0), timedelta(microseconds=1), timedelta(hours=3), timedelta(days=5), timedelta(days=36_500))
)


@st.composite
def conditions(draw: st.DrawFn, *, exists: bool) -> tuple[Test, ...]:
    """Draw one condition on a value."""
    operator = draw(st.sampled_from([one for one in Operator if exists or one is not Operator.EXISTS]))
    if operator is Operator.EXISTS:
        return passing_tests(operator, ())
    if operator is Operator.IN:
        return passing_tests(operator, draw(st.lists(VALUES, min_size=1, max_size=6)))
    if operator is Operator.STARTS_WITH:
        return passing_tests(operator, [TypedValue(ValueType.STRING, draw(st.sampled_from(TEXTS)))])
    return passing_tests(operator, [draw(VALUES)])


LEAVES: st.SearchStrategy[Predicate] = st.one_of(
    st.builds(Comparison, NAMES, conditions(exists=True), st.none() | AGES),
    st.builds(OfAssetType, st.sampled_from((*ASSET_TYPES[1:], "none such"))),
    st.builds(SilentFor, AGES),
)
PREDICATES: st.SearchStrategy[Predicate] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(AllOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=5,
)
SEARCHES = st.builds(
    EntitySearch,
    tenant_id=st.sampled_from(TENANTS),
    predicate=st.none() | PREDICATES,
    order=st.lists(st.builds(Order, st.none() | NAMES, st.booleans()), max_size=3).map(tuple),
    attributes=st.lists(NAMES, max_size=3, unique=True).map(tuple),
    as_of=INSTANTS,
    after=st.none(),
    most=st.integers(1, 12),
)
FUNCTIONS: st.SearchStrategy[Function] = st.one_of(
    st.builds(
        Function, st.sampled_from([k for k in FunctionKind if k not in (FunctionKind.PERCENTILE, FunctionKind.TOP)])
    ),
    st.builds(Function, st.just(FunctionKind.PERCENTILE), st.sampled_from((0.01, 0.5, 0.9, 0.95, 1.0))),
    st.builds(Function, st.just(FunctionKind.TOP), st.just(1.0), st.integers(1, 5)),
)
GROUPINGS: st.SearchStrategy[Grouping] = st.one_of(
    st.builds(Grouping, st.just(GroupKind.ATTRIBUTE_VALUE), NAMES),
    st.builds(
        Grouping,
        st.just(GroupKind.TIME_BUCKET),
        st.just(""),
        st.sampled_from((timedelta(minutes=1), timedelta(days=1), timedelta(days=7))),
    ),
    st.builds(
        Grouping, st.sampled_from([k for k in GroupKind if k not in (GroupKind.ATTRIBUTE_VALUE, GroupKind.TIME_BUCKET)])
    ),
)


@st.composite
def group_searches(draw: st.DrawFn) -> GroupSearch:
    """Draw a grouping."""
    start, end = draw(INSTANTS), draw(INSTANTS)
    if start is not None and end is not None and start >= end:
        start, end = end, start + timedelta(hours=1)
    is_prefix = draw(st.booleans())
    return GroupSearch(
        tenant_ids=tuple(draw(st.lists(st.sampled_from(TENANTS), min_size=1, max_size=3, unique=True))),
        attribute=draw(st.sampled_from(("", "n", "num", "a/", "x"))) if is_prefix else draw(NAMES),
        is_prefix=is_prefix,
        predicate=draw(st.none() | PREDICATES),
        functions=tuple(draw(st.lists(FUNCTIONS, min_size=1, max_size=4))),
        group_by=tuple(draw(st.lists(GROUPINGS, max_size=3))),
        conditions=tuple(draw(st.lists(conditions(exists=False), max_size=2))),
        start=start,
        end=end,
        latest=draw(st.booleans()),
        after=None,
        most=10_000,
        keys_after=draw(st.none() | st.just("num")) if is_prefix else None,
    )
