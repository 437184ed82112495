"""Filters written by people: every part of a predicate has a form in CEL, and nothing of an expression is dropped."""

from __future__ import annotations

import pytest
from atlas.ingest.v1.value_pb2 import AttributeValue
from atlas.query.v1 import query_service_pb2 as pb
from atlas_client.filter_text import text_of
from atlas_client.filters import FilterError, predicate_of
from google.protobuf.duration_pb2 import Duration
from hypothesis import given, settings
from hypothesis import strategies as st

ORDERED = [number for number in pb.ComparisonOperator.values() if 1 <= number <= 6]

keys = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
values = st.one_of(
    st.builds(AttributeValue, int64_value=st.integers(-(2**63), 2**63 - 1)),
    st.builds(AttributeValue, uint64_value=st.integers(0, 2**64 - 1)),
    st.builds(AttributeValue, double_value=st.floats(allow_nan=False, allow_infinity=False)),
    st.builds(AttributeValue, bool_value=st.booleans()),
    st.builds(AttributeValue, string_value=texts),
    st.builds(AttributeValue, bytes_value=st.binary(max_size=20)),
)
# Up to a hundred years, in whole microseconds.
spans = st.integers(0, 36_500 * 86_400 * 10**6).map(lambda us: Duration(seconds=us // 10**6, nanos=us % 10**6 * 1000))
comparisons = st.one_of(
    st.builds(pb.Comparison, attribute_key=keys, operator=st.sampled_from(ORDERED), operand=values),
    st.builds(
        pb.Comparison,
        attribute_key=keys,
        operator=st.just(pb.COMPARISON_OPERATOR_IN),
        operands=st.lists(values, min_size=1, max_size=4),
    ),
    st.builds(
        pb.Comparison,
        attribute_key=keys,
        operator=st.just(pb.COMPARISON_OPERATOR_STARTS_WITH),
        operand=st.builds(AttributeValue, string_value=texts),
    ),
    st.builds(pb.Comparison, attribute_key=keys, operator=st.just(pb.COMPARISON_OPERATOR_EXISTS)),
)


@st.composite
def aged(draw: st.DrawFn) -> pb.Comparison:
    comparison = draw(comparisons)
    if draw(st.booleans()):
        comparison.within.CopyFrom(draw(spans))
    return comparison


leaves = st.one_of(
    st.builds(pb.Predicate, comparison=aged()),
    st.builds(pb.Predicate, has_attribute=keys),
    st.builds(pb.Predicate, asset_type=keys),
    st.builds(pb.Predicate, silent_for=spans),
)
predicates = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(pb.Predicate, negation=inner),
        st.builds(pb.AllOf, predicates=st.lists(inner, min_size=1, max_size=4)).map(lambda of: pb.Predicate(all_of=of)),
        st.builds(pb.AnyOf, predicates=st.lists(inner, min_size=1, max_size=4)).map(lambda of: pb.Predicate(any_of=of)),
    ),
    max_leaves=8,
)


def flattened(predicate: pb.Predicate) -> pb.Predicate:
    """The same with groups of one, and groups in a group of their kind, dissolved: as few levels as it can have."""
    kind = predicate.WhichOneof("kind")
    if kind == "negation":
        return pb.Predicate(negation=flattened(predicate.negation))
    if kind not in ("all_of", "any_of"):
        return predicate
    parts: list[pb.Predicate] = []
    for part in map(flattened, getattr(predicate, kind).predicates):
        parts.extend(getattr(part, kind).predicates if part.WhichOneof("kind") == kind else [part])
    if len(parts) == 1:
        return parts[0]
    return (
        pb.Predicate(all_of=pb.AllOf(predicates=parts))
        if kind == "all_of"
        else pb.Predicate(any_of=pb.AnyOf(predicates=parts))
    )


