"""Rules of the stores that the proof of freshness rests on, written once for the real parts and for the fakes.

A rule is a coroutine that takes `Stores` and speaks to them only through the product's own code. It asserts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from atlaskit.clickhouse import purging, reader, table, watermark
from atlaskit.clickhouse.pool import ClickHouse, open_clickhouse
from atlaskit.clickhouse.watermark import Watermark
from atlaskit.errors import AtlasError
from atlaskit.kafka.consumer import Partition, open_consumer
from atlaskit.kafka.epochs import EpochRecord, append_epoch, read_epochs
from atlaskit.kafka.errors import OffsetLost
from atlaskit.kafka.states import open_states
from atlaskit.position import Lsn, SourceIdentity
from atlaskit.postgres.dedicated import DedicatedSession, open_session
from atlaskit.postgres.probes import SQL, look_at_primary, look_at_replica

LIMIT = timedelta(seconds=10)
EPOCH = 7
TENANT, ENTITY, SHARD = 901, 5, 3
HISTORY = "entity_analytics_events"
STATES = "atlas.olap_audit"


@dataclass(frozen=True)
class Stores:
    """Where the stores are, and what an operator can do with the standby."""

    primary: str
    replica: str
    kafka: str
    clickhouse: str
    set_replay: Callable[[bool], Awaitable[None]]


Rule = Callable[[Stores], Awaitable[None]]


# -- PostgreSQL


async def wrote(session: DedicatedSession) -> tuple[int, int]:
    """Commit one row; return what names it, and a flush position read after the acknowledgement."""
    writer: int = await session.value(SQL["register_writer"], EPOCH, limit=LIMIT)
    look = await look_at_primary(session, LIMIT)
    assert look.flushed is not None
    return writer, look.flushed.bytes


async def shown(session: DedicatedSession) -> set[int]:
    """What a new statement shows of these rows."""
    return {row["writer"] for row in await session.fetch(SQL["last_sequences"], limit=LIMIT)}


async def replayed(session: DedicatedSession) -> int:
    position = (await look_at_replica(session, LIMIT)).replayed
    return 0 if position is None else position.bytes


@asynccontextmanager
async def sessions(stores: Stores) -> AsyncIterator[tuple[DedicatedSession, DedicatedSession]]:
    async with open_session(stores.primary, "rules") as primary, open_session(stores.replica, "rules") as replica:
        yield primary, replica


async def a_replica_at_the_flush_position_read_after_a_commit_shows_it(stores: Stores) -> None:
    async with sessions(stores) as (primary, replica):
        for _ in range(10):
            writer, flushed = await wrote(primary)
            while await replayed(replica) < flushed:  # noqa: ASYNC110 - the position is what is waited for
                await asyncio.sleep(0.002)
            assert writer in await shown(replica)


async def a_statement_after_the_position_was_read_shows_every_commit_below_it(stores: Stores) -> None:
    written: dict[int, int] = {}
    done = asyncio.Event()

    async def write(primary: DedicatedSession) -> None:
        for _ in range(60):
            writer, flushed = await wrote(primary)
            written[writer] = flushed
        done.set()

    async with sessions(stores) as (primary, replica), asyncio.TaskGroup() as group:
        group.create_task(write(primary))
        while not done.is_set():
            position, rows = await replayed(replica), await shown(replica)
            assert {writer for writer, flushed in written.items() if flushed <= position} <= rows


async def the_flush_position_never_falls(stores: Stores) -> None:
    async with open_session(stores.primary, "rules") as primary:
        positions = [(await wrote(primary))[1] for _ in range(10)]
    assert positions == sorted(positions)


async def a_paused_replay_stands_still_while_its_receiver_streams(stores: Stores) -> None:
    async with sessions(stores) as (primary, replica):
        writer, _ = await wrote(primary)
        await stores.set_replay(False)
        try:
            before = await replayed(replica)
            later, flushed = await wrote(primary)
            look = await look_at_replica(replica, LIMIT)
            assert look.replayed is not None
            assert (look.replayed.bytes, look.receiver_status) == (before, "streaming")
            assert later not in await shown(replica)
        finally:
            await stores.set_replay(True)
        while await replayed(replica) < flushed:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        assert {writer, later} <= await shown(replica)


async def numbers_of_a_sequence_are_never_given_twice(stores: Stores) -> None:
    async with (
        open_session(stores.primary, "rules") as one,
        open_session(stores.primary, "rules") as other,
    ):
        given = [await session.value(SQL["reserve_transaction"], limit=LIMIT) for session in (one, other) * 20]
    assert given == sorted(set(given))


POSTGRES: tuple[Rule, ...] = (
    a_replica_at_the_flush_position_read_after_a_commit_shows_it,
    a_statement_after_the_position_was_read_shows_every_commit_below_it,
    the_flush_position_never_falls,
    a_paused_replay_stands_still_while_its_receiver_streams,
    numbers_of_a_sequence_are_never_given_twice,
)


# -- Kafka


async def the_last_value_of_each_key_of_a_compacted_topic_survives(stores: Stores) -> None:
    prefix = f"rules/{uuid4()}/"
    async with open_states(stores.kafka, STATES) as states:
        for number in range(5):
            await states.save({f"{prefix}{key}": f"{key}{number}".encode() for key in "abc"})
        await states.save({f"{prefix}b": b"last"})
    async with open_states(stores.kafka, STATES) as again:
        assert await again.load(prefix) == {f"{prefix}a": b"a4", f"{prefix}b": b"last", f"{prefix}c": b"c4"}


async def records_come_in_the_order_in_which_they_were_appended(stores: Stores) -> None:
    before = list(await read_epochs(stores.kafka, LIMIT))
    appended = [EpochRecord(200 + number, SourceIdentity(1, 1)) for number in range(3)]
    for record in appended:
        await append_epoch(stores.kafka, record, LIMIT)
    assert list(await read_epochs(stores.kafka, LIMIT)) == before + appended


async def a_place_is_read_again_alike_and_one_that_is_gone_is_an_error(stores: Stores) -> None:
    at = Partition(STATES, 0)
    async with open_states(stores.kafka, STATES) as states:
        await states.save({f"rules/{uuid4()}": b"x"})
    span = timedelta(seconds=2)
    async with open_consumer(stores.kafka, [at], group="rules", client_id="rules") as consumer:
        extent = (await consumer.extents())[at]
        last = []
        for _ in range(2):
            consumer.seek(at, extent.end - 1)
            taken = await consumer.batch(wait=span, gather=timedelta(0), limit=100)
            last.append([(record.offset, record.value) for record in taken[at]])
        assert last[0] == last[1] != []
        consumer.seek(at, extent.end + 1_000)
        try:
            for _ in range(5):
                assert not await consumer.batch(wait=span, gather=timedelta(0), limit=100)
        except OffsetLost:
            return
    raise AssertionError("a place that Kafka does not have was waited for")


async def a_batch_ends_before_its_time_once_every_partition_has_what_makes_it_whole(stores: Stores) -> None:
    at, patience, gather = Partition(STATES, 0), timedelta(seconds=5), timedelta(seconds=20)
    clock = asyncio.get_running_loop().time
    async with open_states(stores.kafka, STATES) as states:
        await states.save({f"rules/{uuid4()}": b"x"})
    async with open_consumer(stores.kafka, [at], group="rules", client_id="rules") as consumer:
        extent = (await consumer.extents())[at]
        begun = clock()
        consumer.seek(at, extent.end - 1)
        taken = await consumer.batch(wait=patience, gather=gather, limit=100, whole=lambda record: record.value != b"")
        assert len(taken[at]) == 1
        assert clock() - begun < gather.total_seconds()
        begun, gather = clock(), timedelta(milliseconds=300)
        consumer.seek(at, extent.end - 1)
        taken = await consumer.batch(wait=patience, gather=gather, limit=100, whole=lambda record: record.value == b"")
        assert len(taken[at]) == 1
        assert clock() - begun >= gather.total_seconds() * 0.9


KAFKA: tuple[Rule, ...] = (
    the_last_value_of_each_key_of_a_compacted_topic_survives,
    records_come_in_the_order_in_which_they_were_appended,
    a_place_is_read_again_alike_and_one_that_is_gone_is_an_error,
    a_batch_ends_before_its_time_once_every_partition_has_what_makes_it_whole,
)


# -- ClickHouse


def history_row(version: int, event_us: int, *, value: int = 0, deletion: int = 0) -> dict[str, list[Any]]:
    """One row of the history as the sink inserts it."""
    return {
        "tenant_id": [TENANT],
        "entity_id": [ENTITY],
        "shard": [SHARD],
        "asset_type": [""],
        "attribute_key": ["t"],
        "attribute_type": [0 if deletion else 1],
        "value_int64": [value],
        "value_uint64": [0],
        "value_double": [0.0],
        "value_bool": [False],
        "value_string": [""],
        "value_bytes": [b""],
        "source_type": [""],
        "event_timestamp": [event_us],
        "ingestion_timestamp": [event_us],
        "row_version": [version],
        "deletion": [deletion],
    }


async def observed(clickhouse: ClickHouse) -> list[object]:
    found = await reader.history(clickhouse, TENANT, ENTITY, "t", limit=LIMIT)
    return [one.value.value for one in found]


async def the_greatest_version_counts_whichever_came_last(stores: Stores) -> None:
    async with open_clickhouse(stores.clickhouse) as clickhouse:
        for version, value in ((20 << 17, 2), (10 << 17, 1), (20 << 17, 2)):
            await table.insert(clickhouse, HISTORY, history_row(version, 1_000_000, value=value), LIMIT)
        assert await observed(clickhouse) == [2]


async def a_later_delete_hides_an_observation_and_an_earlier_one_does_not(stores: Stores) -> None:
    async with open_clickhouse(stores.clickhouse) as clickhouse:
        await table.insert(clickhouse, HISTORY, history_row(30 << 17, 2_000_000, value=3), LIMIT)
        await table.insert(clickhouse, HISTORY, history_row(25 << 17, 2_000_000, deletion=1), LIMIT)
        assert 3 in await observed(clickhouse)
        await table.insert(clickhouse, HISTORY, history_row(35 << 17, 2_000_000, deletion=1), LIMIT)
        assert 3 not in await observed(clickhouse)


async def purged_transactions_are_gone_at_once(stores: Stores) -> None:
    async with open_clickhouse(stores.clickhouse) as clickhouse:
        await table.insert(clickhouse, HISTORY, history_row(40 << 17, 3_000_000, value=4), LIMIT)
        assert ("entity_attributes", SHARD) in await purging.places_holding(clickhouse, [40], LIMIT)
        found = await purging.identities_of(clickhouse, SHARD, [40], LIMIT)
        assert found == [(TENANT, ENTITY, "t", 3_000_000)]
        await purging.purge(clickhouse, ("entity_attributes", SHARD), [40], LIMIT)
        assert 4 not in await observed(clickhouse)
        assert not await purging.places_holding(clickhouse, [40], LIMIT)


async def a_watermark_counts_only_under_the_incarnation_that_it_names(stores: Stores) -> None:
    place, monitor = ("entity_attributes", SHARD), uuid4()

    def mark(beat: int, incarnation: UUID) -> Watermark:
        return Watermark(*place, monitor, beat, 1, 1, 1, Lsn(beat), incarnation)

    async def proven(clickhouse: ClickHouse) -> list[int]:
        marks = await watermark.read_watermarks(clickhouse, [place], LIMIT)
        return [one.beat for one in marks if one.monitor == monitor]

    async with open_clickhouse(stores.clickhouse) as clickhouse:
        first = await watermark.begin_incarnation(clickhouse, LIMIT)
        await watermark.publish(clickhouse, [mark(5, first)], LIMIT)
        await watermark.publish(clickhouse, [mark(4, first)], LIMIT)
        assert await proven(clickhouse) == [5]
        second = await watermark.begin_incarnation(clickhouse, LIMIT)
        assert await watermark.read_incarnation(clickhouse, LIMIT) == second != first
        assert await proven(clickhouse) == []


async def the_settings_that_make_an_insert_last_are_stated(stores: Stores) -> None:
    async with open_clickhouse(stores.clickhouse) as clickhouse:
        assert await watermark.settings_hold(clickhouse, LIMIT)


async def what_is_no_table_is_an_error_with_a_name(stores: Stores) -> None:
    async with open_clickhouse(stores.clickhouse) as clickhouse:
        try:
            await table.insert(clickhouse, "no_such_table", {"x": [1]}, LIMIT)
        except AtlasError:
            return
    raise AssertionError("an insert into no table was acknowledged")


CLICKHOUSE: tuple[Rule, ...] = (
    the_greatest_version_counts_whichever_came_last,
    a_later_delete_hides_an_observation_and_an_earlier_one_does_not,
    purged_transactions_are_gone_at_once,
    a_watermark_counts_only_under_the_incarnation_that_it_names,
    the_settings_that_make_an_insert_last_are_stated,
    what_is_no_table_is_an_error_with_a_name,
)

RULES = (*POSTGRES, *KAFKA, *CLICKHOUSE)
