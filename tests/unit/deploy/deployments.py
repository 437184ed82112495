"""What each deployment says of a service: its Dockerfile, compose, and Kubernetes as kustomize renders it."""

from __future__ import annotations

import functools
import importlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from atlaskit.config import ServiceSettings

ROOT = Path(__file__).parents[3]
SERVICES = ("ingest", "query-router", "lag-monitor", "olap-sink", "gateway")
JOBS = ("keeper", "migrate")
ALL = (*SERVICES, *JOBS)
OVERLAYS = ("base", "overlays/dev", "overlays/prod", "overlays/operators")
OPERATED = ("overlays/dev", "overlays/operators")  # with stores that operators run
BESIDE = "overlays/observability"  # what is not ours, in a namespace of its own
PLACES = ("compose", *OVERLAYS)
SECRETS = "/run/secrets/atlas"


def settings_of(name: str) -> type[ServiceSettings]:
    """Return the class of a service's settings."""
    module = importlib.import_module(f"atlas_{name.replace('-', '_')}.settings")
    found: type[ServiceSettings] = module.Settings
    return found


def env_file(path: Path) -> dict[str, str]:
    """Return the variables of a file of NAME=value lines."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@functools.cache
def dockerfile(name: str) -> tuple[tuple[str, str], ...]:
    """Return the instructions of a Dockerfile, in order, each with what follows it on one line."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "services" / name / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return tuple((line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines)


@functools.cache
def compose() -> dict[str, Any]:
    """Return docker-compose.yml, its anchors resolved and its variables as they stand when nothing is set."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (ROOT / "docker-compose.yml").read_text())
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def compose_environment(name: str) -> dict[str, str]:
    """Return the variables of a service in docker-compose.yml."""
    service = compose()["services"][name]
    own = {key: "" if value is None else str(value) for key, value in service.get("environment", {}).items()}
    return {**env_file(ROOT / service["env_file"]), **own}


@functools.cache
def rendered(overlay: str) -> tuple[dict[str, Any], ...]:
    """Return the objects of a base or an overlay. Skips the test, and says so, where there is no kubectl."""
    tools = ROOT / "build" / "deploy" / "tools" / "bin"
    kubectl = shutil.which("kubectl", path=str(tools)) or shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl on this machine; `make check-deploy` brings one and runs this test")
    done = subprocess.run(
        [kubectl, "kustomize", str(ROOT / "k8s" / overlay)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return tuple(found for found in yaml.safe_load_all(done.stdout) if found)


def objects(overlay: str, kind: str) -> dict[str, dict[str, Any]]:
    """Return the objects of one kind by name."""
    return {each["metadata"]["name"]: each for each in rendered(overlay) if each["kind"] == kind}


def pod_of(overlay: str, name: str) -> dict[str, Any]:
    """Return the pod's spec of a service or job."""
    if name == "keeper":
        spec = objects(overlay, "CronJob")[name]["spec"]["jobTemplate"]["spec"]
    else:
        spec = objects(overlay, "Job" if name == "migrate" else "Deployment")[name]["spec"]
    found: dict[str, Any] = spec["template"]["spec"]
    return found


def pod_environment(overlay: str, name: str) -> dict[str, str]:
    """Return the variables that a pod's container gets."""
    [container] = pod_of(overlay, name)["containers"]
    assert container.keys() & {"env"} == set()
    maps = {found["metadata"]["name"]: found["data"] for found in rendered(overlay) if found["kind"] == "ConfigMap"}
    [source] = container["envFrom"]
    data: dict[str, str] = maps[source["configMapRef"]["name"]]
    return data


def compose_postgres() -> dict[str, str]:
    """Return the settings that PostgreSQL gets on its command line in docker-compose.yml."""
    command = compose()["services"]["postgres-primary"]["command"]
    return dict(argument.removeprefix("-c").split("=", 1) for argument in command[1:])


def environment(place: str, name: str) -> dict[str, str]:
    """Return the variables of a service in compose or in an overlay."""
    return compose_environment(name) if place == "compose" else pod_environment(place, name)


def port_of(name: str) -> int:
    """Return the port that a service is called at."""
    return _port(name, "ATLAS_ADDRESS")


def metrics_port_of(name: str) -> int:
    """Return the port that a service's metrics are read at."""
    return _port(name, "ATLAS_METRICS_ADDRESS")


def _port(name: str, variable: str) -> int:
    return int(env_file(ROOT / "k8s" / "base" / name / "settings.env")[variable].rpartition(":")[2])


def debezium() -> str:
    """Return the version of Debezium that the embedded stack runs."""
    lines = (ROOT / "libs/atlas_local/jars.lock").read_text()
    [version] = set(re.findall(r"debezium-connector-postgres[:\-](\d\S*?Final)", lines))
    return str(version)
