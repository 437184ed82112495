"""What stands beside the services in a cluster: operators' stores, the edge, the collector, the subnets of AWS."""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from atlas_local.connect import worker_settings
from atlas_migrate import words
from atlaskit.kafka.connector import CONNECTOR, render, template
from unit.deploy.deployments import (
    BESIDE,
    OPERATED,
    ROOT,
    compose,
    compose_postgres,
    debezium,
    environment,
    metrics_port_of,
    objects,
    port_of,
)

STORES = {"postgres", "kafka", "clickhouse"}
VALUES = {
    "database_host": "postgres-primary",
    "database_port": "5432",
    "database_user": "atlas_debezium",
    "database_password": "${dir:/mnt/atlas:atlas_debezium}",
    "database_name": "atlas_telemetry",
    "unavailable_value_placeholder": "${dir:/mnt/atlas:unavailable_value_placeholder}",
}


@pytest.mark.parametrize("overlay", OPERATED)
def test_strimzis_connector_has_the_settings_of_the_one_description(overlay: str) -> None:
    connector = objects(overlay, "KafkaConnector")[CONNECTOR]["spec"]
    sent = {**connector["config"], "connector.class": connector["class"], "tasks.max": str(connector["tasksMax"])}
    assert sent == render(template(), VALUES)
    assert connector["autoRestart"] == {"enabled": True}
    connect = objects(overlay, "KafkaConnect")["atlas"]["spec"]
    assert "build" not in connect  # it needs root, which the namespace refuses
    config = {key: str(value).lower() for key, value in connect["config"].items()}
    wanted = worker_settings("h:1", 1, Path("/p"))
    for key in ("exactly.once.source.support", "key.converter.schemas.enable", "offset.flush.interval.ms"):
        assert config[key] == wanted[key], key
    assert connect["image"].endswith(f"/connect:{debezium()}")
    image = (ROOT / "infra" / "debezium" / "Dockerfile").read_text()
    assert f"debezium-connector-postgres-{debezium()}-plugin.tar.gz" in image
    assert f"-kafka-{connect['version']}\n" in image


@pytest.mark.parametrize("overlay", OPERATED)
def test_strimzis_workers_keep_their_state_under_the_names_of_the_embedded_one(overlay: str) -> None:
    connect = objects(overlay, "KafkaConnect")["atlas"]["spec"]
    wanted = worker_settings(environment(overlay, "migrate")["ATLAS_KAFKA_BOOTSTRAP"], 1, Path("/p"))
    names = {
        "bootstrap.servers": "bootstrapServers",
        "group.id": "groupId",
        "config.storage.topic": "configStorageTopic",
        "offset.storage.topic": "offsetStorageTopic",
        "status.storage.topic": "statusStorageTopic",
    }
    assert {key: connect[name] for key, name in names.items()} == {key: wanted[key] for key in names}


@pytest.mark.parametrize("overlay", OPERATED)
def test_the_operators_postgres_is_set_up_like_composes(overlay: str) -> None:
    found = objects(overlay, "Cluster")["atlas-postgres"]["spec"]["postgresql"]["parameters"]
    wanted = compose_postgres()
    sizes = {"shared_buffers", "max_wal_size", "max_slot_wal_keep_size"}  # the machine's
    numbers = {"max_connections", "max_wal_senders", "max_replication_slots"}
    refused = {"shared_preload_libraries"}  # the operator loads what a setting of an extension's own needs
    same = wanted.keys() - sizes - numbers - refused
    assert {key: found.get(key) for key in same} == {key: wanted[key] for key in same}
    assert {key for key in numbers if int(found[key]) < int(wanted[key])} == set()
    assert found.keys() >= sizes
    assert found.keys() & refused == set()
    assert {key.partition(".")[0] for key in found if "." in key} == {wanted["shared_preload_libraries"]}


def test_the_edge_leads_to_services_and_ports_that_there_are() -> None:
    routes = [*objects("overlays/prod", "GRPCRoute").values(), *objects("overlays/prod", "HTTPRoute").values()]
    backends = {
        (b["name"], b["port"]) for route in routes for rule in route["spec"]["rules"] for b in rule["backendRefs"]
    }
    assert backends == {(name, port_of(name)) for name in ("ingest", "query-router", "gateway")}


def test_every_service_of_the_contracts_that_is_not_internal_is_reached_at_the_edge() -> None:
    described = re.compile(r"^package (\S+);.*?$|^service (\w+) \{$", re.MULTILINE)
    offered = set()
    for file in (ROOT / "protos").rglob("*.proto"):
        found = described.findall(file.read_text())
        packages = [package for package, _ in found if package]
        offered |= {f"{packages[0]}.{service}" for _, service in found if service}
    routed = {
        match["method"]["service"]
        for route in objects("overlays/prod", "GRPCRoute").values()
        for rule in route["spec"]["rules"]
        for match in rule["matches"]
    }
    assert routed == offered - {"atlas.lag.v1.LagService"} | {"grpc.health.v1.Health"}


