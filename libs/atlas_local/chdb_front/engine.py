"""The engine of one data directory, and how one request runs on a connection of its own."""

from __future__ import annotations

import fcntl
import importlib
import itertools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from atlas_local.chdb_front.native import UnknownType, many_blocks, one_block
from atlas_local.chdb_front.request import Refused, Request, identifier, quoted, set_statement
from atlas_local.chdb_front.sessions import Sessions
from atlas_local.chdb_front.statement import InlineInsert, Statement, read_statement

_NOT_STREAMED: Final = "Streaming query is not supported"


class DataDirectoryInUse(Exception):
    """Another process serves this data directory; the engine would corrupt it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request gave: the bytes in their format, and the counts of X-ClickHouse-Summary."""

    body: bytes
    format: str
    read_rows: int
    read_bytes: int
    written_rows: int
    written_bytes: int
    result_rows: int
    elapsed_ns: int


@dataclass(frozen=True, slots=True)
class _Run:
    """A request on its connection."""

    connection: Any
    request: Request
    incoming: Path
    started_ns: int

    def answer(self, body: bytes, form: str, result: Any, *, result_rows: int | None = None) -> Answer:
        rows = int(result.rows_read()) if result_rows is None else result_rows
        return Answer(
            body=body,
            format=form,
            read_rows=int(result.storage_rows_read()),
            read_bytes=int(result.storage_bytes_read()),
            written_rows=int(result.rows_written()),
            written_bytes=int(result.bytes_written()),
            result_rows=rows,
            elapsed_ns=time.perf_counter_ns() - self.started_ns,
        )


class Engine:
    """Runs requests, each on its own connection: one connection would serialise the threads that share it."""

    def __init__(self, connect: Any, data: Path, max_result_bytes: int) -> None:
        self._connect = connect
        self._path = path = str(data / "engine")
        self._incoming = data / "incoming"
        shutil.rmtree(self._incoming, ignore_errors=True)  # what a killed process left
        self._incoming.mkdir()
        self._tags = itertools.count(1)
        self._defaults = {"max_result_bytes": str(max_result_bytes)}
        self._sessions = Sessions(lambda: connect(path))
        self._kept = connect(path)  # the engine lives as long as any connection does
        self._kill_lock = threading.Lock()
        self.version = self._kept.query("SELECT version()", "TabSeparated").bytes().decode().strip()

    def next_tag(self) -> str:
        """Return a name by which `kill` can find the statement that will run under it."""
        return f"{os.getpid()}-{next(self._tags)}"

    def run(self, request: Request, tag: str) -> Answer:
        """Run one statement and return its whole answer; blocks the thread.

        Raises RuntimeError with the engine's text, or Refused.
        """
        started = time.perf_counter_ns()
        try:
            statement = read_statement(request.text)
        except UnicodeDecodeError as error:
            raise Refused(62, "SYNTAX_ERROR", f"Syntax error: the statement is not UTF-8: {error}") from error
        with self._connection(request) as connection, _settings(connection, request, self._defaults, tag):
            run = _Run(connection, request, self._incoming, started)
            _check(run, statement)
            return _insert(run, statement) if isinstance(statement, InlineInsert) else _query(run, statement)

    def kill(self, tag: str) -> None:
        """Ask the engine to stop the statement that runs under this tag; it may already have ended."""
        with self._kill_lock, suppress(RuntimeError):
            mine = f"startsWith(Settings['log_comment'], {quoted(f'{tag} ')})"
            self._kept.query(f"KILL QUERY WHERE {mine} ASYNC", "Null")

    def kill_all(self) -> None:
        """Ask the engine to stop every statement that this process runs."""
        with self._kill_lock, suppress(RuntimeError):
            self._kept.query(f"KILL QUERY WHERE startsWith(Settings['log_comment'], '{os.getpid()}-') ASYNC", "Null")

    def close(self) -> None:
        """Close every connection; the last one ends the engine and flushes what it holds."""
        self._sessions.close()
        self._kept.close()

    @contextmanager
    def _connection(self, request: Request) -> Iterator[Any]:
        if request.session is not None:
            with self._sessions.borrow(request.session) as connection:
                yield connection
            return
        connection = self._connect(self._path)
        try:
            yield connection
        finally:
            connection.close()