@given(predicates)
@settings(max_examples=200, deadline=None)
def test_every_predicate_comes_back_equal_from_its_text(predicate: pb.Predicate) -> None:
    expected = flattened(predicate)
    if widest(expected) > 16 or deepest(expected) > 8:
        return  # beyond the contract; what is made of it is tested below
    assert predicate_of(text_of(predicate)) == expected


def widest(predicate: pb.Predicate) -> int:
    inner = [*predicate.all_of.predicates, *predicate.any_of.predicates]
    return max(
        [len(inner), *map(widest, inner), *([widest(predicate.negation)] if predicate.HasField("negation") else [])]
    )


def deepest(predicate: pb.Predicate) -> int:
    inner = [*predicate.all_of.predicates, *predicate.any_of.predicates]
    if predicate.HasField("negation"):
        inner = [predicate.negation]
    return 1 + max(map(deepest, inner), default=0)


def compared(key: str, operator: int, **value: object) -> pb.Predicate:
    return pb.Predicate(
        comparison=pb.Comparison(attribute_key=key, operator=operator, operand=AttributeValue(**value))  # type: ignore[arg-type]
    )


EQUAL, LESS, GREATER = pb.COMPARISON_OPERATOR_EQUAL, pb.COMPARISON_OPERATOR_LESS, pb.COMPARISON_OPERATOR_GREATER


def test_the_filter_of_a_failing_disk() -> None:
    text = 'attr["smart_5_raw"] > 0 && attr.smart_197_raw > 0u && asset_type == "disk" && !(silent_for("24h"))'
    assert predicate_of(text) == pb.Predicate(
        all_of=pb.AllOf(
            predicates=[
                compared("smart_5_raw", GREATER, int64_value=0),
                compared("smart_197_raw", GREATER, uint64_value=0),
                pb.Predicate(asset_type="disk"),
                pb.Predicate(negation=pb.Predicate(silent_for=Duration(seconds=86_400))),
            ]
        )
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5 < attr.x", compared("x", GREATER, int64_value=5)),
        ("-0.5 == attr.x", compared("x", EQUAL, double_value=-0.5)),
        ('asset_type != "a"', pb.Predicate(negation=pb.Predicate(asset_type="a"))),
        ('asset_type in ["a"]', pb.Predicate(asset_type="a")),
        ("has(attr.x)", pb.Predicate(has_attribute="x")),
        (".attr.x < 1", compared("x", LESS, int64_value=1)),
        ('silent_for(duration("1h30m"))', pb.Predicate(silent_for=Duration(seconds=5400))),
        ('silent_for("1.5s")', pb.Predicate(silent_for=Duration(seconds=1, nanos=500_000_000))),
        ('silent_for("0s")', pb.Predicate(silent_for=Duration())),
        ('attr["x"].within("0s") == b"\\x00\\377"', pb.Predicate(comparison=pb.Comparison(
            attribute_key="x", operator=EQUAL, operand=AttributeValue(bytes_value=b"\0\xff"), within=Duration()))),
    ],
)  # fmt: skip
def test_an_expression_means_one_predicate(text: str, expected: pb.Predicate) -> None:
    assert predicate_of(text) == expected


