"""The gateway over HTTP, before a query router of the real contract that answers what a test tells it."""

import asyncio
import base64
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from atlas.freshness.v1 import freshness_pb2 as fresh
from atlas.query.v1 import query_service_pb2 as query
from atlas.query.v1.query_service_pb2_grpc import QueryServiceServicer, add_QueryServiceServicer_to_server
from atlas_gateway.app import running
from atlas_gateway.settings import Settings
from atlaskit.config import IdentityMode
from atlaskit.errors import NotFound, NotFreshEnough, Overloaded, TenantUnknown
from atlaskit.rpc.certificate import certified
from atlaskit.rpc.deadline import Deadline
from atlaskit.rpc.server import Service, serving
from doubles.scrapes import scrape

DESCRIPTOR = query.DESCRIPTOR.services_by_name["QueryService"]
TENANT = {"X-Tenant-Id": "7"}


def entity(key: str = "KATL") -> query.GetEntityResponse:
    answer = query.GetEntityResponse(
        entity=query.Entity(tenant_id=7, entity_id=2**62 + 1, entity_key=key, asset_type="station")
    )
    for name, value in (
        ("big", {"uint64_value": 2**64 - 1}),
        ("small", {"int64_value": -(2**63)}),
        ("octets", {"bytes_value": b"\x00\xff"}),
        ("temp_c", {"double_value": 9.4}),
        ("auto", {"bool_value": True}),
        ("raw_text", {"string_value": ""}),
    ):
        current = answer.entity.values.add(
            attribute_key=name, value=value, source_type="octets" if name == "octets" else ""
        )
        current.event_time.FromMicroseconds(1_666_522_320_000_001)
    answer.freshness.source = fresh.DATA_SOURCE_REPLICA
    answer.freshness.staleness.FromMicroseconds(12_001)
    answer.freshness.read_time.FromMicroseconds(1_700_000_000_500_000)
    answer.freshness.replication_lag.FromMicroseconds(3_000)
    answer.freshness.position.CopyFrom(fresh.Position(epoch=1, wal_position_bytes=0x16B374D848))
    answer.freshness.fallbacks.add(source=fresh.DATA_SOURCE_OLAP, reason=fresh.FALLBACK_REASON_UNKNOWN)
    return answer


