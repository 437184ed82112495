"""Spans of one trace, read from the files of JSON lines that the services write."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

_LOOK_AGAIN = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class Span:
    """One hop: nanoseconds are those of the wall clock of the process that recorded it."""

    trace_id: str
    service: str
    name: str
    start_ns: int
    end_ns: int

    @property
    def took(self) -> timedelta:
        """Return the time from its start to its end."""
        return timedelta(microseconds=(self.end_ns - self.start_ns) / 1000)


def spans_of(trace_id: str, lines: Iterable[str]) -> Iterator[Span]:
    """Yield the spans of a trace, in the order of the lines; a line that a killed process cut off is passed over."""
    for line in lines:
        if trace_id not in line:
            continue
        try:
            request = json.loads(line)
        except ValueError:
            continue
        for resource in request.get("resourceSpans", []):
            yield from _of_resource(trace_id, resource)


def _of_resource(trace_id: str, resource: Mapping[str, Any]) -> Iterator[Span]:
    attributes = resource.get("resource", {}).get("attributes", [])
    service = next((a["value"]["stringValue"] for a in attributes if a["key"] == "service.name"), "")
    for scope in resource.get("scopeSpans", []):
        for span in scope.get("spans", []):
            if span["traceId"] == trace_id:
                yield Span(
                    trace_id, service, span["name"], int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
                )


def read_trace(trace_id: str, files: Iterable[Path]) -> list[Span]:
    """Return the spans of a trace in all the files, by their start."""
    found: list[Span] = []
    for file in files:
        with file.open(encoding="utf-8", errors="replace") as lines:
            found += spans_of(trace_id, lines)
    return sorted(found, key=lambda span: (span.start_ns, span.end_ns))


async def wait_for_span(trace_id: str, name: str, files: Callable[[], Iterable[Path]], limit: timedelta) -> list[Span]:
    """Return the spans of a trace once one of this name is there, or what there is when the time is over."""
    end = asyncio.get_running_loop().time() + limit.total_seconds()
    while True:
        spans = await asyncio.to_thread(read_trace, trace_id, files())
        if any(span.name == name for span in spans) or asyncio.get_running_loop().time() > end:
            return spans
        await asyncio.sleep(_LOOK_AGAIN)
