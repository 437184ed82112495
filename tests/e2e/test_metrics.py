"""The figures of running services: they move with the calls, have the names of the list; unknown ones are absent."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import httpx
import pytest
from atlas.ingest.v1 import ingest_service_pb2 as ingest_pb
from atlas.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub
from atlas_client import AtlasClient, CallFailed, Policy, Requirement, Source, Tenant, UseCase, Write
from atlas_local.launch import Launched
from atlaskit.telemetry.measures import METRICS, Kind
from doubles.scrapes import Scrape, scrape
from grpc import aio

AT = datetime(2026, 1, 2, tzinfo=UTC)
ROWS = [Write(f"disk-{number}", "temp_c", 38.5, AT) for number in range(7)]
Eventually = Callable[..., Awaitable[None]]


async def scraped(atlas: Launched, service: str) -> Scrape:
    return await scrape(atlas.platform.metrics[service])


@pytest.fixture
async def tenant(new_tenant: Callable[..., Awaitable[Tenant]]) -> Tenant:
    return await new_tenant()


async def test_ingest_counts_batches_values_and_refusals_unary_and_in_streams(
    atlas: Launched, client: AtlasClient, tenant: Tenant
) -> None:
    before = await scraped(atlas, "ingest")
    await client.write_rows(tenant.tenant_id, ROWS)
    with pytest.raises(CallFailed):
        await client.write_rows(2**31 - 1, ROWS)  # nobody is registered by this number
    async with aio.insecure_channel(atlas.ingest) as channel:
        stream = IngestServiceStub(channel).StreamWriteAttributes(timeout=30)
        wrong = ingest_pb.WriteAttributesRequest(tenant_id=tenant.tenant_id, request_id=str(uuid.uuid4()))
        await stream.write(ingest_pb.StreamWriteAttributesRequest(write=wrong))
        answer = await stream.read()
        assert isinstance(answer, ingest_pb.StreamWriteAttributesResponse)
        await stream.done_writing()
        assert await stream.read() is aio.EOF
    after = await scraped(atlas, "ingest")

    def more(name: str, **labels: str) -> float:
        return after.sum(name, **labels) - before.sum(name, **labels)

    assert more("atlas_ingest_values_total", outcome="stored") == len(ROWS)
    assert more("atlas_ingest_batches_total", outcome="committed") == 1
    assert more("atlas_ingest_batches_total", outcome="refused") == 2
    assert more("atlas_ingest_refusals_total", reason="TENANT_UNKNOWN") == 1
    assert more("atlas_ingest_refusals_total", reason=answer.error.reason) == 1
    assert more("atlas_ingest_group_rows_sum") == len(ROWS)
    assert more("atlas_ingest_commit_duration_seconds_count", outcome="committed") == 1
    write = "atlas.ingest.v1.IngestService/WriteAttributes"
    calls = "rpc_server_call_duration_seconds_count"
    assert more(calls, rpc_method=write, rpc_response_status_code="OK") == 1
    assert more(calls, rpc_method=write, rpc_response_status_code="NOT_FOUND") == 1
    assert more("atlas_rpc_refusals_total", rpc_method=write, error_type="TENANT_UNKNOWN") == 1
    assert after.of("atlas_ingest_queue_rows") == after.of("atlas_ingest_queue_size_bytes") == [0]


async def test_the_router_counts_answers_by_copy_and_certificate_and_the_gateway_requests(
    atlas: Launched, client: AtlasClient, tenant: Tenant
) -> None:
    written = await client.write_rows(tenant.tenant_id, ROWS)
    before, http = await scraped(atlas, "query-router"), await scraped(atlas, "gateway")
    for source in (Source.PRIMARY, Source.REPLICA, Source.OLAP):
        wanted = Requirement(UseCase.ANALYTICS, policy=Policy.WAIT, at_least_token=written.token, only_source=source)
        await client.get_entity(tenant.tenant_id, "disk-1", freshness=wanted)
    with pytest.raises(CallFailed):
        await client.get_entity(
            tenant.tenant_id, "disk-1", freshness=Requirement(max_staleness=AT.resolution, policy=Policy.FAIL_FAST)
        )
    async with httpx.AsyncClient(base_url=atlas.platform.gateway_url) as web:
        headers = {"X-Tenant-Id": str(tenant.tenant_id)}
        assert (await web.get("/api/v1/entities/disk-1/status", headers=headers)).status_code == 200
    after, http_after = await scraped(atlas, "query-router"), await scraped(atlas, "gateway")

    def more(name: str, **labels: str) -> float:
        return after.sum(name, **labels) - before.sum(name, **labels)

    for copy in ("primary", "replica", "olap"):
        assert more("atlas_query_answers_total", source=copy, certificate="proven") >= 1, copy
        assert more("atlas_query_staleness_seconds_count", source=copy) >= 1, copy
    assert more("atlas_query_answers_total") == 4
    assert more("atlas_query_passed_over_total", reason="too_stale") >= 1
    assert more("atlas_rpc_refusals_total", error_type="NOT_FRESH_ENOUGH") == 1
    assert after.of("atlas_query_reading_known") == [1]
    assert after.of("atlas_query_fallback_room") == [6]
    name, labels = "http_server_request_duration_seconds_count", {"http_response_status_code": "200"}
    assert http_after.sum(name, **labels) - http.sum(name, **labels) == 1


async def test_a_copy_that_does_not_answer_is_of_unknown_staleness_and_has_none(
    atlas: Launched, eventually: Eventually
) -> None:
    async def all_known() -> None:
        page = await scraped(atlas, "lag-monitor")
        known = {has["source"]: figure for name, has, figure in page.samples if name == "atlas_copy_staleness_known"}
        assert known == {"primary": 1, "replica": 1, "olap": 1}
        for source in known:
            [seconds] = page.of("atlas_copy_staleness_seconds", source=source)
            assert 0 < seconds < 30
        assert len(page.of("atlas_beat_age_seconds")) == len(page.of("atlas_slot_lag_bytes")) == 1
        assert len(page.of("atlas_slots_held_transactions")) == 1

    async def olap_unknown() -> None:
        page = await scraped(atlas, "lag-monitor")
        assert page.of("atlas_copy_staleness_known", source="olap") == [0]
        assert page.of("atlas_copy_staleness_seconds", source="olap") == []
        assert page.of("atlas_copy_reachable", source="olap") == [0]
        assert page.of("atlas_copy_staleness_known", source="replica") == [1]

    await eventually(all_known)
    engine = atlas.process("clickhouse")
    engine.pause()
    try:
        await eventually(olap_unknown)
    finally:
        engine.resume()
    await eventually(all_known)


async def test_the_sink_shows_rows_shards_and_the_age_of_audited_watermarks(
    atlas: Launched, client: AtlasClient, tenant: Tenant, eventually: Eventually
) -> None:
    before = await scraped(atlas, "olap-sink")
    await client.write_rows(tenant.tenant_id, ROWS)

    async def inserted() -> None:
        page = await scraped(atlas, "olap-sink")
        name, table = "atlas_sink_rows_total", {"table": "entity_analytics_events"}
        assert page.sum(name, **table) - before.sum(name, **table) >= len(ROWS)
        assert page.sum("atlas_sink_batches_total") > before.sum("atlas_sink_batches_total")
        assert page.of("atlas_sink_shards", table="entity_attributes", state="claiming") == [10]
        assert page.of("atlas_sink_shards", table="entity_attributes", state="frozen") == [0]
        [age] = page.of("atlas_sink_watermark_age_seconds", table="entity_attributes")
        assert 0 <= age < 30
        assert page.of("atlas_sink_repairs_waiting") == [0]

    await eventually(inserted)


async def test_each_service_exports_the_metrics_of_the_list_and_no_others(
    atlas: Launched, client: AtlasClient, tenant: Tenant
) -> None:
    pages = dict(zip(METRICS, await asyncio.gather(*(scraped(atlas, name) for name in METRICS)), strict=True))
    for name, metrics in METRICS.items():
        exported = {found for found in pages[name].names() if not found.startswith("target")}
        listed = {metric.exposed for metric in metrics}
        # What is labelled may be there only once something was counted, such as a quarantined event.
        always = {metric.exposed for metric in metrics if metric.kind is Kind.GAUGE}
        assert always <= exported <= listed, name
        samples = [has for _, has, _ in pages[name].samples]
        assert not [has for has in samples if str(tenant.tenant_id) in has.values() or "disk-1" in has.values()]
