"""The objects that operators read are checked by the operators' own definitions, which lie in the repository."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
import yaml
from unit.deploy.deployments import ROOT

CHECKS = ROOT / "infra" / "checks"
DEFINITIONS = CHECKS / "definitions"
PYTHON = ROOT / "build" / "deploy" / "tools" / "bin" / "python"
TLS = "mode: Terminate\n        certificateRefs: [{name: atlas-edge}]\n"
OURS = sorted((ROOT / "k8s" / "overlays").rglob("*.yaml"))
KINDS = {
    "ClickHouseInstallation",
    "Cluster",
    "Gateway",
    "GRPCRoute",
    "HTTPRoute",
    "Kafka",
    "KafkaConnect",
    "KafkaConnector",
    "KafkaNodePool",
    "OpenTelemetryCollector",
    "PodMonitor",
    "PrometheusRule",
    "ScaledObject",
}


def check(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the program of `make check-deploy`. Skips, and says so, where its environment is not made yet."""
    if not PYTHON.exists():
        pytest.skip("no environment of the deployments' validators; `make check-deploy` makes it and runs this test")
    command = [str(word) for word in (PYTHON, CHECKS / "custom_resources.py", *arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def changed(tmp_path: Path, file: str, old: str, new: str) -> Path:
    text = (ROOT / "k8s" / "overlays" / file).read_text()
    assert text.count(old) == 1
    (tmp_path / "changed.yaml").write_text(text.replace(old, new))
    return tmp_path / "changed.yaml"


def test_every_object_of_an_operators_kind_is_valid_by_the_operators_definition() -> None:
    done = check(*OURS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"objects of {len(KINDS)} kinds by their schemas and 158 rules in CEL" in done.stdout
    assert "not used" not in done.stdout


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("operators/postgres.yaml", "dataDurability", "dataDurabilty", "dataDurabilty"),
        ("operators/postgres.yaml", "instances: 3", "instances: three", "'three' is not of type 'integer'"),
        ("operators/kafka.yaml", "deleteClaim", "deleteclaim", "deleteclaim"),
        ("operators/connect.yaml", "tasksMax: 1", "taskMax: 1", "taskMax"),
        ("operators/kafka.yaml", "type: internal", "type: intern", "'intern' is not one of"),
        ("operators/clickhouse.yaml", "dataVolumeClaimTemplate", "dataVolumeClaim", "dataVolumeClaim"),
        ("observability/collector.yaml", "mode: deployment", "mode: deploy", "'deploy' is not one of"),
        ("operators/connect.yaml", "  groupId: atlas-connect\n", "", "'groupId' is a required property"),
        ("prod/keda.yaml", "cooldownPeriod", "coolDownPeriod", "coolDownPeriod"),
        ("prod/monitoring.yaml", "podMetricsEndpoints", "podMetricEndpoints", "podMetricEndpoints"),
        ("prod/routes.yaml", "mode: Terminate", "mode: Passthrough", "tls mode must be Terminate for protocol HTTPS"),
        # The mode is Terminate unless it is set: what is not written counts as an API server fills it in.
        ("prod/routes.yaml", TLS, "options: {}\n", "certificateRefs or options must be specified"),
        ("prod/routes.yaml", "service: atlas.query", "serviceName: atlas.query", "serviceName"),
    ],
)
def test_a_field_that_the_definition_does_not_know_or_allow_is_found(
    tmp_path: Path, file: str, old: str, new: str, said: str
) -> None:
    done = check(changed(tmp_path, file, old, new))
    assert done.returncode == 1, done.stdout
    assert said in done.stdout


def test_a_kind_without_a_definition_is_found(tmp_path: Path) -> None:
    done = check(changed(tmp_path, "prod/keda.yaml", "kind: ScaledObject", "kind: ScaledObjects"))
    assert done.returncode == 1
    assert "keda.sh/v1alpha1 ScaledObjects: no definition of this kind" in done.stdout
    done = check(changed(tmp_path, "prod/keda.yaml", "keda.sh/v1alpha1", "keda.sh/v2"))
    assert "keda.sh/v2 ScaledObject: no definition of this kind" in done.stdout


def test_a_check_that_finds_nothing_to_check_has_failed(tmp_path: Path) -> None:
    (tmp_path / "none.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: atlas}\n")
    assert check(tmp_path / "none.yaml").returncode == 1


def test_a_definition_that_is_named_goes_before_ours(tmp_path: Path) -> None:
    own = json.loads((DEFINITIONS / "keda" / "ScaledObject.json").read_text())
    spec = own["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del spec["properties"]["cooldownPeriod"]
    (tmp_path / "newer.yaml").write_text(yaml.safe_dump(own))
    done = check("--also", tmp_path, ROOT / "k8s" / "overlays" / "prod" / "keda.yaml")
    assert done.returncode == 1
    assert "cooldownPeriod" in done.stdout


def test_the_definitions_are_those_of_the_kinds_that_we_write_and_say_where_they_come_from() -> None:
    files = sorted(DEFINITIONS.rglob("*.json"))
    assert {file.stem for file in files} == KINDS
    assert sum(file.stat().st_size for file in files) < 600_000
    readme = (DEFINITIONS / "README.md").read_text()
    for file in files:
        made = json.loads(file.read_text())
        told = made["metadata"]["annotations"]
        assert made["spec"]["names"]["kind"] == file.stem
        assert told["origin"].removeprefix("https://") in readme
        assert told["release"] in readme
        assert len(told["commit"]) == 40
        assert len(told["sha256"]) == hashlib.sha256().digest_size * 2
        assert told["licence"].startswith("Apache-2.0")
    assert (DEFINITIONS / "LICENSE").read_text().lstrip().startswith("Apache License")


def test_a_schema_is_reduced_by_what_is_for_people_alone() -> None:
    for file in DEFINITIONS.rglob("*.json"):
        [version] = json.loads(file.read_text())["spec"]["versions"]
        schema = version["schema"]["openAPIV3Schema"]
        assert "status" not in schema["properties"]
        assert "spec" in schema["properties"]
        assert '"description":"' not in file.read_text()
