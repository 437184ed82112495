"""What is asked of the services, alarmed on and drawn is what they export, where they export it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from atlaskit.telemetry.measures import METRICS, Kind, Metric
from unit.deploy.deployments import (
    ALL,
    JOBS,
    PLACES,
    ROOT,
    SERVICES,
    compose,
    environment,
    metrics_port_of,
    objects,
    rendered,
)
from unit.deploy.expressions import Expression, read

COMPOSE = ROOT / "infra" / "compose"
EXPOSED = {metric.exposed: metric for of_service in METRICS.values() for metric in of_service}
# What Prometheus knows of whatever it asks.
OF_PROMETHEUS = {"up": Metric("up", Kind.GAUGE, "", "", ("job", "instance"))}
SCRAPED_LABELS = {"job", "instance", "pod", "namespace"}


def yaml_of(name: str) -> Any:
    return yaml.safe_load((COMPOSE / name).read_text())


def rules(groups: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for group in groups:
        yield from group["rules"]


def dashboards() -> Iterator[tuple[str, str]]:
    for file in sorted((COMPOSE / "grafana/provisioning/dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{file.name}: {panel['title']}", target["expr"]


def scaling() -> Iterator[tuple[str, str]]:
    for name, scaled in objects("overlays/prod", "ScaledObject").items():
        for trigger in scaled["spec"]["triggers"]:
            if trigger["type"] == "prometheus":
                yield f"KEDA: {name}", trigger["metadata"]["query"]
    for found in rendered("overlays/prod"):
        if found["kind"] == "HorizontalPodAutoscaler":
            for metric in found["spec"]["metrics"]:
                if metric["type"] != "Resource":
                    yield found["metadata"]["name"], metric[metric["type"].lower()]["metric"]["name"]


def expressions() -> dict[str, Expression]:
    """Every expression that reads a metric of the services, by where it stands."""
    [rule] = objects("overlays/prod", "PrometheusRule").values()
    alarms = [*rules(yaml_of("alarms.yaml")["groups"]), *rules(rule["spec"]["groups"])]
    found = [(alarm["alert"], alarm["expr"]) for alarm in alarms]
    return {where: read(text) for where, text in (*found, *dashboards(), *scaling())}


def metric_of(name: str) -> Metric:
    """The metric that an expression's name belongs to."""
    known = {**EXPOSED, **OF_PROMETHEUS}
    family = re.sub(r"_(bucket|sum|count)$", "", name)
    return known[family] if family in known and known[family].kind is Kind.HISTOGRAM else known[name]


def test_alarms_and_panels_read_metrics_that_there_are_by_labels_that_they_have() -> None:
    every = expressions()
    assert len(every) > 25
    for where, expression in every.items():
        assert expression.metrics, where
        labels = set(SCRAPED_LABELS)
        for name, matched in expression.metrics.items():
            metric = metric_of(name)  # KeyError: nobody exports it
            own = {*metric.exposed_labels, "le"}
            assert matched.keys() <= own, (where, name)
            labels |= own
        assert expression.grouped <= labels, where


def test_an_expression_that_names_what_nobody_exports_would_be_found() -> None:
    found = read('sum by (a, le) (rate(no_such_total{b=~"x|y(z)", c="1"}[5m])) > 0.05 * max(other) or absent(third)')
    assert found == Expression(
        {"no_such_total": {"b": "x|y(z)", "c": "1"}, "other": {}, "third": {}}, frozenset("a") | {"le"}
    )
    with pytest.raises(KeyError):
        metric_of("no_such_total")


def test_values_that_alarms_look_for_are_values_that_the_code_has() -> None:
    code = "\n".join(file.read_text() for folder in ("libs", "services") for file in (ROOT / folder).rglob("*.py"))
    for where, expression in expressions().items():
        for matched in expression.metrics.values():
            for label, text in matched.items():
                for value in text.split("|"):
                    known = value in SERVICES if label == "job" else re.search(rf'"{re.escape(value)}"', code)
                    assert known, (where, label, value)


def test_what_operators_must_hear_of_has_an_alarm() -> None:
    names = {name for expression in expressions().values() for name in expression.metrics}
    assert names >= {
        "atlas_copy_staleness_known",
        "atlas_sink_shards",
        "atlas_slot_lag_bytes",
        "atlas_slots_held_transactions",
        "atlas_rpc_refusals_total",
        "atlas_ingest_refusals_total",
    }
    for alarm in rules(yaml_of("alarms.yaml")["groups"]):
        assert alarm["labels"]["severity"] in {"critical", "warning"}
        assert alarm["annotations"]["summary"]


def test_a_slot_that_falls_behind_is_told_of_before_half_of_what_is_kept_for_it_is_full() -> None:
    [alarm] = [one for one in rules(yaml_of("alarms.yaml")["groups"]) if one["alert"] == "AtlasSlotLag"]
    alarmed = int(alarm["expr"].rpartition(">")[2])
    for name in ("docker-compose.yml", "k8s/overlays/operators/postgres.yaml", "libs/atlas_local/postgres.py"):
        [kept] = re.findall(r"max_slot_wal_keep_size[^\n]*?(\d+)GB", (ROOT / name).read_text())
        assert alarmed <= int(kept) << 29, name


