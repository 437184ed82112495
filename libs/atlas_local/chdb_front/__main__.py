"""Serve one data directory until SIGTERM or SIGINT: finish the running requests, close the engine, exit 0."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from atlas_local.chdb_front.app import Front, Limits
from atlas_local.chdb_front.engine import DataDirectoryInUse, Engine, open_engine

_DRAIN_SECONDS = 20


class _Server(uvicorn.Server):
    """uvicorn that ends by returning: its own handler raises the signal again, and the exit status would not be 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        self.should_exit = True


def main() -> int:
    """Run the front; return the exit status: 0 after a stop, 1 when it could not start."""
    options = _options()
    os.environ["TZ"] = "UTC"  # the engine takes its zone from the process; times on the wire are UTC
    time.tzset()
    password = options.password_file.read_text().strip() if options.password_file else None
    try:
        listener = socket.create_server((options.host, options.port), backlog=1024)
    except OSError as error:
        return _failed(f"cannot listen on {options.host}:{options.port}: {error.strerror}")
    try:
        with listener, open_engine(options.data, options.max_result_bytes) as engine:
            _serve(engine, Limits(options.max_running, options.max_body_bytes), password, listener)
    except DataDirectoryInUse as error:
        return _failed(str(error))
    return 0


def _serve(engine: Engine, limits: Limits, password: str | None, listener: socket.socket) -> None:
    front = Front(engine, limits, password)
    config = uvicorn.Config(
        front,
        lifespan="off",
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    sys.stdout.write(f"serving on {listener.getsockname()[0]}:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    try:
        _Server(config).run([listener])
    finally:
        front.close()


def _failed(text: str) -> int:
    sys.stderr.write(f"chdb_front: {text}\n")
    return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m atlas_local.chdb_front",
        description="ClickHouse's engine behind ClickHouse's HTTP protocol, for one machine: it has no users, no roles "
        "and no row policies, and whoever reaches the port can read its files. Keep it on a loopback address.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, required=True, help="port to listen on; 0 takes a free one and prints it")
    parser.add_argument("--data", type=Path, required=True, help="data directory, made if absent; one process each")
    parser.add_argument(
        "--max-running", type=int, default=32, help="statements at a time; more get 503 (default: %(default)s)"
    )
    parser.add_argument("--max-body-bytes", type=int, default=256 << 20, help="of one request (default: %(default)s)")
    parser.add_argument("--max-result-bytes", type=int, default=1 << 30, help="of one answer (default: %(default)s)")
    parser.add_argument(
        "--password-file", type=Path, help="file with the one password to ask for (default: none is asked)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
