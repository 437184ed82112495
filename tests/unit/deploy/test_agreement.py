"""Compose, Kubernetes, Dockerfiles and settings agree on names, ports, probes, variables, topics, slot and secrets."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from atlas_local.connect import worker_settings
from atlas_local.postgres import PostgresTuning, server_settings
from atlas_migrate import words
from atlaskit.config import load, parse_span, variable_of
from atlaskit.kafka.connector import template
from atlaskit.kafka.topics import TOPICS
from images.built import BUILD_STEP, CONTEXT
from unit.deploy.deployments import (
    ALL,
    JOBS,
    OVERLAYS,
    PLACES,
    ROOT,
    SECRETS,
    SERVICES,
    compose,
    compose_postgres,
    debezium,
    dockerfile,
    environment,
    metrics_port_of,
    objects,
    pod_of,
    port_of,
    settings_of,
)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ALL)
def test_a_deployment_sets_what_the_service_needs_and_nothing_that_it_does_not_know(
    place: str, name: str, tmp_path: Path
) -> None:
    words.write(tmp_path, words.Places())
    found = {key: text.replace(SECRETS, str(tmp_path / name)) for key, text in environment(place, name).items()}
    settings = settings_of(name)
    known = {variable_of(field) for field in settings.model_fields}
    assert {key for key in found if key not in known and key.removesuffix("_FILE") not in known} == set()
    loaded = load(settings, found)  # it names what is required and not set, and what is no value
    assert loaded.address == found.get("ATLAS_ADDRESS", loaded.address)


@pytest.mark.parametrize("place", PLACES)
def test_every_secret_that_is_named_is_made_and_every_one_that_is_made_is_read(place: str) -> None:
    made = words.files_of(dict.fromkeys((*words.ROLES, *words.OTHERS), "word"), words.Places())
    for name in ALL:
        named = {text for text in environment(place, name).values() if text.startswith(f"{SECRETS}/")}
        files = {f"{SECRETS}/{file}" for file in made.get(name, {}) if file not in words.ROLES}
        assert named == files, name


@pytest.mark.parametrize("name", ALL)
def test_secrets_are_mounted_where_the_settings_look(name: str) -> None:
    has_secrets = any(text.startswith(SECRETS) for text in environment("compose", name).values())
    volumes = compose()["services"][name].get("volumes", [])
    assert volumes == ([f"secrets-{name}:{SECRETS}:ro"] if has_secrets else [])
    if has_secrets:
        assert f"secrets-{name}:/secrets/{name}" in compose()["services"]["secrets"]["volumes"]
    for overlay in OVERLAYS:
        pod = pod_of(overlay, name)
        [container] = pod["containers"]
        mounted = [mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == SECRETS]
        named = [volume["secret"]["secretName"] for volume in pod["volumes"] if volume["name"] in mounted]
        assert named == ([name] if has_secrets else [])


@pytest.mark.parametrize("name", SERVICES)
def test_a_port_is_the_same_everywhere(name: str) -> None:
    port = port_of(name)
    instructions = dict(dockerfile(name))
    assert instructions["EXPOSE"] == f"{port} {metrics_port_of(name)}"
    assert ("ENV", f"ATLAS_ADDRESS=0.0.0.0:{port}") in dockerfile(name)
    assert re.findall(r"127\.0\.0\.1:(\d+)", instructions["HEALTHCHECK"]) == [str(port)]
    assert compose()["services"][name].get("ports", []) in ([], [f"127.0.0.1:{port}:{port}"])
    for overlay in OVERLAYS:
        [container] = pod_of(overlay, name)["containers"]
        opened = {one["name"]: one["containerPort"] for one in container["ports"]}
        [served] = objects(overlay, "Service")[name]["spec"]["ports"]
        assert opened == {served["targetPort"]: port, "metrics": metrics_port_of(name)}
        assert served["port"] == port


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("name", SERVICES)
def test_probes_ask_for_liveness_and_readiness_apart(overlay: str, name: str) -> None:
    [container] = pod_of(overlay, name)["containers"]
    live, ready, start = (container[f"{kind}Probe"] for kind in ("liveness", "readiness", "startup"))
    if name == "gateway":
        assert [probe["httpGet"]["path"] for probe in (live, ready, start)] == ["/healthz", "/readyz", "/readyz"]
        assert dict(dockerfile(name))["HEALTHCHECK"].endswith('/readyz"]')
    else:
        port = port_of(name)
        assert live["grpc"] == {"port": port, "service": "liveness"}
        assert ready["grpc"] == start["grpc"] == {"port": port, "service": "readiness"}
        assert dict(dockerfile(name))["HEALTHCHECK"].endswith('"readiness"]')


def test_the_names_of_services_are_the_same_everywhere() -> None:
    assert {folder.name for folder in (ROOT / "services").iterdir() if folder.is_dir()} == set(ALL)
    assert {file.parent.name for file in (ROOT / "services").glob("*/Dockerfile")} == set(ALL)
    assert {file.stem for file in (ROOT / "requirements" / "images").iterdir()} == set(ALL)
    assert {name for name in compose()["services"] if name in ALL} == set(ALL)
    for overlay in OVERLAYS:
        made = {**objects(overlay, "Deployment"), **objects(overlay, "Job"), **objects(overlay, "CronJob")}
        assert made.keys() == set(ALL)
        assert objects(overlay, "ServiceAccount").keys() == set(ALL)
    [line] = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("IMAGES :=")]
    assert set(line.split()[2:]) == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_an_image_is_built_by_the_scripts_that_the_tests_run(name: str) -> None:
    runs = [re.sub(r"^--mount=\S+ ", "", text) for instruction, text in dockerfile(name) if instruction == "RUN"]
    assert runs == [
        BUILD_STEP,
        "infra/images/wheels.sh /wheels",
        f"infra/images/install.sh {name} /opt/atlas /wheels",
    ]
    assert [text for instruction, text in dockerfile(name) if instruction == "ENTRYPOINT"] == [
        f'["/opt/atlas/bin/atlas-{name}"]'
    ]
    assert [text for instruction, text in dockerfile(name) if instruction == "USER"] == ["10001:10001"]
    [base] = {text for instruction, text in dockerfile(name) if instruction == "ARG"}
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.11\S*@sha256:[0-9a-f]{64}", base)
    assert compose()["x-build"]["args"]["PYTHON_IMAGE"] == base.partition("=")[2]
    assert compose()["services"][name]["build"]["dockerfile"] == f"services/{name}/Dockerfile"


def test_an_images_build_sees_what_the_tests_copy_for_it() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert [line.removeprefix("!") for line in lines if line.startswith("!")] == list(CONTEXT)
    assert lines[1 + len(CONTEXT) :] == ["libs/contracts/atlas", "**/__pycache__", "**/*.egg-info"]


def calls(place: str) -> set[tuple[str, str]]:
    """Return who is told the address of which service, and check that the address has that service's port."""
    told = set()
    for name in SERVICES:
        for text in environment(place, name).values():
            host, _, port = text.removeprefix("dns:///").rpartition(":")
            if host in ALL:
                assert int(port) == port_of(host), (name, text)
                told.add((name, host))
    return told


