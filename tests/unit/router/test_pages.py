from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from atlas.query.v1 import query_service_pb2 as pb
from atlas_query_router.page_token import Page, PageTokens, after
from atlas_query_router.paging import Paging, resumed_at
from atlas_query_router.questions import HistoryQuestion
from atlas_query_router.requests import fixed_part
from atlaskit.clock import BootInstant
from atlaskit.errors import InvalidRequest
from atlaskit.figures import Figures
from atlaskit.freshness.proofs import Proof, covers
from atlaskit.freshness.requirement import UseCase, for_use_case
from atlaskit.model import Observation, Source, TypedValue, ValueType
from atlaskit.position import Lsn, Token
from hypothesis import given
from hypothesis import strategies as st

TOKENS = PageTokens(b"k" * 32)
PLACE = Page(Source.REPLICA, Token(3, Lsn(4096)), (7, -1))
NOON = datetime(2022, 10, 23, 12, tzinfo=UTC)


def test_a_page_token_leads_back_to_its_place() -> None:
    assert TOKENS.read(TOKENS.write(PLACE, b"request"), b"request") == PLACE


@given(st.data())
def test_a_page_token_that_was_changed_is_refused(data: st.DataObject) -> None:
    text = TOKENS.write(PLACE, b"request")
    at = data.draw(st.integers(0, len(text) - 2))  # the last character holds bits that mean nothing
    other = data.draw(st.sampled_from("ABCxyz019-_").filter(lambda character: character != text[at]))
    with pytest.raises(InvalidRequest):
        TOKENS.read(text[:at] + other + text[at + 1 :], b"request")


@pytest.mark.parametrize("text", ["x", "!!!", "é", "A" * 5000])
def test_what_is_no_page_token_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        TOKENS.read(text, b"request")


def test_a_page_token_of_another_request_or_key_is_refused() -> None:
    text = TOKENS.write(PLACE, b"request")
    for tokens, request in ((TOKENS, b"another"), (PageTokens(b"other"), b"request")):
        with pytest.raises(InvalidRequest):
            tokens.read(text, request)


def test_size_and_freshness_may_change_between_pages_and_nothing_else() -> None:
    request = pb.ListEntitiesRequest(tenant_id=1, attribute_keys=["a"])
    assert fixed_part(request) == fixed_part(pb.ListEntitiesRequest(tenant_id=1, attribute_keys=["a"], page_size=5))
    assert fixed_part(request) != fixed_part(pb.ListEntitiesRequest(tenant_id=2, attribute_keys=["a"]))
    assert fixed_part(pb.ListEntitiesRequest()) != fixed_part(pb.GetAttributeHistoryRequest())


def test_the_next_page_comes_from_the_same_copy_and_not_from_before() -> None:
    requirement = replace(for_use_case(UseCase.DASHBOARD), at_least=Token(3, Lsn(1)))
    pinned = PLACE.pinned(requirement)
    assert (pinned.sources, pinned.at_least) == ((Source.REPLICA,), Token(3, Lsn(4096)))


def test_the_beat_of_a_page_admits_the_next_one() -> None:
    page = after(Source.OLAP, 3, Lsn(4096), (1,))
    same, older = Proof(BootInstant(0), 3, Lsn(4096), 9), Proof(BootInstant(0), 3, Lsn(4095), 8)
    assert page.at_least is not None
    assert covers(same, page.at_least)
    assert not covers(older, page.at_least)


@pytest.mark.parametrize("newest_first", [True, False])
def test_a_history_goes_on_after_the_last_observation(newest_first: bool) -> None:
    question = HistoryQuestion(1, 1, "k", None, None, newest_first, 10)
    seen = Observation("k", NOON + timedelta(microseconds=3), TypedValue(ValueType.INT64, 1))
    resumed = resumed_at(question, Paging.event_time(seen))
    expected = (None, seen.event_time) if newest_first else (seen.event_time + timedelta(microseconds=1), None)
    assert isinstance(resumed, HistoryQuestion)
    assert (resumed.start, resumed.end) == expected


def test_a_group_has_its_place() -> None:
    assert Paging.group(Figures()) == (-1, -1)
    assert Paging.group(Figures(5, datetime(1970, 1, 1, 0, 1, tzinfo=UTC))) == (5, 60_000_000)