class Router(QueryServiceServicer):
    """Answers each entity as told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[int | str, query.GetEntityResponse | Exception] = {}
        self.asked: list[query.GetEntityRequest] = []
        self.remaining: list[timedelta] = []
        self.identities: list[dict[str, str]] = []
        self.held = asyncio.Event()
        self.held.set()

    async def GetEntity(self, request: query.GetEntityRequest, context: object) -> query.GetEntityResponse:  # noqa: N802
        self.asked.append(request)
        metadata = context.invocation_metadata()  # type: ignore[attr-defined]
        self.identities.append({key: text for key, text in metadata if key.startswith("x-atlas-")})
        self.remaining.append(Deadline.of(context).remaining())  # type: ignore[arg-type]
        await self.held.wait()
        which = getattr(request, request.WhichOneof("entity") or "entity_key")
        answer = self.answers.get(which, NotFound(f"no entity {which}"))
        if isinstance(answer, Exception):
            raise answer
        return answer


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # a file and a list have no event; each caller sets the limit
        await asyncio.sleep(0.005)


@pytest.fixture
async def router() -> Router:
    return Router()  # type: ignore[abstract]  # the other methods are not asked


@pytest.fixture
async def target(router: Router) -> AsyncIterator[str]:
    service = Service.of(DESCRIPTOR, add_QueryServiceServicer_to_server, router)
    async with serving([service], "127.0.0.1:0", drain=timedelta(seconds=1)) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture
async def http(target: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(address="127.0.0.1:0", query_target=target, drain=timedelta(seconds=2), requests_in_flight=2)
    async with running(settings) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        yield client


async def test_an_answer_carries_values_with_types_and_the_four_headers(
    http: httpx.AsyncClient, router: Router
) -> None:
    router.answers["KATL"] = entity()
    answer = await http.get("/api/v1/entities/KATL/status", headers=TENANT)
    assert answer.status_code == 200
    assert answer.headers["X-Data-Source"] == "replica"
    assert answer.headers["X-Data-Freshness-Ms"] == "13"
    assert answer.headers["X-Data-Timestamp"] == "2023-11-14T22:13:20.487Z"
    assert answer.headers["X-Replication-Lag-Ms"] == "3"
    body = answer.json()
    assert body["entity_id"] == str(2**62 + 1)
    assert body["values"]["big"]["value"] == str(2**64 - 1)
    assert body["values"]["small"]["value"] == str(-(2**63))
    assert base64.b64decode(body["values"]["octets"]["value"]) == b"\x00\xff"
    assert (body["values"]["temp_c"]["type"], body["values"]["temp_c"]["value"]) == ("double", 9.4)
    assert body["values"]["auto"]["value"] is True
    assert body["values"]["raw_text"] == {
        "type": "string", "value": "", "event_time": "2022-10-23T10:52:00.000001Z", "source_type": ""
    }  # fmt: skip
    assert body["freshness"]["staleness_ms"] == 12.001
    assert body["freshness"]["position"] == {"epoch": 1, "lsn": "16/B374D848", "beat": None}
    assert body["freshness"]["fallbacks"] == [
        {"source": "olap", "reason": "unknown", "staleness_ms": None, "likely_after_ms": None}
    ]


async def test_what_is_unknown_has_no_header_and_is_null(http: httpx.AsyncClient, router: Router) -> None:
    answer = entity()
    for unknown in ("staleness", "replication_lag"):
        answer.freshness.ClearField(unknown)
    router.answers["KATL"] = answer
    response = await http.get("/api/v1/entities/KATL/status", headers=TENANT)
    assert "X-Data-Freshness-Ms" not in response.headers
    assert "X-Replication-Lag-Ms" not in response.headers
    assert response.json()["freshness"]["staleness_ms"] is None


async def test_the_requirement_reaches_the_router_as_stated(http: httpx.AsyncClient, router: Router) -> None:
    router.answers["KATL"] = entity()
    stated: dict[str, str | list[str]] = {
        "policy": "wait",
        "max_wait_ms": "20",
        "at_least": "a1.1.ff",
        "session": "true",
        "attribute": ["a", "b"],
    }
    for params, expected in (
        ({"use_case": "historical"}, fresh.USE_CASE_HISTORICAL),
        ({"query_type": "realtime"}, fresh.USE_CASE_REALTIME_ALERT),
        ({"query_type": "operational"}, fresh.USE_CASE_DASHBOARD),
        ({"query_type": "analytical"}, fresh.USE_CASE_ANALYTICS),
    ):
        assert (
            await http.get("/api/v1/entities/KATL/status", headers=TENANT, params={**stated, **params})
        ).status_code == 200
        asked = router.asked[-1]
        assert asked.freshness.use_case == expected
        assert asked.freshness.policy == fresh.FRESHNESS_POLICY_WAIT
        assert asked.freshness.max_wait.ToMilliseconds() == 20
        assert asked.freshness.at_least_token == "a1.1.ff"
        assert asked.freshness.want_session_token
        assert list(asked.attribute_keys) == ["a", "b"]
    await http.get("/api/v1/entities/KATL/status", headers=TENANT, params={"max_staleness_ms": "250"})
    assert router.asked[-1].freshness.max_staleness.ToMilliseconds() == 250


async def test_a_key_may_hold_slashes_and_digits(http: httpx.AsyncClient, router: Router) -> None:
    router.answers |= {"network/switch/a": entity("network/switch/a"), "0": entity("0"), 5: entity("five")}
    for path, kind, key in (
        ("network/switch/a", "auto", "network/switch/a"),
        ("network%2Fswitch%2Fa", "auto", "network/switch/a"),
        ("0", "auto", "0"),
        ("0", "key", "0"),
        ("5", "number", "five"),
    ):
        answer = await http.get(f"/api/v1/entities/{path}/status", headers=TENANT, params={"id_kind": kind})
        assert answer.status_code == 200, answer.text
        assert answer.json()["entity_key"] == key


async def test_a_refusal_of_freshness_carries_certificate_and_headers(http: httpx.AsyncClient, router: Router) -> None:
    router.answers["KATL"] = certified(NotFreshEnough("replica is 4 s behind, 1 s was asked"), entity().freshness)
    answer = await http.get("/api/v1/entities/KATL/status", headers=TENANT)
    assert answer.status_code == 412
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Data-Freshness-Ms"] == "13"
    problem = answer.json()
    assert problem["type"] == "urn:atlas:problem:not-fresh-enough"
    assert (problem["reason"], problem["status"]) == ("NOT_FRESH_ENOUGH", 412)
    assert problem["freshness"]["source"] == "replica"


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (TenantUnknown(7), 404, "TENANT_UNKNOWN"),
        (NotFound("none"), 404, "NOT_FOUND"),
        (Overloaded("the router", timedelta(milliseconds=1500)), 429, "OVERLOADED"),
        (RuntimeError("password=x"), 500, "INTERNAL"),
    ],
)
async def test_each_error_has_its_status_and_reason(
    http: httpx.AsyncClient, router: Router, error: Exception, status: int, reason: str
) -> None:
    router.answers["KATL"] = error
    answer = await http.get("/api/v1/entities/KATL/status", headers=TENANT)
    assert (answer.status_code, answer.json()["reason"]) == (status, reason)
    assert "password" not in answer.text
    if isinstance(error, Overloaded):
        assert answer.headers["Retry-After"] == "2"
        assert answer.json()["retry_after_ms"] == 1500


@pytest.mark.parametrize(
    ("headers", "params", "field"),
    [
        ({}, {}, "X-Tenant-Id"),
        ({"X-Tenant-Id": "0"}, {}, "X-Tenant-Id"),
        (TENANT | {"X-Request-Timeout-Ms": "soon"}, {}, "X-Request-Timeout-Ms"),
        (TENANT, {"use_case": "whenever"}, "use_case"),
        (TENANT, {"max_staleness_ms": "0"}, "max_staleness_ms"),
        (TENANT, {"use_case": "dashboard", "max_staleness_ms": "5"}, "max_staleness_ms"),
        (TENANT, {"id_kind": "number"}, "id"),
    ],
)
async def test_a_wrong_parameter_is_named(
    http: httpx.AsyncClient, headers: dict[str, str], params: dict[str, str], field: str
) -> None:
    answer = await http.get("/api/v1/entities/KATL/status", headers=headers, params=params)
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["field"] == field


async def test_the_deadline_is_the_callers_and_bounded(http: httpx.AsyncClient, router: Router) -> None:
    router.answers["KATL"] = entity()
    for asked, least, most in (("500", 0.1, 0.6), ("9000000", 20.0, 31.0)):
        await http.get("/api/v1/entities/KATL/status", headers=TENANT | {"X-Request-Timeout-Ms": asked})
        assert timedelta(seconds=least) < router.remaining[-1] <= timedelta(seconds=most)
    router.held.clear()
    late = await http.get("/api/v1/entities/KATL/status", headers=TENANT | {"X-Request-Timeout-Ms": "50"})
    assert (late.status_code, late.json()["reason"]) == (504, "DEADLINE_EXCEEDED")


async def test_a_gateway_that_is_full_refuses_at_once(http: httpx.AsyncClient, router: Router) -> None:
    router.answers["KATL"] = entity()
    router.held.clear()
    async with asyncio.TaskGroup() as group:
        held = [group.create_task(http.get("/api/v1/entities/KATL/status", headers=TENANT)) for _ in range(2)]
        async with asyncio.timeout(5):
            await until(lambda: len(router.asked) == 2)
        refused = await http.get("/api/v1/entities/KATL/status", headers=TENANT)
        router.held.set()
    assert (refused.status_code, refused.json()["reason"]) == (429, "OVERLOADED")
    assert [task.result().status_code for task in held] == [200, 200]


async def test_health_does_not_depend_on_the_router_and_the_surface_describes_itself(http: httpx.AsyncClient) -> None:
    assert (await http.get("/healthz")).json() == {"status": "alive"}
    assert (await http.get("/readyz")).status_code == 200
    described = (await http.get("/openapi.json")).json()
    headers = described["paths"]["/api/v1/entities/{id}/status"]["get"]["responses"]["200"]["headers"]
    assert set(headers) == {"X-Data-Source", "X-Data-Freshness-Ms", "X-Data-Timestamp", "X-Replication-Lag-Ms"}
    assert (await http.get("/nowhere")).json()["status"] == 404


async def test_a_router_that_is_away_is_a_problem_that_says_so() -> None:
    settings = Settings(address="127.0.0.1:0", query_target="127.0.0.1:1", drain=timedelta(seconds=1))
    async with running(settings) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        answer = await client.get("/api/v1/entities/KATL/status", headers=TENANT)
        assert answer.status_code in {503, 504}
        assert (await client.get("/readyz")).status_code == 200


async def test_a_process_told_to_stop_answers_what_it_took_and_ends_with_status_0(
    router: Router, target: str, tmp_path: Path
) -> None:
    router.answers["KATL"] = entity()
    router.held.clear()
    port_file = tmp_path / "port"
    environ = os.environ | {
        "ATLAS_ADDRESS": "127.0.0.1:0", "ATLAS_QUERY_TARGET": target, "ATLAS_PORT_FILE": str(port_file)
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "atlas_gateway", env=environ, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(30):
            await until(port_file.exists)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port_file.read_text().strip()}") as client:
            async with asyncio.TaskGroup() as group, asyncio.timeout(20):
                running_request = group.create_task(
                    client.get("/api/v1/entities/KATL/status", headers=TENANT | {"X-Request-Timeout-Ms": "20000"})
                )
                await until(lambda: bool(router.asked))
                process.send_signal(signal.SIGTERM)
                await until(lambda: not port_file.exists())
                router.held.set()
            assert running_request.result().status_code == 200
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_missing_settings_stop_the_start_by_name() -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ATLAS_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "atlas_gateway", "--check", env=environ, stderr=asyncio.subprocess.PIPE
    )
    _, told = await process.communicate()
    assert process.returncode == 78
    assert b"ATLAS_QUERY_TARGET" in told


async def test_a_request_that_names_another_tenant_than_it_acts_for_never_reaches_the_router(
    http: httpx.AsyncClient, router: Router
) -> None:
    router.answers["KATL"] = entity()
    own = {**TENANT, "X-Atlas-Tenant": "7", "X-Atlas-Caller": "portal"}
    assert (await http.get("/api/v1/entities/KATL/status", headers=own)).status_code == 200
    other = {**TENANT, "X-Atlas-Tenant": "8"}
    refused = await http.get("/api/v1/entities/KATL/status", headers=other)
    assert (refused.status_code, refused.json()["reason"]) == (403, "TENANT_MISMATCH")
    twice = [("X-Tenant-Id", "7"), ("X-Atlas-Tenant", "7"), ("X-Atlas-Tenant", "8")]
    assert (await http.get("/api/v1/entities/KATL/status", headers=twice)).status_code == 400
    assert (await http.get("/api/v1/entities/KATL/status", headers=TENANT)).status_code == 200
    assert router.identities == [
        {"x-atlas-caller": "portal", "x-atlas-tenant": "7"}, {"x-atlas-caller": "gateway", "x-atlas-tenant": "7"}
    ]  # fmt: skip


async def test_a_gateway_that_requires_an_identity_answers_nobody_else(target: str, router: Router) -> None:
    settings = Settings(address="127.0.0.1:0", query_target=target, identity=IdentityMode.REQUIRED)
    router.answers["KATL"] = entity()
    own = {**TENANT, "X-Atlas-Tenant": "7", "X-Atlas-Caller": "portal"}
    async with running(settings) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        for left_out in ("X-Atlas-Tenant", "X-Atlas-Caller"):
            headers = {name: text for name, text in own.items() if name != left_out}
            refused = await client.get("/api/v1/entities/KATL/status", headers=headers)
            assert (refused.status_code, refused.json()["reason"]) == (401, "IDENTITY_REQUIRED")
        assert (await client.get("/api/v1/entities/KATL/status", headers=own)).status_code == 200


async def test_requests_are_measured_by_route_and_status_whatever_path_was_asked_for(
    target: str, router: Router
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        page = f"127.0.0.1:{listener.getsockname()[1]}"
    settings = Settings(address="127.0.0.1:0", query_target=target, metrics_address=page)
    router.answers["KATL"] = entity()
    async with running(settings) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        for path in ("KATL", "KATL", "nobody"):
            await client.get(f"/api/v1/entities/{path}/status", headers=TENANT)
        for path in ("/secret/1", "/secret/2", "/readyz"):
            await client.get(path)
        await client.request("PROPFIND", "/secret/3")
        found = await scrape(f"http://{page}/metrics")
    counts = {
        (has["http_request_method"], has["http_route"], has["http_response_status_code"]): figure
        for name, has, figure in found.samples
        if name == "http_server_request_duration_seconds_count"
    }
    route = "/api/v1/entities/{id:path}/status"
    assert counts == {
        ("GET", route, "200"): 2,
        ("GET", route, "404"): 1,
        ("GET", "", "404"): 2,
        ("_OTHER", "", "404"): 1,
    }
