"""Who may call whom around the stores that operators run, and around the collector, as network policies have it."""

from __future__ import annotations

from typing import Any

import pytest
from unit.deploy.deployments import ALL, BESIDE, OPERATED, objects

STORES = {"postgres": 5432, "kafka": 9092, "clickhouse": 8123}
CONNECT = "KafkaConnect"
# What an operator calls its pods at.
OPERATORS = {
    "postgres": {("cnpg-system", 5432), ("cnpg-system", 8000)},
    "kafka": {("strimzi", 9090), ("strimzi", 9091), ("strimzi", 8443)},
    "clickhouse": {("clickhouse-operator", 8123)},
    CONNECT: {("strimzi", 8083)},
}
# What the pods of a store call one another at.
AMONG: dict[str, set[int]] = {"postgres": {5432, 8000}, "kafka": {9090, 9091}, "clickhouse": set(), CONNECT: {8083}}
ANYBODY = "anybody"
Edge = tuple[str, int]


def who(selector: dict[str, Any]) -> set[str]:
    """Return the values of labels by which a selector chooses."""
    listed = {value for each in selector.get("matchExpressions", []) for value in each.get("values", ["every"])}
    return listed | set(selector.get("matchLabels", {}).values())


def edges(policy: dict[str, Any], way: str) -> set[Edge]:
    """Return the peers of a policy, in or out, each with a port; ANYBODY where a rule names no peer."""
    word = {"ingress": "from", "egress": "to"}[way]
    found = set()
    for rule in policy["spec"].get(way, []):
        for peer in rule.get(word, [{}]):
            names = who(peer.get("podSelector", {})) | who(peer.get("namespaceSelector", {}))
            found |= {(name, port["port"]) for name in names or {ANYBODY} for port in rule["ports"]}
    return found


def policy_of(overlay: str, store: str) -> dict[str, Any]:
    """Return the policy of a store's own pods, or of Connect's."""
    found: dict[str, Any] = objects(overlay, "NetworkPolicy")["connect" if store == CONNECT else store]
    return found


def callers(overlay: str, store: str) -> set[Edge]:
    """Return who is let out to a store, by the policies of its callers: the services' and Connect's."""
    policy = objects(overlay, "NetworkPolicy")[f"to-{store}"]
    services = who(policy["spec"]["podSelector"])
    out = {(name, port) for name in services for peer, port in edges(policy, "egress") if peer == store}
    return out | {(CONNECT, port) for peer, port in edges(policy_of(overlay, CONNECT), "egress") if peer == store}


@pytest.mark.parametrize("overlay", OPERATED)
@pytest.mark.parametrize("store", [*STORES, CONNECT])
def test_a_store_is_called_by_its_callers_its_own_pods_and_its_operator_and_by_nobody_else(
    overlay: str, store: str
) -> None:
    policy = policy_of(overlay, store)
    called = callers(overlay, store) if store in STORES else set()
    assert who(policy["spec"]["podSelector"]) == {store}
    assert edges(policy, "ingress") == called | {(store, port) for port in AMONG[store]} | OPERATORS[store]
    assert {port for _, port in called} == ({STORES[store]} if store in STORES else set())
    assert {name for name, _ in called} <= {*ALL, CONNECT}


@pytest.mark.parametrize("overlay", OPERATED)
def test_connect_calls_postgres_kafka_and_the_other_worker_and_nothing_else(overlay: str) -> None:
    wanted = {("postgres", 5432), ("kafka", 9092), (CONNECT, 8083)}
    assert edges(policy_of(overlay, CONNECT), "egress") == wanted


@pytest.mark.parametrize("overlay", OPERATED)
@pytest.mark.parametrize("store", STORES)
def test_a_store_calls_its_own_pods_and_the_api_server_if_it_reads_there(overlay: str, store: str) -> None:
    server = {(ANYBODY, 443), (ANYBODY, 6443)} if store in {"postgres", "kafka"} else set()
    assert edges(policy_of(overlay, store), "egress") == {(store, port) for port in AMONG[store]} | server


@pytest.mark.parametrize("overlay", OPERATED)
def test_no_other_policy_opens_a_store(overlay: str) -> None:
    opening = {
        name
        for name, policy in objects(overlay, "NetworkPolicy").items()
        if who(policy["spec"]["podSelector"]) & {*STORES, CONNECT, "every"}
    }
    assert opening == {*STORES, "connect"}


def test_spans_leave_for_the_collector_alone_and_it_takes_them() -> None:
    [leaving] = objects("overlays/prod", "NetworkPolicy")["to-telemetry"]["spec"]["egress"]
    [peer] = leaving["to"]
    taking = objects(BESIDE, "NetworkPolicy")["otel-collector"]["spec"]
    [taken] = [rule for rule in taking["ingress"] if rule["ports"] == leaving["ports"]]
    assert peer["podSelector"] == taking["podSelector"]
    assert who(peer["namespaceSelector"]) == objects(BESIDE, "Namespace").keys()
    assert who(taken["from"][0]["namespaceSelector"]) == objects("overlays/prod", "Namespace").keys()
