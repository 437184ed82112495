"""The ASGI application: one request in, one statement on the engine, one answer out."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from atlas_local.chdb_front.encoding import COMPRESS_FROM_BYTES, BodyTooLarge, EncodingUnknown, chosen, decoded, encoded
from atlas_local.chdb_front.engine import Answer, Engine
from atlas_local.chdb_front.request import Refused, Request, compression_wanted, read_request

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

log = logging.getLogger(__name__)
_CODE = re.compile(r"Code: (\d+)\.")
# The statuses that a clickhouse-server gives to its error codes; every other error is 500.
_STATUS = {
    **dict.fromkeys(
        (6, 25, 26, 27, 33, 36, 38, 41, 53, 62, 69, 70, 72, 108, 117, 131, 169, 190, 321, 386, 441, 457, 675), 400
    ),
    **dict.fromkeys((16, 46, 47, 50, 56, 60, 63, 73, 81, 115, 372), 404),
    **dict.fromkeys((48,), 501),
    **dict.fromkeys((159, 160), 408),
    **dict.fromkeys((202, 203), 503),
    **dict.fromkeys((164, 497, 516), 403),
    **dict.fromkeys((194,), 401),
}
_CONTENT_TYPES = {"JSON": "application/json; charset=UTF-8", "CSV": "text/csv; charset=UTF-8; header=absent"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process takes on at a time."""

    running: int  # statements; one more is answered 503 at once
    body_bytes: int  # of a request, also once decompressed; more is answered 413


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    path: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]