def test_in_production_pods_reach_the_subnets_of_the_stores_by_terraform_and_no_others() -> None:
    variables = (ROOT / "infra/terraform/variables.tf").read_text()
    network = (ROOT / "infra/terraform/modules/network/main.tf").read_text()
    [vpc] = re.findall(r'variable "vpc_cidr".*?default\s+= "(\S+)"', variables, re.DOTALL)
    pattern = r"(\w+)_cidrs\s+= \[for i in range\(var.az_count\) : cidrsubnet\(var.cidr, (\d), i( \+ \d)?\)\]"
    subnets = {
        name: [list(IPv4Network(vpc).subnets(int(bits)))[i + int(first.strip(" +") or 0)] for i in range(4)]
        for name, bits, first in re.findall(pattern, network)
    }
    assert subnets.keys() == {"private", "database", "public"}
    for store in STORES:
        [rule] = objects("overlays/prod", "NetworkPolicy")[f"to-{store}"]["spec"]["egress"]
        [block] = [IPv4Network(peer["ipBlock"]["cidr"]) for peer in rule["to"]]
        assert list(block.subnets(new_prefix=subnets["database"][0].prefixlen)) == subnets["database"]


@pytest.mark.parametrize("overlay", OPERATED)
def test_the_operators_pods_carry_the_labels_by_which_network_policies_know_them(overlay: str) -> None:
    label = "atlas.telemetry/store"
    postgres = objects(overlay, "Cluster")["atlas-postgres"]["spec"]["inheritedMetadata"]["labels"][label]
    kafka = objects(overlay, "KafkaNodePool")["all"]["spec"]["template"]["pod"]["metadata"]["labels"][label]
    [server] = objects(overlay, "ClickHouseInstallation")["atlas"]["spec"]["templates"]["podTemplates"]
    assert {postgres, kafka, server["metadata"]["labels"][label]} == STORES
    called = {service["metadata"]["name"] for service in objects(overlay, "Service").values()}
    assert called >= {"postgres-primary", "postgres-replica", "kafka", "clickhouse"}


@pytest.mark.parametrize("overlay", OPERATED)
def test_clickhouse_by_its_operator_has_composes_image_the_user_of_the_url_and_a_pod_that_the_namespace_lets_in(
    overlay: str,
) -> None:
    spec = objects(overlay, "ClickHouseInstallation")["atlas"]["spec"]
    made = words.files_of(dict.fromkeys((*words.ROLES, *words.OTHERS), "word"), words.Places())["clickhouse"]
    namespace, secret, key = spec["configuration"]["users"]["atlas/k8s_secret_password_sha256_hex"].split("/")
    assert (namespace, secret) == ("atlas", "clickhouse")
    assert made[key] in made["users.yaml"]
    [template] = spec["templates"]["podTemplates"]
    [container] = template["spec"]["containers"]
    image = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", compose()["services"]["clickhouse"]["image"])
    assert container["image"] == image
    assert template["spec"]["securityContext"]["runAsNonRoot"] is True
    assert template["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def test_the_collector_reads_the_metric_of_the_alarms_and_writes_it_where_terraform_looks() -> None:
    collector = objects(BESIDE, "OpenTelemetryCollector")["otel"]["spec"]
    emf = collector["config"]["exporters"]["awsemf"]
    alarms = (ROOT / "infra/terraform/modules/freshness/main.tf").read_text()
    assert f'name              = "{emf["log_group_name"].replace("atlas-prod", "${var.name}")}"' in alarms
    assert f'namespace           = "{emf["namespace"].replace("atlas-prod", "${var.name}")}"' in alarms
    [declared] = emf["metric_declarations"]
    [selector] = declared["metric_name_selectors"]
    assert f'metric_name         = "{selector}"' in alarms
    [scrape] = collector["config"]["receivers"]["prometheus"]["config"]["scrape_configs"]
    [target] = scrape["static_configs"][0]["targets"]
    assert target == f"lag-monitor.atlas.svc.cluster.local:{metrics_port_of('lag-monitor')}"
    spans = environment("overlays/prod", "ingest")["ATLAS_OTLP_ENDPOINT"]
    assert spans == f"http://{collector['serviceAccount']}.observability:4317"
    assert collector["config"]["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"].endswith(":4317")
    roles = (ROOT / "infra/terraform/modules/pods/main.tf").read_text()
    assert f'"observability:{collector["serviceAccount"]}"' in roles
