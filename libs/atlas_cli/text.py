"""Values, errors and boards as text for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from atlas_client import CallFailed, Scalar, Uint64
from grpc import StatusCode

REMEDY = {
    StatusCode.UNAVAILABLE: "Nothing answers there. Is the service running, and is the address right?",
    StatusCode.DEADLINE_EXCEEDED: "Give it more time with --timeout, or look at `atlas lag`.",
    StatusCode.RESOURCE_EXHAUSTED: "It is full. Come again later, or load with fewer batches at a time (--in-flight).",
    StatusCode.UNIMPLEMENTED: "This part of the contract has no behaviour yet, or something else listens there.",
}
REMEDY_BY_REASON = {
    "TENANT_UNKNOWN": "`atlas tenants` lists those that are registered.",
    "NOT_FRESH_ENOUGH": "Ask with --policy wait or --policy degrade, or accept an older answer with --max-staleness.",
    "TOKEN_LOST": "The write behind the token was lost in a failover; read without --at-least and write it again.",
}


def value_text(value: Scalar | None) -> str:
    """Return a value for people: octets as text where they are some, else in hexadecimal; None as a question mark."""
    match value:
        case None:
            return "?"
        case bool():
            return "true" if value else "false"
        case bytes():
            return octets_text(value)
        case _:
            return str(value)


def octets_text(octets: bytes) -> str:
    """Return octets as text if they are printable UTF-8, else as `0x` and digits."""
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        return f"0x{octets.hex()}"
    return text if all(letter.isprintable() or letter in "\r\n\t" for letter in text) else f"0x{octets.hex()}"


def type_text(value: Scalar | None, source_type: str) -> str:
    """Return the type of a value, with the name that its source gave it."""
    names = {bool: "bool", int: "int64", Uint64: "uint64", float: "double", str: "string", bytes: "bytes"}
    name = names.get(type(value), "unknown")
    return f"{name} ({source_type})" if source_type else name


def instant_text(instant: datetime | None) -> str:
    """Return an instant in UTC, without the digits it does not need."""
    if instant is None:
        return "-"
    text = instant.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")
    return f"{text}Z"


def span_text(span: timedelta | None) -> str:
    """Return a span for people; None is unknown, which is not zero."""
    if span is None:
        return "unknown"
    seconds = span.total_seconds()
    return f"{seconds * 1000:.1f} ms" if seconds < 10 else f"{seconds:.1f} s"


def failure_lines(failure: CallFailed, target: str) -> list[str]:
    """Return what went wrong, where, and what to do."""
    lines = [f"{target}: {failure}"]
    if failure.field:
        lines.append(f"    field: {failure.field}")
    if failure.retry_after is not None:
        lines.append(f"    come again after {span_text(failure.retry_after)}")
    if failure.freshness is not None:
        lines.append(f"    known then: {failure.freshness}")
    if remedy := REMEDY_BY_REASON.get(failure.reason) or REMEDY.get(failure.code):
        lines.append(f"    {remedy}")
    return lines