def test_services_call_one_another_at_the_same_addresses_everywhere() -> None:
    wanted = {("ingest", "query-router"), ("query-router", "lag-monitor"), ("gateway", "query-router")}
    assert {place: calls(place) for place in PLACES} == dict.fromkeys(PLACES, wanted)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_network_policies_let_through_the_calls_that_are_made_and_no_others(overlay: str) -> None:
    policies = objects(overlay, "NetworkPolicy")
    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    out: set[tuple[str, str]] = set()
    into: set[tuple[str, str]] = set()
    for name in SERVICES:
        spec = policies.get(name, {"spec": {}})["spec"]
        for rule in spec.get("egress", []):
            out |= {(name, other) for other in named(rule["to"])}
            assert {port["port"] for port in rule["ports"]} == {port_of(other) for other in named(rule["to"])}
        for rule in spec.get("ingress", []):
            into |= {(other, name) for other in named(rule["from"])}
            assert [port["port"] for port in rule["ports"]] == [port_of(name)]
    assert out == into == calls(overlay)


def named(peers: list[dict[str, Any]]) -> set[str]:
    labels = [peer.get("podSelector", {}).get("matchLabels", {}) for peer in peers]
    return {label["app.kubernetes.io/name"] for label in labels if "app.kubernetes.io/name" in label}


