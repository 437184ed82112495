"""Spans reach the file that the settings name, and a trace goes on across calls and rows."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from atlas.query.v1.query_service_pb2 import GetEntityRequest
from atlas.query.v1.query_service_pb2_grpc import QueryServiceStub
from atlaskit.config import LogLevel, ServiceSettings
from atlaskit.errors import NotFound
from atlaskit.rpc.client import open_channel
from atlaskit.telemetry.carrier import (
    MAX_LINKS,
    current_trace_id,
    current_traceparent,
    links_to,
    parent_of,
    parse_traceparent,
)
from atlaskit.telemetry.logs import configure_logs
from atlaskit.telemetry.tracing import open_tracing, traced_to_file
from doubles.small_services import SmallServices
from grpc import aio


def spans_in(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        span
        for line in lines
        for resource in line["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def settings(path: Path | None, ratio: float = 1.0) -> ServiceSettings:
    return ServiceSettings.model_validate({"trace_file": path, "trace_sample_ratio": ratio})


async def test_a_call_is_one_span_and_a_child_of_its_caller(tmp_path: Path) -> None:
    services, path = SmallServices(), tmp_path / "traces" / "query.jsonl"
    async with (
        open_tracing("query-router", settings(path)) as tracer,
        services.served(tracer=tracer) as address,
        open_channel(address) as channel,
    ):
        stub = QueryServiceStub(channel)
        with tracer.start_as_current_span("caller"):
            trace_id = current_trace_id()
            await stub.GetEntity(GetEntityRequest(), timeout=5)
        services.query.failures.append(NotFound("none"))
        with pytest.raises(aio.AioRpcError):
            await stub.GetEntity(GetEntityRequest(), timeout=5)
    caller, *calls = sorted(spans_in(path), key=lambda span: span["name"] != "caller")
    child = next(span for span in calls if span.get("parentSpanId") == caller["spanId"])
    refused = next(span for span in calls if span is not child)
    assert caller["traceId"] == child["traceId"] == trace_id
    assert child["name"] == "atlas.query.v1.QueryService/GetEntity"
    assert {"key": "error.type", "value": {"stringValue": "NOT_FOUND"}} in refused["attributes"]


async def test_a_caller_that_does_not_trace_is_sampled_by_the_ratio(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    async with open_tracing("ingest", settings(path, ratio=0.0)) as tracer:
        with tracer.start_as_current_span("unsampled"):
            assert current_trace_id() == ""
        sampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        with tracer.start_as_current_span("sampled", context=parent_of(sampled)):
            assert current_trace_id() == "0af7651916cd43dd8448eb211c80319c"
    assert [span["name"] for span in spans_in(path)] == ["sampled"]


async def test_without_a_place_for_spans_nothing_is_recorded() -> None:
    async with open_tracing("ingest", settings(None)) as tracer:
        with tracer.start_as_current_span("nothing"):
            assert current_traceparent() == current_trace_id() == ""


def test_a_batch_links_to_the_writes_in_it(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    with traced_to_file("olap-sink", path) as tracer:
        with tracer.start_as_current_span("write"):
            carrier = current_traceparent()
        with tracer.start_as_current_span("olap.insert", links=links_to([carrier, carrier, "", "garbage"])):
            pass
    write, insert = sorted(spans_in(path), key=lambda span: span["name"] != "write")
    assert [link["spanId"] for link in insert["links"]] == [write["spanId"]]


def test_links_are_bounded_and_leave_out_what_was_not_sampled() -> None:
    carriers = [f"00-{number:032x}-{number:016x}-01" for number in range(1, 1000)]
    assert len(links_to(carriers)) == MAX_LINKS
    assert links_to(["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"]) == ()


@pytest.mark.parametrize("text", ["", "00-0-0-01", f"00-{'0' * 32}-{'0' * 16}-01", "01-" + "a" * 32])
def test_a_carrier_that_says_nothing_is_no_error(text: str) -> None:
    assert parse_traceparent(text) is None


@pytest.fixture
def log_lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure_logs("ingest", LogLevel.INFO, stream)
    yield stream
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def test_every_log_line_is_json_with_the_trace_it_belongs_to(log_lines: io.StringIO, tmp_path: Path) -> None:
    with traced_to_file("ingest", tmp_path / "spans.jsonl") as tracer, tracer.start_as_current_span("call"):
        trace_id = current_trace_id()
        structlog.get_logger("one").info("committed", rows=3)
        try:
            raise ValueError("broken")
        except ValueError:
            logging.getLogger("two").exception("from the standard library")
    structlog.get_logger("one").debug("below the level")
    ours, theirs = map(json.loads, log_lines.getvalue().splitlines())
    assert (ours["event"], ours["rows"], ours["level"], ours["service"]) == ("committed", 3, "info", "ingest")
    assert ours["trace_id"] == theirs["trace_id"] == trace_id
    assert "ValueError: broken" in theirs["exception"]
