"""Who talks to Kafka does not run on uvloop (docs/decisions/0012-deaf-consumers.md)."""

import asyncio
import importlib
import tomllib
from pathlib import Path
from typing import Any

import pytest
import uvloop
from atlaskit.rpc import process

ROOT = Path(__file__).parents[3]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
SERVICES = ("ingest", "query-router", "lag-monitor", "olap-sink", "gateway")  # the jobs run on asyncio.run


@pytest.mark.parametrize("service", SERVICES)
def test_the_loop_of_a_service_suits_its_drivers(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []

    def runner(*, loop_factory: Any) -> None:
        taken.append(loop_factory)
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "Runner", runner)
    monkeypatch.setattr(process, "load", lambda *_: type("Any", (), {"log_level": "info"})())
    monkeypatch.setattr(process, "configure_logs", lambda *_: None)
    monkeypatch.setattr("sys.argv", [service])
    with pytest.raises(KeyboardInterrupt):
        importlib.import_module(f"atlas_{service.replace('-', '_')}.__main__").main()
    kafka = any(needed.startswith("aiokafka") for needed in EXTRAS[service])
    assert taken == [asyncio.new_event_loop if kafka else uvloop.new_event_loop]
