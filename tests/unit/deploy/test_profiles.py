"""The profiles of docker-compose.yml: their variables, and the hosts and ports that their files name."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from atlas_migrate import words
from unit.deploy.deployments import (
    ROOT,
    SERVICES,
    compose,
    env_file,
    metrics_port_of,
    port_of,
)

FOLDER = ROOT / "infra" / "compose"
PROFILES = ("faults", "observability")
# Where an image listens of which neither compose nor its health check tells the port: by the image's own documentation.
IMAGES = {"postgres-primary": {5432}, "jaeger": {4317, 8888}}


def text() -> str:
    """Return docker-compose.yml with its variables as they are written."""
    return (ROOT / "docker-compose.yml").read_text()


def variables(profile: str) -> dict[str, str]:
    """Return what the file of a profile sets, but which profile it is for."""
    return {key: value for key, value in env_file(FOLDER / f"{profile}.env").items() if key != "COMPOSE_PROFILES"}


def proxies() -> dict[int, str]:
    """Return where each port of the proxy leads."""
    return {int(each["listen"].rpartition(":")[2]): each["upstream"] for each in json.loads(read("faults.json"))}


def read(name: str) -> str:
    """Return the text of a file of compose's folder."""
    return (FOLDER / name).read_text()


def listened(name: str) -> set[int]:
    """Return the ports that a service of docker-compose.yml listens on, as far as something tells."""
    service = compose()["services"][name]
    told = re.findall(r"127\.0\.0\.1:(?:\d+:)?(\d+)", f"{service.get('ports')} {service.get('healthcheck')}")
    ports = {int(port) for port in told} | IMAGES.get(name, set())
    if name in SERVICES:
        ports |= {port_of(name), metrics_port_of(name)}
    if name == "faults":
        ports |= proxies().keys()
    if name == "clickhouse":
        ports.add(yaml.safe_load(read("clickhouse/metrics.yaml"))["prometheus"]["port"])
    return ports


def assert_listened(address: str) -> None:
    """Fail unless host:port is a service of docker-compose.yml and a port that it listens on."""
    host, _, port = address.rpartition(":")
    assert host in compose()["services"], address
    assert int(port) in listened(host), address


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profiles_file_names_a_profile_and_variables_that_compose_reads(profile: str) -> None:
    assert {file.stem for file in FOLDER.glob("*.env")} == set(PROFILES)
    assert env_file(FOLDER / f"{profile}.env")["COMPOSE_PROFILES"] == profile
    assert [service for service in compose()["services"].values() if service.get("profiles") == [profile]]
    assert variables(profile)
    assert [name for name in variables(profile) if f"${{{name}:-" not in text()] == []


def test_what_prometheus_asks_is_a_service_and_a_port_that_it_listens_on() -> None:
    jobs: list[dict[str, Any]] = yaml.safe_load(read("prometheus.yaml"))["scrape_configs"]
    targets = [target for job in jobs for each in job["static_configs"] for target in each["targets"]]
    assert len(targets) == len(jobs) > len(SERVICES)
    for target in targets:
        assert_listened(target.replace("localhost:", "prometheus:"))


def test_spans_go_to_a_port_that_is_listened_on() -> None:
    assert_listened(variables("observability")["ATLAS_OTLP_ENDPOINT"].removeprefix("http://"))


def test_a_proxy_leads_to_what_is_called_without_it() -> None:
    port = int(words.Places().primary.rpartition(":")[2])
    usual = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", text()))
    led = {}
    for name, value in variables("faults").items():
        host, _, own = value.partition(":")
        assert host == "faults"
        led[name] = proxies()[int(own or port)]
        assert led[name] == (usual[name].removeprefix("dns:///") + ("" if own else f":{port}"))
        assert_listened(led[name])
    assert sorted(led.values()) == sorted(proxies().values())


def test_who_calls_through_the_proxy_waits_until_it_is_started() -> None:
    services: dict[str, dict[str, Any]] = yaml.safe_load(text())["services"]
    told = {key for key, each in services.items() if any(f"${{{name}:-" in str(each) for name in variables("faults"))}
    calling = told - {"migrate"} | {"connect"}  # the job tells Connect the address and does not call it
    waiting = {key for key, each in services.items() if "faults" in each.get("depends_on", {})}
    assert waiting == calling
    for name in waiting:
        assert services[name]["depends_on"]["faults"] == {"condition": "service_started", "required": False}