@contextmanager
def open_engine(data: Path, max_result_bytes: int) -> Iterator[Engine]:
    """Open the data directory, made if absent, for this process alone. Raises DataDirectoryInUse."""
    data.mkdir(parents=True, exist_ok=True)
    with (data / "front.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            raise DataDirectoryInUse(
                f"{data} is served by process {owner} already; stop it or use another --data"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        # Loaded here: it takes a second, and --help must not.
        connect = importlib.import_module("chdb._chdb").connect
        engine = Engine(connect, data.resolve(), max_result_bytes)
        try:
            yield engine
        finally:
            engine.close()


@contextmanager
def _settings(connection: Any, request: Request, defaults: Mapping[str, str], tag: str) -> Iterator[None]:
    """Apply the request's settings and database. A session's connection gets the settings' defaults back."""
    # The caller's own comment comes behind, so that it finds its statements, too.
    comment = f"{tag} {request.settings.get('log_comment', '')}"
    settings = {**defaults, **request.settings, "log_comment": comment}
    if request.database:
        connection.query(f"USE {identifier(request.database)}", "Null")
    connection.query(set_statement(settings), "Null")
    try:
        yield
    finally:
        if request.session is not None:
            with suppress(RuntimeError):
                connection.query("SET " + ", ".join(f"{name} = DEFAULT" for name in settings), "Null")


def _check(run: _Run, statement: InlineInsert | Statement) -> None:
    """Refuse several statements in one request, and writes by GET, as the server does."""
    if isinstance(statement, InlineInsert):
        read_only = False
    else:
        found = run.connection.classify_query(statement.text)
        if found["statement_count"] > 1:
            raise Refused(62, "SYNTAX_ERROR", "Syntax error (Multi-statements are not allowed)")
        read_only = found["query_class"].name in ("READ_ONLY", "UNKNOWN")
    if run.request.read_only and not read_only:
        raise Refused(164, "READONLY", "Cannot execute query in readonly mode: method GET reads only, use POST")


def _insert(run: _Run, insert: InlineInsert) -> Answer:
    """Store the rows of an INSERT. They reach the engine as a file of their format, never as text of a statement.

    A body that breaks off, or has bytes too many, is an error. As on a server, blocks before the fault may be stored.
    """
    if not insert.data:
        raise Refused(108, "NO_DATA_TO_INSERT", "No data to insert")
    if insert.selects:
        raise Refused(
            48, "NOT_IMPLEMENTED", "INSERT ... SELECT ... FORMAT with rows is not served; insert them as they are"
        )
    with tempfile.NamedTemporaryFile(dir=run.incoming) as file:
        file.write(insert.data)
        file.flush()
        source = f"{insert.target} FROM INFILE {quoted(file.name)} {insert.settings} FORMAT {insert.format}"
        result = run.connection.query(source, "Null", params=dict(run.request.parameters))
    return run.answer(b"", insert.format, result, result_rows=0)


def _query(run: _Run, statement: Statement) -> Answer:
    form = statement.format or run.request.default_format
    if form == "Native" and run.request.revision > 0:
        return _native(run, statement.text)
    result = run.connection.query(statement.text, form, params=dict(run.request.parameters))
    return run.answer(bytes(result.bytes()), form, result)


def _native(run: _Run, text: str) -> Answer:
    """Return the blocks as the client's protocol revision wants them; a streamed chunk is exactly one block."""
    revision = run.request.revision
    parameters = dict(run.request.parameters)
    try:
        stream = run.connection.send_query(text, "Native", params=parameters)
    except RuntimeError as error:
        if _NOT_STREAMED not in str(error):
            raise
        result = run.connection.query(text, "Native", params=parameters)
        return run.answer(_or_refused(many_blocks, bytes(result.bytes()), revision), "Native", result)
    blocks: list[bytes] = []
    first = chunk = run.connection.streaming_fetch_result(stream)  # the first one counts what was read for all of them
    rows = 0
    while chunk.rows_read() > 0:
        rows += int(chunk.rows_read())
        blocks.append(_or_refused(one_block, bytes(chunk.bytes()), revision))
        chunk = run.connection.streaming_fetch_result(stream)
    return run.answer(b"".join(blocks), "Native", first, result_rows=rows)


def _or_refused(rewrite: Any, blocks: bytes, revision: int) -> bytes:
    try:
        return bytes(rewrite(blocks, revision))
    except UnknownType as error:
        raise Refused(48, "NOT_IMPLEMENTED", str(error)) from error
