"""Span contexts as text, so that a row, a message or a call can carry one (W3C `traceparent`)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, TraceFlags

_TRACEPARENT = re.compile(r"\A00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\Z")
MAX_LINKS = 128  # the OpenTelemetry SDK keeps no more on a span


def format_traceparent(context: SpanContext) -> str:
    """Return the span context as `traceparent`; empty if it names no trace."""
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def parse_traceparent(text: str) -> SpanContext | None:
    """Return the span context that `text` carries, or None. Bad text is no error: tracing is optional."""
    match = _TRACEPARENT.match(text)
    if match is None:
        return None
    flags = TraceFlags(int(match[3], 16) & TraceFlags.SAMPLED)
    context = SpanContext(int(match[1], 16), int(match[2], 16), is_remote=True, trace_flags=flags)
    return context if context.is_valid else None


def current_traceparent() -> str:
    """Return the current span as `traceparent`; empty outside of a span."""
    return format_traceparent(trace.get_current_span().get_span_context())


def current_trace_id() -> str:
    """Return the trace id of the current span as 32 hexadecimal digits; empty when nothing is recorded."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid and context.trace_flags.sampled else ""


def parent_of(traceparent: str) -> Context:
    """Return the context to start a span in, as a child of `traceparent`; an empty one starts a trace of its own."""
    context = parse_traceparent(traceparent)
    return trace.set_span_in_context(NonRecordingSpan(context), Context()) if context else Context()


def links_to(traceparents: Iterable[str]) -> tuple[Link, ...]:
    """Return one link for each distinct sampled trace context, in order, at most `MAX_LINKS`."""
    links: list[Link] = []
    for text in dict.fromkeys(traceparents):
        context = parse_traceparent(text)
        if context is not None and context.trace_flags.sampled:
            links.append(Link(context))
        if len(links) == MAX_LINKS:
            break
    return tuple(links)
