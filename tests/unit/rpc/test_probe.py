"""The health check of the containers: what it says of a server that serves, that drains, and that is not there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from atlaskit.rpc.probe import main
from atlaskit.rpc.server import LIVENESS, READINESS, serving


async def test_a_server_that_drains_lives_and_is_not_ready() -> None:
    async with asyncio.TaskGroup() as group:
        draining = asyncio.Event()
        over = asyncio.Event()

        async def run() -> None:
            pause = timedelta(seconds=1)
            async with serving([], "127.0.0.1:0", probe_period=pause, draining=draining) as port:
                ports.set_result(port)
                await over.wait()

        ports: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        group.create_task(run())
        address = f"127.0.0.1:{await ports}"
        for name in ("", LIVENESS, READINESS):
            assert await asyncio.to_thread(main, [address, name]) == 0
        over.set()
        async with asyncio.timeout(5):
            while await asyncio.to_thread(main, [address, READINESS]) == 0:
                pass
        assert not draining.is_set()
        assert await asyncio.to_thread(main, [address, LIVENESS]) == 0
        assert await asyncio.to_thread(main, [address]) == 1


@contextmanager
def http_server(status: int) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's own name
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/readyz"
        server.shutdown()


@pytest.mark.parametrize(("status", "told"), [(200, 0), (503, 1)])
def test_an_http_server_is_healthy_when_it_answers_without_an_error(status: int, told: int) -> None:
    with http_server(status) as url:
        assert main([url]) == told
    assert main([url]) == 1