@pytest.mark.parametrize(
    ("text", "line", "column", "told"),
    [
        ("temp > 5", 1, 1, 'attr["temp"]'),
        ('asset_type = "disk"', 1, 12, "=="),
        ("attr.a > 1 and attr.b > 2", 1, 12, "&&"),
        ("attr.a > 1 or attr.b > 2", 1, 12, "||"),
        ("attr.flag", 1, 5, 'attr["flag"] == true'),
        ("attr.a > 1 && !attr.flag", 1, 20, 'attr["flag"] == true'),
        ("attr.a == null", 1, 11, "has(attr.key)"),
        ("attr.a > attr.b", 1, 14, "constant"),
        ("attr.a + 1 > 2", 1, 12, "as it is"),
        ("attr[5] > 1", 1, 5, 'attr["key"]'),
        ("attr[asset_type] > 1", 1, 6, 'attr["key"]'),
        ("1 < 2", 1, 3, 'attr["key"]'),
        ("true", 1, 1, "leave it out"),
        ("true || attr.a > 1", 1, 1, "leave it out"),
        ('attr.a.endsWith("x")', 1, 16, "startsWith"),
        ("attr.a.size() > 1", 1, 15, "as it is"),
        ('attr.a.matches("x.*")', 1, 15, "startsWith"),
        ("attr.a > 1 ? attr.b > 1 : attr.c > 1", 1, 12, "&&"),
        ("[1, 2].exists(x, x > 1)", 1, 14, "comparisons"),
        ("attr.a in []", 1, 8, "1 to 100"),
        ("attr.a in attr", 1, 8, "comparisons"),
        ("attr.a == 9223372036854775808", 1, 11, "ends with u"),
        ('silent_for("1d")', 1, 12, "h, m, s"),
        ('silent_for("-1h")', 1, 12, "h, m, s"),
        ('silent_for("1ns")', 1, 12, "us"),
        ('silent_for("1h 5m")', 1, 12, "such as"),
        ('silent_for("")', 1, 12, "such as"),
        ("silent_for(5)", 1, 11, 'silent_for("24h")'),
        ('attr.a.within("1h")', 1, 14, "exists"),
        ('attr.a.within("1h").within("2h") > 1', 1, 27, "once"),
        ('asset_type > "a"', 1, 12, "=="),
        ('asset_type.startsWith("a")', 1, 22, "asset_type"),
        ('asset_type == ""', 1, 15, "1 to 128"),
        ('attr[""] > 1', 1, 5, "1 to 512"),
        ('attr.a == "\\u0000"', 1, 11, "NUL"),
        ("attr.a > double('inf')", 1, 16, "constant"),
        ("attr.é > 1 &&\n   attr.b >", 1, 6, ""),
        ('attr["é"] > 1 &&\n  attr.flag', 2, 7, "== true"),
        ("", 1, 1, ""),
    ],
)
def test_what_is_no_filter_is_refused_with_its_place_and_what_to_write(
    text: str, line: int, column: int, told: str
) -> None:
    with pytest.raises(FilterError) as refused:
        predicate_of(text)
    assert told in refused.value.problem
    assert (refused.value.line, refused.value.column) == (line, column)


def test_more_conditions_than_a_group_may_hold_are_grouped_again() -> None:
    predicate = predicate_of(" || ".join(f"attr.a == {number}" for number in range(20)))
    assert [len(group.any_of.predicates) for group in predicate.any_of.predicates] == [16, 4]


def test_a_filter_beyond_the_limits_of_the_contract_is_refused() -> None:
    with pytest.raises(FilterError, match="at most 64"):
        predicate_of(" && ".join(f"attr.a == {number}" for number in range(64)))
    with pytest.raises(FilterError, match="at most 8"):
        predicate_of("!(" * 8 + "attr.a == 1" + ")" * 8)
    with pytest.raises(FilterError, match=r"nested|recursion|at most 8"):
        predicate_of("!(" * 60 + "attr.a == 1" + ")" * 60)
    with pytest.raises(FilterError, match="longer than"):
        predicate_of("attr.a == 1 || " * 5000 + "attr.a == 1")
    predicate_of("!(" * 7 + "attr.a == 1" + ")" * 7)


def test_what_has_no_form_as_a_filter_is_not_written_as_one() -> None:
    for predicate in (
        pb.Predicate(),
        compared("x", 99, int64_value=1),
        compared("x", EQUAL, double_value=float("nan")),
        compared("x", EQUAL, double_value=float("-inf")),
        pb.Predicate(silent_for=Duration(nanos=1)),
    ):
        with pytest.raises(ValueError, match=r"no |whole"):
            text_of(predicate)