def test_network_policies_let_each_service_reach_the_stores_that_its_settings_name() -> None:
    variables = {"postgres": "POSTGRES_DSN", "kafka": "KAFKA_BOOTSTRAP", "clickhouse": "CLICKHOUSE_URL"}
    ports = {"postgres": 5432, "kafka": 9092, "clickhouse": 8123}
    for store, variable in variables.items():
        spec = objects("base", "NetworkPolicy")[f"to-{store}"]["spec"]
        [who] = spec["podSelector"]["matchExpressions"]
        assert set(who["values"]) == {
            name for name in ALL if any(key.startswith(f"ATLAS_{variable}") for key in environment("base", name))
        }
        assert [port["port"] for rule in spec["egress"] for port in rule["ports"]] == [ports[store]]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_may_drain_before_it_is_killed(place: str, name: str) -> None:
    found = environment(place, name)
    wanted = parse_span(found["ATLAS_DRAIN"]) + parse_span(found["ATLAS_PROBE_PERIOD"])  # type: ignore[operator]
    if place == "compose":
        grace = parse_span(compose()["services"][name]["stop_grace_period"])
    else:
        grace = timedelta(seconds=pod_of(place, name)["terminationGracePeriodSeconds"])
    assert isinstance(grace, timedelta)
    assert grace > wanted


def test_composes_worker_is_set_up_like_the_embedded_one() -> None:
    service = compose()["services"]["connect"]
    found, wanted = service["environment"], worker_settings("kafka:9092", 8083, Path("/p"))
    plain = {"bootstrap.servers", "group.id", "config.storage.topic", "offset.storage.topic", "status.storage.topic"}
    for key in (*plain, "key.converter", "value.converter"):
        assert found[key.upper().replace(".", "_")] == wanted[key], key
    for key in ("exactly.once.source.support", "key.converter.schemas.enable", "value.converter.schemas.enable"):
        assert found[f"CONNECT_{key.upper().replace('.', '_')}"] == wanted[key], key
    assert service["image"].endswith(f":{debezium()}")


def test_slot_publication_topics_and_group_have_one_name() -> None:
    connector: dict[str, str] = json.loads(template())
    names = {topic.name for topic in TOPICS}
    for place in PLACES:
        monitor, sink = environment(place, "lag-monitor"), environment(place, "olap-sink")
        assert monitor["ATLAS_SLOT"] == connector["slot.name"]
        assert monitor["ATLAS_PUBLICATION"] == connector["publication.name"]
        assert sink["ATLAS_KAFKA_BOOTSTRAP"] == monitor["ATLAS_KAFKA_BOOTSTRAP"] == "kafka:9092"
    scaled = objects("overlays/prod", "ScaledObject")["olap-sink"]
    [trigger] = scaled["spec"]["triggers"]
    assert trigger["metadata"]["topic"] in names
    host, port = environment("overlays/prod", "olap-sink")["ATLAS_KAFKA_BOOTSTRAP"].split(":")
    full = f"{host}.{scaled['metadata']['namespace']}.svc.cluster.local:{port}"  # KEDA asks from a namespace of its own
    assert trigger["metadata"]["bootstrapServers"] == full
    assert trigger["metadata"]["consumerGroup"] == environment("overlays/prod", "olap-sink")["ATLAS_KAFKA_GROUP"]
    assert environment("overlays/prod", "olap-sink")["ATLAS_SHARE"] == "true"
    [partitions] = {topic.partitions for topic in TOPICS if topic.name == trigger["metadata"]["topic"]}
    assert scaled["spec"]["maxReplicaCount"] <= partitions


def test_composes_postgres_is_set_up_like_the_embedded_one() -> None:
    found = compose_postgres()
    wanted = server_settings(PostgresTuning(), 5432, Path("/p"), 5432)
    assert {key: wanted.get(key) for key in found} == found
    assert found["wal_level"] == "logical"
    services = compose()["services"]
    assert services["postgres-replica"]["command"] == services["postgres-primary"]["command"]


def test_where_several_copies_must_agree_a_mode_is_set_for_all() -> None:
    for place in PLACES:
        modes = {environment(place, name).get("ATLAS_PRIMARY_MODE", "single") for name in ("ingest", "lag-monitor")}
        assert len(modes) == 1, place


def test_a_disruption_budget_stands_where_there_is_more_than_one_pod_and_nowhere_else() -> None:
    scalers = objects("overlays/prod", "HorizontalPodAutoscaler") | objects("overlays/prod", "ScaledObject")
    specs = {name: scaler["spec"] for name, scaler in scalers.items()}
    least = {name: spec.get("minReplicas", spec.get("minReplicaCount")) for name, spec in specs.items()}
    several = {name for name, pods in least.items() if pods > 1}
    assert several == set(SERVICES) - {"lag-monitor"}
    assert objects("overlays/prod", "PodDisruptionBudget").keys() == several


def test_jobs_are_images_without_a_health_check() -> None:
    for name in JOBS:
        assert dict(dockerfile(name))["HEALTHCHECK"] == "NONE"
