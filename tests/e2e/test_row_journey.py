"""One row, from the call to each copy and back, every hop against the real parts and in one trace."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from atlas_cli.traces import wait_for_span
from atlas_client import AtlasClient, EntityAnswer, Policy, Requirement, Source, Tenant, UseCase, Write, Written
from atlas_local.launch import Launched
from atlaskit.clickhouse.pool import open_clickhouse
from atlaskit.model import RowVersion, shard_of, shards_of
from atlaskit.position import Token
from atlaskit.postgres.pool import open_pool

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
PATIENCE = timedelta(seconds=30)


@pytest.fixture(scope="module")
async def journey(client: AtlasClient) -> tuple[Tenant, Written]:
    """One value of one new tenant, acknowledged."""
    tenant = await client.create_tenant("journey")
    row = Write("station-7", "temp_c", 21.125, AT, asset_type="station", source_type="celsius")
    written = await client.write_rows(tenant.tenant_id, [row])
    assert (written.stored, written.refused, written.acknowledged) == (1, 0, "committed")
    assert written.trace_id
    return tenant, written


async def read(client: AtlasClient, journey: tuple[Tenant, Written], source: Source) -> EntityAnswer:
    tenant, written = journey
    wanted = Requirement(
        use_case=UseCase.ANALYTICS, policy=Policy.WAIT, at_least_token=written.token, only_source=source
    )
    return await client.get_entity(tenant.tenant_id, "station-7", freshness=wanted, timeout=PATIENCE)


async def test_the_transaction_holds_row_entity_ledger_and_answer(
    atlas: Launched, journey: tuple[Tenant, Written]
) -> None:
    tenant, written = journey
    async with open_pool(atlas.stack.primary_dsn(), max_size=1) as pool, pool.lease() as session:
        row = await session.row("SELECT * FROM entity_attributes WHERE tenant_id = $1", tenant.tenant_id)
        assert row is not None
        assert (row["value_type"], row["value_double"], row["event_time"]) == (3, 21.125, AT)
        version = RowVersion.unpacked(row["row_version"])
        assert version.epoch == Token.parse(written.token, "token").epoch
        ledger = await session.row("SELECT * FROM ingest_batches WHERE transaction_number = $1", version.transaction)
        assert ledger is not None
        entries = {(table, shard): int(rows) for table, shard, rows, _ in orjson.loads(ledger["entries"])}
        assert entries == {("entity_attributes", row["shard"]): 1, ("entities", row["shard"]): 1}
        assert any(written.trace_id in carrier for carrier in orjson.loads(ledger["traceparents"]))
        kept = await session.value("SELECT count(*) FROM ingest_requests WHERE tenant_id = $1", tenant.tenant_id)
        assert kept == 1
        spread = await session.value("SELECT spread FROM tenants WHERE tenant_id = $1", tenant.tenant_id)
        assert row["shard"] == shard_of(tenant.tenant_id, spread, row["entity_id"])


async def test_the_event_lies_on_the_partition_of_its_shard(atlas: Launched, journey: tuple[Tenant, Written]) -> None:
    tenant, _ = journey
    consumer = AIOKafkaConsumer(
        bootstrap_servers=atlas.stack.kafka_bootstrap, isolation_level="read_committed", enable_auto_commit=False
    )
    await consumer.start()
    try:
        partitions = [TopicPartition("atlas.entity_attributes", shard) for shard in shards_of(tenant.tenant_id, 10)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        found: list[tuple[int, dict[str, object]]] = []
        deadline = datetime.now(UTC) + PATIENCE
        while not found and datetime.now(UTC) < deadline:
            for partition, records in (await consumer.getmany(timeout_ms=500)).items():
                events = (orjson.loads(record.value) for record in records)
                found += [
                    (partition.partition, event) for event in events if event.get("tenant_id") == tenant.tenant_id
                ]
    finally:
        await consumer.stop()
    [(partition_number, event)] = found
    assert event["shard"] == partition_number
    assert (event["__op"], event["__table"], event["value_double"]) == ("c", "entity_attributes", 21.125)


@pytest.mark.parametrize("source", [Source.PRIMARY, Source.REPLICA, Source.OLAP])
async def test_each_copy_gives_the_value_back_with_a_proof(
    client: AtlasClient, journey: tuple[Tenant, Written], source: Source
) -> None:
    answer = await read(client, journey, source)
    assert answer.freshness.source == source
    assert answer.freshness.staleness is not None
    assert answer.freshness.staleness < timedelta(minutes=5)
    assert not answer.freshness.degraded
    value = answer.entity.values["temp_c"]
    assert (value.value, value.event_time, value.source_type) == (21.125, AT, "celsius")
    assert (answer.entity.entity_key, answer.entity.asset_type) == ("station-7", "station")
    token = Token.parse(journey[1].token, "token")
    assert answer.freshness.epoch == token.epoch
    if source is Source.OLAP:
        assert answer.freshness.beat is not None
        assert (answer.freshness.wal_position_bytes or 0) > token.lsn.bytes


async def test_clickhouse_holds_the_row_once_and_the_watermark_is_of_its_incarnation(
    atlas: Launched, client: AtlasClient, journey: tuple[Tenant, Written]
) -> None:
    await read(client, journey, Source.OLAP)
    tenant = journey[0].tenant_id
    async with open_clickhouse(f"{atlas.stack.clickhouse_url}/atlas") as clickhouse:
        query = (
            "SELECT attribute_key, value_double, shard FROM entity_analytics_events FINAL WHERE tenant_id = {t:UInt32}"
        )
        [(key, value, shard)] = await clickhouse.rows(query, {"t": tenant})
        assert (key, value) == ("temp_c", 21.125)
        [(incarnation,)] = await clickhouse.rows("SELECT incarnation FROM olap_incarnation")
        marks = await clickhouse.rows(
            "SELECT incarnation FROM olap_watermarks FINAL WHERE table_name = 'entity_attributes' AND shard = {s:UInt8}"
            " AND incarnation = {i:UUID}",
            {"s": shard, "i": incarnation},
        )
        assert marks


async def test_one_trace_holds_every_hop_from_the_call_to_visible(
    atlas: Launched, journey: tuple[Tenant, Written]
) -> None:
    trace_id = journey[1].trace_id
    spans = await wait_for_span(trace_id, "olap.visible", atlas.platform.trace_files, PATIENCE)
    hops = [(span.service, span.name) for span in spans]
    assert ("ingest", "atlas.ingest.v1.IngestService/WriteAttributes") in hops
    for name in ("cdc.deliver", "olap.insert", "olap.visible"):
        assert ("olap-sink", name) in hops, hops
    visible = next(span for span in spans if span.name == "olap.visible")
    assert visible.end_ns >= max(span.end_ns for span in spans if span.service == "ingest")


async def test_a_second_delivery_of_the_request_is_answered_and_not_stored_again(
    client: AtlasClient, new_tenant: Callable[..., Awaitable[Tenant]], atlas: Launched
) -> None:
    tenant = await new_tenant()
    rows = [Write("a", "k", number, AT + timedelta(seconds=number)) for number in range(5)]
    request_id = "5a1f1a34-7b1c-4a52-9d43-5f1c7f5a0e01"
    first = await client.write_rows(tenant.tenant_id, rows, request_id=request_id)
    again = await client.write_rows(tenant.tenant_id, rows, request_id=request_id)
    assert (first.repeated, again.repeated) == (False, True)
    assert (again.stored, again.committed_at) == (first.stored, first.committed_at)
    async with open_pool(atlas.stack.primary_dsn(), max_size=1) as pool, pool.lease() as session:
        stored = await session.value("SELECT count(*) FROM entity_attributes WHERE tenant_id = $1", tenant.tenant_id)
    assert stored == 5


async def test_a_correction_replaces_the_value_in_every_copy(
    client: AtlasClient, new_tenant: Callable[..., Awaitable[Tenant]]
) -> None:
    tenant = await new_tenant()
    await client.write_rows(tenant.tenant_id, [Write("a", "k", "first", AT)])
    written = await client.write_rows(tenant.tenant_id, [Write("a", "k", 2**63, AT)])
    for source in (Source.PRIMARY, Source.REPLICA, Source.OLAP):
        wanted = Requirement(
            use_case=UseCase.ANALYTICS, policy=Policy.WAIT, at_least_token=written.token, only_source=source
        )
        answer = await client.get_entity(tenant.tenant_id, "a", freshness=wanted, timeout=PATIENCE)
        assert answer.entity.values["k"].value == 2**63, source
