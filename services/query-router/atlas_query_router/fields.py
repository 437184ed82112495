"""Checks of single fields, as the requests share them. Each raises InvalidRequest with the field's name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from atlaskit.errors import InvalidRequest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

MAX_KEY_BYTES: Final = 512


def tenant(tenant_id: int, field: str = "tenant_id") -> int:
    """Return the number of a tenant."""
    if tenant_id < 1:
        raise InvalidRequest(field, "must be 1 to 2147483647", "REQUIRED" if tenant_id == 0 else "OUT_OF_RANGE")
    return tenant_id


def key(text: str, field: str) -> str:
    """Return a key of 1 to 512 bytes."""
    return limited_text(text, field, MAX_KEY_BYTES)


def limited_text(text: str, field: str, most: int) -> str:
    """Return a text of 1 to so many bytes."""
    if not text:
        raise InvalidRequest(field, "must not be empty", "REQUIRED")
    return prefix(text, field, most)


def prefix(text: str, field: str, most: int = MAX_KEY_BYTES) -> str:
    """Return a text of 0 to so many bytes."""
    if len(text.encode()) > most:
        raise InvalidRequest(field, f"must be at most {most} bytes", "TOO_LONG")
    if "\0" in text:
        raise InvalidRequest(field, "must not hold NUL", "NUL_CHARACTER")
    return text


def keys(texts: Sequence[str], field: str, most: int) -> tuple[str, ...]:
    """Return up to so many keys, each once."""
    if len(texts) > most:
        raise InvalidRequest(field, f"must be at most {most}", "TOO_MANY")
    return tuple(dict.fromkeys(key(text, f"{field}[{number}]") for number, text in enumerate(texts)))


def page_size(asked: int, default: int, most: int) -> int:
    """Return the size of the page: what was asked for up to the most; 0 means the default."""
    if asked < 0:
        raise InvalidRequest("page_size", "must not be negative", "OUT_OF_RANGE")
    return min(asked or default, most)


def instant(message: Message, field: str) -> datetime | None:
    """Return an instant, None for an unset one."""
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    if stamp.nanos % 1000:
        raise InvalidRequest(field, "must not be finer than a microsecond", "TOO_FINE")
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except ValueError:
        raise InvalidRequest(field, "is no instant of the years 1 to 9999", "OUT_OF_RANGE") from None


def span(message: Message) -> tuple[datetime | None, datetime | None]:
    """Return start and end of a range of event time."""
    start, end = instant(message, "start_time"), instant(message, "end_time")
    if start is not None and end is not None and start >= end:
        raise InvalidRequest("end_time", "must be after start_time", "OUT_OF_RANGE")
    return start, end
