"""What a caller can rely on: batches stored once, tokens carried, refusals explained."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from atlas.freshness.v1 import freshness_pb2 as pb
from atlas.ingest.v1.ingest_service_pb2 import ColumnBatch
from atlas_client import (
    AtlasClient,
    CallFailed,
    ColumnBuilder,
    Delete,
    FilterError,
    Identity,
    Policy,
    Requirement,
    Session,
    Source,
    Uint64,
    UseCase,
    Write,
    batches_of,
)
from atlas_client.calls import MAX_ATTEMPTS, pause_before_retry
from atlas_client.filters import predicate_of
from atlas_client.freshness import freshness_of
from atlas_client.session import later
from atlaskit.errors import InvalidRequest, NotFound, OutcomeUnknown, Overloaded, TokenLost
from atlaskit.rpc.certificate import certified
from doubles.small_services import SmallServices
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st

ROW = Write("disk", "hot", Uint64(7), datetime(2026, 1, 2, tzinfo=UTC), source_type="Counter64", asset_type="disk")
SOON = timedelta(milliseconds=10)


@pytest.fixture
def services() -> SmallServices:
    return SmallServices()


@pytest.fixture
async def client(services: SmallServices) -> AsyncIterator[AtlasClient]:
    async with services.served() as address, AtlasClient.connect(ingest=address, query=address) as connected:
        yield connected


def batches(count: int) -> list[tuple[str, ColumnBatch]]:
    return [(str(uuid.UUID(int=number)), next(batches_of([ROW]))) for number in range(count)]


async def test_rows_and_columns_arrive_as_they_were_given(client: AtlasClient, services: SmallServices) -> None:
    builder = ColumnBuilder()
    builder.add_rows([ROW])
    by_row, by_column = await client.write_rows(3, [ROW]), await client.write_columns(3, builder.build())
    write = services.ingest.stored[by_row.request_id].rows.writes[0]
    assert (write.entity_key, write.value.uint64_value, write.asset_type) == ("disk", 7, "disk")
    assert write.event_time.ToDatetime(tzinfo=UTC) == ROW.event_time
    assert services.ingest.stored[by_column.request_id].columns.uint64_values == [7]
    assert (by_row.stored, by_row.acknowledged) == (1, "committed")


async def test_a_retry_keeps_the_request_id(client: AtlasClient, services: SmallServices) -> None:
    services.ingest.failures.extend([Overloaded("the queue", SOON), OutcomeUnknown("lost")])
    written = await client.write_rows(1, [ROW])
    assert services.ingest.asked == [written.request_id] * 3


async def test_what_a_retry_does_not_help_is_not_retried(client: AtlasClient, services: SmallServices) -> None:
    services.ingest.failures.append(InvalidRequest("rows.writes", "is empty", "BATCH_EMPTY"))
    with pytest.raises(CallFailed) as caught:
        await client.write_rows(1, [])
    assert (caught.value.reason, caught.value.field) == ("BATCH_EMPTY", "rows.writes")
    assert len(services.ingest.asked) == 1


async def test_retries_end_with_the_time_of_the_caller(client: AtlasClient, services: SmallServices) -> None:
    services.ingest.failures.extend([Overloaded("the queue", timedelta(seconds=30))])
    with pytest.raises(CallFailed) as caught:
        await client.write_rows(1, [ROW], timeout=timedelta(seconds=5))
    assert caught.value.retry_after == timedelta(seconds=30)


@given(st.integers(1, 20), st.floats(0, 10), st.floats(0, 1), st.floats(0, 5))
def test_a_pause_is_never_shorter_than_asked_nor_longer_than_there_is_time(
    attempt: int, remaining: float, jitter: float, asked: float
) -> None:
    full = CallFailed(StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", "", retry_after=timedelta(seconds=asked))
    pause = pause_before_retry(full, attempt, remaining, jitter)
    if pause is not None:
        assert timedelta(seconds=asked).total_seconds() <= pause < remaining
        assert attempt < MAX_ATTEMPTS
    assert pause_before_retry(CallFailed(StatusCode.RESOURCE_EXHAUSTED, "", ""), attempt, remaining, jitter) is None


async def test_a_stream_answers_in_order_and_goes_on_after_a_refusal(
    client: AtlasClient, services: SmallServices
) -> None:
    services.ingest.failures.append(InvalidRequest("columns", "is wrong", "COLUMNS_WRONG"))
    sent = batches(20)
    outcomes = [outcome async for outcome in client.stream_writes(1, sent)]
    assert [outcome.request_id for outcome in outcomes] == [request_id for request_id, _ in sent]
    assert outcomes[0].error is not None
    assert outcomes[0].error.reason == "COLUMNS_WRONG"
    assert all(outcome.written is not None for outcome in outcomes[1:])


async def test_a_broken_stream_is_taken_up_again_and_each_batch_stored_once(
    client: AtlasClient, services: SmallServices
) -> None:
    services.ingest.breaks_after = 3
    sent = batches(20)
    outcomes = [outcome async for outcome in client.stream_writes(1, sent)]
    assert [outcome.request_id for outcome in outcomes] == [request_id for request_id, _ in sent]
    assert list(services.ingest.stored) == [request_id for request_id, _ in sent]


async def test_a_batch_that_was_too_much_is_sent_again(client: AtlasClient, services: SmallServices) -> None:
    services.ingest.failures.append(Overloaded("the queue", SOON))
    outcomes = [outcome async for outcome in client.stream_writes(1, batches(2))]
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert len(services.ingest.stored) == 2


async def test_a_session_asks_each_read_for_what_it_wrote_and_read(
    client: AtlasClient, services: SmallServices
) -> None:
    session = Session()
    await client.write_rows(1, [ROW], session=session)
    await client.get_entity(1, "disk", session=session)
    assert services.query.requests[-1].freshness.at_least_token == "a1.1.1000"
    assert services.query.requests[-1].freshness.want_session_token
    await client.get_entity(1, 5, session=session)
    assert services.query.requests[-1].freshness.at_least_token == "a1.1.3000"
    await client.delete(1, [Delete("disk", "hot")], session=session)  # answers with an older token
    assert session.token == "a1.1.3000"


@given(st.lists(st.tuples(st.integers(1, 255), st.integers(1, 2**64 - 1)), min_size=1))
def test_a_session_keeps_the_newest_epoch_and_in_it_the_greatest_position(seen: list[tuple[int, int]]) -> None:
    session = Session()
    for epoch, position in seen:
        session.saw(f"a1.{epoch}.{position:x}")
    epoch, position = max(seen)
    assert session.token == f"a1.{epoch}.{position:x}"


TOKENS = st.builds("a1.{}.{:x}".format, st.integers(1, 4), st.integers(1, 50))


@given(st.lists(TOKENS), st.lists(TOKENS))
def test_merged_sessions_stand_for_all_that_either_wrote_or_saw(first: list[str], second: list[str]) -> None:
    merged, other = Session(*first), Session(*second)
    merged.merge(other)
    assert merged.tokens == Session(*first, *second).tokens == Session(*second, *first).tokens
    assert other.tokens == Session(*second).tokens
    for token in first + second:
        assert any(later(token, kept) == kept for kept in merged.tokens if kept.split(".")[1] == token.split(".")[1])
    again = Session(*merged.tokens)
    again.merge(merged)
    assert again.tokens == merged.tokens


async def test_what_was_written_before_a_failover_is_asked_for_once_before_the_next_read(
    client: AtlasClient, services: SmallServices
) -> None:
    services.query.certificate.session_token = "a1.2.9"
    session = Session("a1.1.7", "a1.2.5")
    await client.get_entity(1, "disk", session=session)
    await client.get_entity(1, "disk", session=session)
    assert [(asked.token, asked.source) for asked in services.query.waited] == [("a1.1.7", pb.DATA_SOURCE_PRIMARY)]
    assert session.tokens == ("a1.2.9",)


async def test_a_write_that_a_failover_lost_is_told_and_never_passed_over_in_silence(
    client: AtlasClient, services: SmallServices
) -> None:
    session = Session("a1.1.7", "a1.2.5")
    services.query.wait_failures.append(TokenLost("lost"))
    with pytest.raises(CallFailed, match="TOKEN_LOST"):
        await client.get_entity(1, "disk", session=session)
    assert services.query.requests == []
    assert session.tokens == ("a1.1.7", "a1.2.5")
    session.forget()
    await client.get_entity(1, "disk", session=session)


async def test_a_read_of_the_new_epoch_that_covered_the_old_token_settles_it(
    client: AtlasClient, services: SmallServices
) -> None:
    services.query.certificate.session_token = "a1.2.9"
    session = Session("a1.1.7")
    await client.get_entity(1, "disk", session=session)
    assert services.query.requests[-1].freshness.at_least_token == "a1.1.7"
    assert session.tokens == ("a1.2.9",)
    assert services.query.waited == []


def test_no_token_never_replaces_one() -> None:
    assert later("a1.1.10", "") == later("", "a1.1.10") == "a1.1.10"


async def test_an_answer_is_plain_values_with_its_certificate(client: AtlasClient) -> None:
    answer = await client.get_entity(1, "disk")
    assert answer.entity.values["hot"].value == 7
    assert answer.freshness.staleness == timedelta(microseconds=12_345)
    assert str(answer.freshness) == "replica, at most 12.4 ms stale"
    page = await client.history(1, "disk", "state")
    assert [observed.value for observed in page.observations] == ["on"]


async def test_a_refusal_has_its_certificate(client: AtlasClient, services: SmallServices) -> None:
    certificate = pb.Freshness(source=pb.DATA_SOURCE_OLAP)
    services.query.failures.append(certified(NotFound("no such entity"), certificate))
    with pytest.raises(CallFailed) as caught:
        await client.get_entity(1, "disk")
    assert caught.value.freshness is not None
    assert caught.value.freshness.source == Source.OLAP


async def test_tenants_are_listed_to_the_last_page(client: AtlasClient) -> None:
    names = [(await client.create_tenant(f"t{number}", Identity.NUMBERED)).name for number in range(5)]
    listed = await client.list_tenants()
    assert [tenant.name for tenant in listed] == names
    assert {tenant.identity for tenant in listed} == {Identity.NUMBERED}


def test_a_requirement_says_all_it_was_given() -> None:
    message = Requirement(UseCase.DASHBOARD, policy=Policy.DEGRADE, only_source=Source.OLAP).message()
    assert (message.use_case, message.policy, message.only_source) == (
        pb.USE_CASE_DASHBOARD,
        pb.FRESHNESS_POLICY_DEGRADE,
        pb.DATA_SOURCE_OLAP,
    )
    with pytest.raises(ValueError, match="exclude"):
        Requirement(UseCase.DASHBOARD, timedelta(seconds=1))


def test_a_certificate_reads_as_one_line() -> None:
    message = pb.Freshness(source=pb.DATA_SOURCE_REPLICA, degraded=True)
    message.position.epoch, message.position.wal_position_bytes = 1, 0x13A4F00B0
    message.staleness.FromTimedelta(timedelta(seconds=42, microseconds=1))
    passed = message.fallbacks.add(source=pb.DATA_SOURCE_PRIMARY, reason=pb.FALLBACK_REASON_UNKNOWN)
    assert not passed.HasField("staleness")
    assert str(freshness_of(message)) == (
        "replica, at most 42.1 s stale, epoch 1 at 1/3A4F00B0, degraded: older than asked for, "
        "passed over primary (unknown)"
    )
    assert str(freshness_of(pb.Freshness())) == "unspecified, staleness unknown"


async def test_a_filter_is_sent_as_the_predicate_it_states(client: AtlasClient, services: SmallServices) -> None:
    where = 'attr.temp_c > 40 && asset_type == "disk"'
    await client.list_entities(3, where=where)
    await client.aggregate([3], "temp_c", [], where=where)
    assert [search.predicate for search in services.query.searches] == [predicate_of(where)] * 2
    await client.list_entities(3)
    assert not services.query.searches[-1].HasField("predicate")


async def test_what_is_no_filter_is_never_sent(client: AtlasClient, services: SmallServices) -> None:
    with pytest.raises(FilterError, match="column 1"):
        await client.list_entities(3, where="temp_c > 40")
    with pytest.raises(ValueError, match="exclude each other"):
        await client.list_entities(3, where="attr.a > 1", predicate=predicate_of("attr.a > 1"))
    assert not services.query.searches
