"""What keeps the connectors of a Kafka Connect running: one that failed is restarted, ever less often."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import httpx

from atlaskit.restarts import Past

EVERY = 1.0  # seconds between two looks
_ANSWER_SECONDS = 10.0


def failures_of(status: Mapping[str, Any]) -> list[str]:
    """Return what has failed in a connector's status, each as 'task 0: why'; empty when nothing has."""
    parts = [("connector", status["connector"]), *((f"task {task['id']}", task) for task in status["tasks"])]
    return [f"{name}: {_reason(part.get('trace', ''))}" for name, part in parts if part["state"] == "FAILED"]


def _reason(trace: str) -> str:
    """Return the first line of a stack trace and those of its causes."""
    lines = trace.splitlines()
    return " ".join(lines[:1] + [line for line in lines if line.startswith("Caused by:")])


class Supervisor:
    """Looks at every connector of one Connect, restarts what failed, and says what it does."""

    def __init__(self, url: str, say: Callable[[str], object]) -> None:
        self._url = url
        self._say = say
        self._pasts: dict[str, Past] = {}

    async def watch(self) -> NoReturn:
        """Go on until cancelled. While Connect does not answer there is nothing to do and nothing is said."""
        async with httpx.AsyncClient(base_url=self._url, timeout=_ANSWER_SECONDS) as client:
            while True:
                # Connect is killed, starting or rebalancing; or a status was cut off on its way.
                with contextlib.suppress(httpx.HTTPError, OSError, ValueError, KeyError):
                    await self._look(client)
                await asyncio.sleep(EVERY)

    async def _look(self, client: httpx.AsyncClient) -> None:
        answer = (await client.get("/connectors", params={"expand": "status"})).raise_for_status()
        for name, known in answer.json().items():
            past, now = self._pasts.get(name, Past()), time.monotonic()
            failures = failures_of(known["status"])
            if not failures:
                self._pasts[name] = past.running(now)
            elif not past.pause(now):
                self._pasts[name] = past.restarted(now)
                await self._restart(client, name, failures, past.restarts + 1)

    async def _restart(self, client: httpx.AsyncClient, name: str, failures: list[str], number: int) -> None:
        for failure in failures:
            self._say(f"{name}: {failure}")
        asked = {"includeTasks": "true", "onlyFailed": "true"}
        answer = await client.post(f"/connectors/{name}/restart", params=asked)
        self._say(f"{name}: restart {number} was answered {answer.status_code}")


def lines_in(log: Path) -> Callable[[str], object]:
    """Return what appends a line, with its time, to this file."""

    def say(line: str) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as opened:
            opened.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {line}\n")

    return say


@asynccontextmanager
async def supervised(url: str, log: Path) -> AsyncIterator[None]:
    """Keep the connectors of the Connect at `url` running while the context is open; `log` gets what was done."""
    failed: BaseException | None = None
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(Supervisor(url, lines_in(log)).watch(), name="supervise-connectors")
        try:
            yield
        except BaseException as error:  # noqa: BLE001 - raised below: from inside it would come out as a group
            failed = error
        watching.cancel()
    if failed is not None:
        raise failed
