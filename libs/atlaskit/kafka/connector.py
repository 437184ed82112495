"""The one description of the change stream, and how it is given to a Kafka Connect."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from string import Template

import httpx

from atlaskit.errors import Unavailable

CONNECTOR = "atlas-postgres"
CDC_ROLE = "atlas_debezium"
_NOT_YET = frozenset({404, 409, 503})  # resources not registered yet, or a rebalance
_POLL = 0.1  # seconds between two looks at a connector's state


def template() -> str:
    """Return the text of infra/debezium/connector.json: from the wheel, or from the checkout in an editable install."""
    in_wheel = Path(__file__).with_name("connector.json")
    in_checkout = Path(__file__).parents[3] / "infra" / "debezium" / "connector.json"
    return (in_wheel if in_wheel.exists() else in_checkout).read_text("utf-8")


def render(text: str, values: Mapping[str, str]) -> dict[str, str]:
    """Return the connector's settings with every ${name} filled in. Raises KeyError for a name without a value."""
    settings: dict[str, str] = json.loads(text)
    return {key: Template(value).substitute(values) for key, value in settings.items() if not key.startswith("//")}


async def register(url: str, settings: Mapping[str, str], limit: timedelta, name: str = CONNECTOR) -> None:
    """Create the connector at the Connect of this URL, or change it, and return when its task runs.

    Connect may still be starting. Raises Unavailable with what it or the task said, at the latest after `limit`.
    """
    said = "nothing"
    try:
        async with asyncio.timeout(limit.total_seconds()), httpx.AsyncClient(base_url=url, timeout=10.0) as client:
            while said != "RUNNING":
                try:
                    said = await _put_and_look(client, name, settings)
                except httpx.TransportError as error:
                    said = repr(error)
                await asyncio.sleep(_POLL)
    except TimeoutError:
        raise Unavailable(f"connector {name} did not run within {limit}: {said}") from None


async def _put_and_look(client: httpx.AsyncClient, name: str, settings: Mapping[str, str]) -> str:
    put = await client.put(f"/connectors/{name}/config", json=dict(settings))
    if put.is_error and put.status_code not in _NOT_YET:
        raise Unavailable(f"Connect refused connector {name}: {put.text[:1000]}")
    state = "PENDING"
    while put.is_success and state == "PENDING":  # the caller's timeout ends it
        await asyncio.sleep(_POLL)
        answer = await client.get(f"/connectors/{name}/status")
        state = "PENDING" if answer.is_error else state_of(answer.json())
        if state == "FAILED":
            raise Unavailable(f"connector {name} failed: {answer.text[:1500]}")
    return state if put.is_success else f"status {put.status_code}"


def state_of(status: Mapping[str, object]) -> str:
    """Return FAILED if the connector or a task of it has, RUNNING once it and every task run, PENDING otherwise.

    >>> state_of({"connector": {"state": "RUNNING"}, "tasks": []})
    'PENDING'
    """
    tasks = status["tasks"]
    assert isinstance(tasks, list)
    states = [part["state"] for part in (status["connector"], *tasks)]
    if "FAILED" in states:
        return "FAILED"
    return "RUNNING" if tasks and set(states) == {"RUNNING"} else "PENDING"
