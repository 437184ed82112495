"""One HTTP request read as ClickHouse's HTTP interface reads it, and the names that are not settings of the engine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import uuid4

_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
# Parameters of the transport: the engine would refuse them as unknown settings.
_TRANSPORT = frozenset(
    {
        *("query", "database", "default_format", "query_id", "user", "password", "quota_key", "role", "stacktrace"),
        *("session_id", "session_timeout", "session_check", "close_session", "client_protocol_version"),
        *("compress", "decompress", "enable_http_compression", "http_zlib_compression_level"),
        *("wait_end_of_query", "buffer_size", "send_progress_in_http_headers", "http_headers_progress_interval_ms"),
    }
)
_LONGEST_SESSION_SECONDS = 3600


class Refused(Exception):
    """The request cannot be run. `code` and `name` are ClickHouse's for this error."""

    def __init__(self, code: int, name: str, text: str) -> None:
        super().__init__(f"Code: {code}. DB::Exception: {text} ({name})")
        self.code = code


@dataclass(frozen=True, slots=True)
class Session:
    """A connection that outlives its request, for temporary tables and SET."""

    id: str
    timeout_seconds: int
    must_exist: bool


@dataclass(frozen=True, slots=True)
class Request:
    """What one call asks of the engine. `text` is the statement and, for an INSERT, the untouched bytes of its rows."""

    text: bytes
    query_id: str
    database: str
    default_format: str
    revision: int
    read_only: bool
    settings: Mapping[str, str]
    parameters: Mapping[str, str]
    session: Session | None


def read_request(method: str, parameters: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Request:
    """Return the request these parts make: the `query` parameter, a line feed, then the body. Raises Refused."""
    for name in ("compress", "decompress"):
        if _flag(parameters, name):
            raise Refused(
                48, "NOT_IMPLEMENTED", f"{name}=1 (ClickHouse's own framing) is not served; use Content-Encoding"
            )
    query = parameters.get("query", "").encode()
    return Request(
        text=query + b"\n" + body if query and body else query or body,
        query_id=parameters.get("query_id") or str(uuid4()),
        database=parameters.get("database") or headers.get("x-clickhouse-database", ""),
        default_format=headers.get("x-clickhouse-format") or parameters.get("default_format") or "TabSeparated",
        revision=_number(parameters, "client_protocol_version", 0),
        read_only=method != "POST",
        settings={name: value for name, value in parameters.items() if _is_setting(name)},
        parameters={name[6:]: value for name, value in parameters.items() if name.startswith("param_")},
        session=_session(parameters),
    )


def compression_wanted(parameters: Mapping[str, str]) -> bool:
    """Return whether the client asked for compressed answers; Accept-Encoding alone does not."""
    return _flag(parameters, "enable_http_compression")


def set_statement(settings: Mapping[str, str]) -> str:
    """Return the SET statement for these settings. Values are quoted; names were checked by `read_request`."""
    return "SET " + ", ".join(f"{name} = {quoted(value)}" for name, value in settings.items())


def quoted(text: str) -> str:
    """Return the text as a string literal of ClickHouse."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def identifier(name: str) -> str:
    """Return the name as a quoted identifier of ClickHouse."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def _is_setting(name: str) -> bool:
    if name in _TRANSPORT or name.startswith("param_"):
        return False
    if not _SETTING_NAME.fullmatch(name):
        raise Refused(115, "UNKNOWN_SETTING", f"Unknown setting {name!r}")
    return True


def _session(parameters: Mapping[str, str]) -> Session | None:
    if not (session_id := parameters.get("session_id")):
        return None
    timeout = min(_number(parameters, "session_timeout", 60), _LONGEST_SESSION_SECONDS)
    return Session(session_id, timeout, _flag(parameters, "session_check"))


def _flag(parameters: Mapping[str, str], name: str) -> bool:
    return parameters.get(name, "").lower() in ("1", "true")


def _number(parameters: Mapping[str, str], name: str, default: int) -> int:
    text = parameters.get(name, str(default))
    if not text.isascii() or not text.isdigit():
        raise Refused(36, "BAD_ARGUMENTS", f"{name} must be a number, not {text!r}")
    return int(text)