class Front:
    """The application. Statements run on threads, since the engine's calls block.

    A client that goes away stops its statement.
    """

    def __init__(self, engine: Engine, limits: Limits, password: str | None) -> None:
        self._engine = engine
        self._limits = limits
        self._password = password
        self._running = 0
        self._threads = ThreadPoolExecutor(limits.running, thread_name_prefix="statement")

    def close(self) -> None:
        """Stop what still runs and wait for its threads."""
        self._engine.kill_all()
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            return
        call = _Call(
            method=scope["method"],
            path=scope["path"],
            parameters=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        )
        status, headers, body = await self._respond(call, receive)
        head = [
            (b"content-length", b"%d" % len(body)),
            *((k.encode(), v.encode("latin-1")) for k, v in headers.items()),
        ]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": b"" if call.method == "HEAD" else body})

    async def _respond(self, call: _Call, receive: Receive) -> tuple[int, dict[str, str], bytes]:
        try:
            if call.path in ("/ping", "/replicas_status") or (
                call.path == "/" and not call.parameters and call.method != "POST"
            ):
                return 200, {"content-type": "text/html; charset=UTF-8"}, b"Ok.\n"
            self._authenticate(call)
            return await self._admit(call, receive)
        except BodyTooLarge as error:
            return self._failure(f"Code: 241. DB::Exception: {error} (MEMORY_LIMIT_EXCEEDED)", 413)
        except EncodingUnknown as error:
            return self._failure(f"Code: 89. DB::Exception: {error} (UNKNOWN_COMPRESSION_METHOD)", 400)
        except ValueError as error:
            return self._failure(f"Code: 117. DB::Exception: {error} (INCORRECT_DATA)", 400)
        except (Refused, RuntimeError) as error:
            return self._failure(str(error), None)

    async def _admit(self, call: _Call, receive: Receive) -> tuple[int, dict[str, str], bytes]:
        if self._running >= self._limits.running:
            text = f"Too many simultaneous queries. Maximum: {self._limits.running}; try again, or raise --max-running"
            raise Refused(202, "TOO_MANY_SIMULTANEOUS_QUERIES", text)
        self._running += 1
        try:
            body = await _read_body(receive, call.headers, self._limits.body_bytes)
            return await self._run(call, body, receive)
        finally:
            self._running -= 1

    async def _run(self, call: _Call, body: bytes, receive: Receive) -> tuple[int, dict[str, str], bytes]:
        tag = self._engine.next_tag()
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._threads, self._work, call, body, tag)
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._stop_when_gone(receive, tag), name="client-gone")
                done, _ = await asyncio.wait({running})
                watch.cancel()
        except asyncio.CancelledError:
            await loop.run_in_executor(None, self._engine.kill, tag)
            raise
        return done.pop().result()

    async def _stop_when_gone(self, receive: Receive, tag: str) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await asyncio.get_running_loop().run_in_executor(None, self._engine.kill, tag)

    def _work(self, call: _Call, body: bytes, tag: str) -> tuple[int, dict[str, str], bytes]:
        """Decompress, run and compress: everything that takes time, on the statement's own thread."""
        body = decoded(body, call.headers.get("content-encoding", "").lower(), self._limits.body_bytes)
        parameters = {**call.parameters, **_form(call.headers, body)}
        is_form = len(parameters) > len(call.parameters) or "multipart" in call.headers.get("content-type", "")
        request = read_request(call.method, parameters, call.headers, b"" if is_form else body)
        if not request.text.strip():
            raise Refused(62, "SYNTAX_ERROR", "Syntax error: empty query")
        answer = self._engine.run(request, tag)
        headers = self._headers(request, answer)
        encoding = chosen(call.headers.get("accept-encoding", "")) if compression_wanted(parameters) else None
        if encoding is None or len(answer.body) < COMPRESS_FROM_BYTES:
            return 200, headers, answer.body
        return 200, {**headers, "content-encoding": encoding}, encoded(answer.body, encoding)

    def _headers(self, request: Request, answer: Answer) -> dict[str, str]:
        summary = {
            "read_rows": answer.read_rows,
            "read_bytes": answer.read_bytes,
            "written_rows": answer.written_rows,
            "written_bytes": answer.written_bytes,
            "total_rows_to_read": 0,
            "result_rows": answer.result_rows or answer.written_rows,
            "result_bytes": len(answer.body) or answer.written_bytes,
            "elapsed_ns": answer.elapsed_ns,
        }
        return {
            **_SERVER,
            "content-type": _CONTENT_TYPES.get(answer.format, "text/plain; charset=UTF-8"),
            "x-clickhouse-query-id": request.query_id,
            "x-clickhouse-format": answer.format,
            "x-clickhouse-summary": json.dumps(
                {name: str(value) for name, value in summary.items()}, separators=(",", ":")
            ),
        }

    def _failure(self, text: str, status: int | None) -> tuple[int, dict[str, str], bytes]:
        """Return the error as the server words it: the code in a header, the text with the version in the body."""
        text = text[max(text.find("Code: "), 0) :].strip()
        found = _CODE.match(text)
        code = int(found[1]) if found else 1002
        body = text if "(version " in text else f"{text} (version {self._engine.version} (embedded build))"
        headers = {**_SERVER, "content-type": "text/plain; charset=UTF-8", "x-clickhouse-exception-code": str(code)}
        return status or _STATUS.get(code, 500), headers, body.encode() + b"\n"

    def _authenticate(self, call: _Call) -> None:
        if self._password is not None and not hmac.compare_digest(_password(call).encode(), self._password.encode()):
            raise Refused(
                516, "AUTHENTICATION_FAILED", "Authentication failed: password is incorrect, or there is no such user"
            )


_SERVER = {"x-clickhouse-server-display-name": "atlas-local", "x-clickhouse-timezone": "UTC"}


async def _read_body(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    if headers.get("content-length", "0").isdigit() and int(headers.get("content-length", "0")) > limit:
        raise BodyTooLarge(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ValueError("the client went away before the end of its body; nothing was stored")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise BodyTooLarge(limit)
        if not message.get("more_body", False):
            return b"".join(parts)


def _password(call: _Call) -> str:
    given = call.parameters.get("password") or call.headers.get("x-clickhouse-key", "")
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    if given or scheme.lower() != "basic":
        return given
    try:
        return base64.b64decode(token).decode().partition(":")[2]
    except ValueError:
        return ""


def _form(headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    """Return the fields of a form: how clients send parameters that are too long for a URL. Files are refused."""
    content_type = headers.get("content-type", "")
    boundary = re.search(r'boundary="?([^";]+)', content_type)
    if not content_type.startswith("multipart/form-data") or boundary is None:
        return {}
    fields: dict[str, str] = {}
    for part in body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, value = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        if name is None or (b"filename=" in head and not name[1].startswith((b"param_", b"query"))):
            raise Refused(
                48, "NOT_IMPLEMENTED", "external data (a file in a form) is not served; put the rows in a table"
            )
        fields[name[1].decode()] = value.removesuffix(b"\r\n").decode()
    return fields