def test_an_alarm_on_age_or_lag_does_not_rest_while_it_is_unknown() -> None:
    alarmed = {
        name: read(alarm["expr"]) for alarm in rules(yaml_of("alarms.yaml")["groups"]) for name in [alarm["alert"]]
    }
    unknown = {name for name, expression in alarmed.items() if "atlas_copy_staleness_known" in expression.metrics}
    assert unknown == {"AtlasClaimsUnknown", "AtlasNobodyMeasures", "AtlasReplicaUnknown"}
    text = (COMPOSE / "alarms.yaml").read_text()
    assert {"absent(atlas_copy_staleness_known)", "absent(atlas_sink_shards)", "absent(atlas_slot_lag_bytes)"} <= set(
        re.findall(r"absent\(\w+\)", text)
    )


def test_production_has_the_alarms_of_compose_but_those_that_aurora_would_never_end() -> None:
    [rule] = objects("overlays/prod", "PrometheusRule").values()
    groups = {group["name"]: group for group in yaml_of("alarms.yaml")["groups"]}
    of_replica = groups.pop("atlas-replica")
    aurora = environment("overlays/prod", "lag-monitor").get("ATLAS_REPLICA_KIND") == "aurora"
    wanted = [*groups.values(), *([] if aurora else [of_replica])]
    assert rule["spec"]["groups"] == wanted


def test_composes_prometheus_asks_each_service_at_its_port_and_has_the_alarms() -> None:
    found = yaml_of("prometheus.yaml")
    jobs = {job["job_name"]: job["static_configs"] for job in found["scrape_configs"]}
    assert {name: jobs[name] for name in SERVICES} == {
        name: [{"targets": [f"{name}:{metrics_port_of(name)}"]}] for name in SERVICES
    }
    mounted = dict(volume.split(":")[:2] for volume in compose()["services"]["prometheus"]["volumes"])
    assert mounted["./infra/compose/alarms.yaml"] == found["rule_files"][0]
    assert "./infra/compose/grafana/provisioning" in dict(
        volume.split(":")[:2] for volume in compose()["services"]["grafana"]["volumes"]
    )


def test_panels_and_their_provider_and_source_know_one_another() -> None:
    [provider] = yaml_of("grafana/provisioning/dashboards/provider.yaml")["providers"]
    assert provider["options"]["path"] == "/etc/grafana/provisioning/dashboards"
    sources = {one.get("uid") for one in yaml_of("grafana/provisioning/datasources/atlas.yaml")["datasources"]}
    for file in (COMPOSE / "grafana/provisioning/dashboards").glob("*.json"):
        for panel in json.loads(file.read_text())["panels"]:
            assert panel["datasource"]["uid"] in sources


@pytest.mark.parametrize("place", PLACES)
def test_every_service_serves_its_metrics_everywhere_and_no_job_does(place: str) -> None:
    for name in ALL:
        address = environment(place, name).get("ATLAS_METRICS_ADDRESS")
        assert address == (None if name in JOBS else f"0.0.0.0:{metrics_port_of(name)}")


def test_the_pod_monitor_finds_the_port_of_each_service_and_the_network_lets_it_through() -> None:
    [monitor] = objects("overlays/prod", "PodMonitor").values()
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("metrics", "/metrics")
    wanted = monitor["spec"]["selector"]["matchLabels"]
    policy = objects("overlays/prod", "NetworkPolicy")["metrics"]["spec"]
    [who] = policy["podSelector"]["matchExpressions"]
    assert (who["key"], set(who["values"])) == ("app.kubernetes.io/name", set(SERVICES))
    [rule] = policy["ingress"]
    assert {port["port"] for port in rule["ports"]} == {metrics_port_of(name) for name in SERVICES}
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    for name in SERVICES:
        template = objects("overlays/prod", "Deployment")[name]["spec"]["template"]
        assert wanted.items() <= template["metadata"]["labels"].items()
        [container] = template["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports[endpoint["port"]] == metrics_port_of(name)
        assert template["metadata"]["labels"][monitor["spec"]["jobLabel"]] == name


def test_alarms_in_aws_are_on_a_metric_that_the_lag_monitor_exports_by_its_label() -> None:
    text = (ROOT / "infra/terraform/modules/freshness/main.tf").read_text()
    named = set(re.findall(r"atlas_\w+_(?:seconds|bytes|total)\b", text))
    assert named == {"atlas_copy_staleness_seconds"}
    metric = EXPOSED["atlas_copy_staleness_seconds"]
    assert metric in METRICS["lag-monitor"]
    assert set(re.findall(r"dimensions\s*=\s*\{\s*(\w+)", text)) == set(metric.exposed_labels)
    assert "atlas_copy_staleness_seconds" in (ROOT / "infra/terraform/variables.tf").read_text()
