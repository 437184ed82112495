"""Metrics are on the page that the settings name, under the names of the one list, and what is unknown is absent."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from atlas.query.v1.query_service_pb2 import GetEntityRequest
from atlas.query.v1.query_service_pb2_grpc import QueryServiceStub
from atlaskit.config import ServiceSettings, load
from atlaskit.errors import ConfigurationWrong, NotFound
from atlaskit.rpc.client import open_channel
from atlaskit.telemetry import metrics
from atlaskit.telemetry.measures import METRICS, Kind, Metric
from atlaskit.telemetry.metrics import NO_METER, Tally, counter, gauge, histogram, open_metrics
from doubles.scrapes import scrape
from doubles.small_services import SmallServices
from grpc import aio

EVERY = {metric.name: metric for of_service in METRICS.values() for metric in of_service}
CALLS = Metric("some.calls", Kind.COUNTER, "{call}", "Calls", ("who",))
AGE = Metric("some.age", Kind.GAUGE, "s", "Age")


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def settings(port: int) -> ServiceSettings:
    return load(ServiceSettings, {"ATLAS_METRICS_ADDRESS": f"127.0.0.1:{port}"})


async def test_figures_move_with_what_is_counted_and_an_unknown_one_is_absent(port: int) -> None:
    ages: dict[tuple[str, ...], float] = {}
    async with open_metrics("ingest", settings(port)) as meter:
        calls = Tally(meter, CALLS)
        gauge(meter, AGE, lambda: ages)
        before = await scrape(f"http://127.0.0.1:{port}/metrics")
        calls.add(2, "me")
        calls.add(1, "you")
        ages[()] = 0.25
        during = await scrape(f"http://127.0.0.1:{port}/metrics")
        ages.clear()
        after = await scrape(f"http://127.0.0.1:{port}/metrics")
    assert before.samples == []
    assert during.of("some_calls_total", who="me") == [2]
    assert during.of("some_calls_total", who="you") == [1]
    assert during.of("some_age_seconds") == [0.25]
    assert after.of("some_age_seconds") == []
    assert after.sum("some_calls_total") == 3
    assert after.of("target_info", service_name="ingest") == [1]


async def test_without_an_address_nothing_is_measured_and_nothing_listens() -> None:
    before = set(asyncio.all_tasks())
    async with open_metrics("ingest", load(ServiceSettings, {})) as meter:
        assert meter is NO_METER
        Tally(meter, CALLS).add(1, "me")
        assert set(asyncio.all_tasks()) == before


async def test_a_port_that_is_taken_is_named_at_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = int(listener.getsockname()[1])
        with pytest.raises(ConfigurationWrong, match=rf"ATLAS_METRICS_ADDRESS: cannot listen on 127.0.0.1:{taken}"):
            async with open_metrics("ingest", settings(taken)):
                pass


async def test_the_page_is_one_and_only_to_be_read(port: int) -> None:
    async with open_metrics("ingest", settings(port)), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/")).status_code == 404
        assert (await client.post("/metrics")).status_code == 405
        found = await client.get("/metrics?name=x")
        assert (found.status_code, found.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")


async def test_who_asks_slowly_holds_up_nobody_and_more_than_a_few_are_cut_off(port: int) -> None:
    async with open_metrics("ingest", settings(port)):
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(metrics.MOST_CONNECTIONS - 1)]
        for _, writer in slow:
            writer.write(b"GET /metrics HTTP/1.1\r\n")
        await scrape(f"http://127.0.0.1:{port}/metrics")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        slow.append((reader, writer))
        with pytest.raises(httpx.TransportError):
            await scrape(f"http://127.0.0.1:{port}/metrics")
    for reader, writer in slow:  # the page closed them when it was
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(1)
        writer.close()


async def test_a_request_that_does_not_arrive_in_time_is_given_up(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "REQUEST_LIMIT", metrics.REQUEST_LIMIT / 100)
    async with open_metrics("ingest", settings(port)):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


def test_labels_of_a_counter_are_bounded_whatever_is_counted() -> None:
    tally = Tally(NO_METER, CALLS)
    for number in range(metrics.MOST_SERIES * 2):
        tally.add(1, f"reason {number}")
    assert len(tally._counts) == metrics.MOST_SERIES + 1
    assert tally._counts[(metrics.BEYOND,)] == metrics.MOST_SERIES
    tally.add(1, "reason 0")
    assert tally._counts[("reason 0",)] == 2


async def test_every_metric_is_exposed_by_the_name_and_labels_of_the_list(port: int) -> None:
    async with open_metrics("all", settings(port)) as meter:
        for metric in EVERY.values():
            labels = dict.fromkeys(metric.labels, "x")
            if metric.kind is Kind.HISTOGRAM:
                histogram(meter, metric).record(1, labels)
            else:
                make = gauge if metric.kind is Kind.GAUGE else counter
                make(meter, metric, lambda labels=labels: {tuple(labels.values()): 1})  # type: ignore[misc]
        page = await scrape(f"http://127.0.0.1:{port}/metrics")
    kinds = {f"{name}_total" if kind == "counter" else name: kind for name, kind in page.kinds.items()}
    assert {metric.exposed: metric.kind.value for metric in EVERY.values()}.items() <= kinds.items()
    for metric in EVERY.values():
        name = f"{metric.exposed}_count" if metric.kind is Kind.HISTOGRAM else metric.exposed
        [labels] = [has for found, has, _ in page.samples if found == name]
        assert set(labels) == set(metric.exposed_labels)


def test_no_label_has_as_many_values_as_there_are_tenants_entities_or_shards() -> None:
    labels = {label for metric in EVERY.values() for label in metric.labels}
    assert not [label for label in labels if re.search(r"tenant|entity|key|shard|peer|caller|request_id|writer", label)]


def rows_of_the_document() -> Iterator[tuple[str, ...]]:
    text = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
    for line in text.splitlines():
        if line.startswith("| `"):
            yield tuple(cell.strip() for cell in line.strip("|").split(" | "))


def test_the_document_lists_every_metric_with_kind_unit_labels_services_and_meaning() -> None:
    services = {name: [s for s, of_service in METRICS.items() if EVERY[name] in of_service] for name in EVERY}
    wanted = [
        (
            f"`{metric.exposed}`",
            metric.kind.value,
            metric.unit or "0 or 1",
            ", ".join(f"`{label}`" for label in metric.exposed_labels) or "-",
            ", ".join(services[metric.name]),
            metric.meaning,
        )
        for metric in EVERY.values()
    ]
    assert list(rows_of_the_document()) == wanted


async def test_calls_are_measured_by_method_and_status_and_refusals_by_reason(port: int) -> None:
    services = SmallServices()
    async with (
        open_metrics("query-router", settings(port)) as meter,
        services.served(meter=meter) as address,
        open_channel(address) as channel,
    ):
        stub = QueryServiceStub(channel)
        await stub.GetEntity(GetEntityRequest(), timeout=5)
        await stub.GetEntity(GetEntityRequest(), timeout=5)
        services.query.failures += [NotFound("none"), RuntimeError("secret")]
        for _ in range(2):
            with pytest.raises(aio.AioRpcError):
                await stub.GetEntity(GetEntityRequest(), timeout=5)
        with pytest.raises(aio.AioRpcError):
            await stub.GetEntity(GetEntityRequest())  # without a deadline
        page = await scrape(f"http://127.0.0.1:{port}/metrics")
    method = "atlas.query.v1.QueryService/GetEntity"
    name = "rpc_server_call_duration_seconds_count"
    statuses = {has["rpc_response_status_code"]: figure for found, has, figure in page.samples if found == name}
    assert statuses == {"OK": 2, "NOT_FOUND": 1, "INTERNAL": 1, "INVALID_ARGUMENT": 1}
    assert page.sum(name, rpc_method=method) == 5
    reasons = {has["error_type"]: n for found, has, n in page.samples if found == "atlas_rpc_refusals_total"}
    assert reasons == {"NOT_FOUND": 1, "INTERNAL": 1, "DEADLINE_REQUIRED": 1}
    assert 0 < page.sum("rpc_server_call_duration_seconds_sum") < 5
