"""A tenant never sees another's rows of ClickHouse, and no text of a caller becomes a part of a statement."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from atlas.freshness.v1 import freshness_pb2 as fpb
from atlas.query.v1 import query_service_pb2 as pb
from atlas.query.v1 import query_service_pb2_grpc as pb_grpc
from atlas_query_router.fallback_gate import FallbackGate, Limits
from atlas_query_router.grants import Grants
from atlas_query_router.lag_board import LagBoard
from atlas_query_router.olap_backend import OlapBackend
from atlas_query_router.page_token import PageTokens
from atlas_query_router.paging import Paging
from atlas_query_router.position_watch import PositionWatch
from atlas_query_router.router import Router
from atlas_query_router.servicer import QueryServicer
from atlas_query_router.tenants import TenantDirectory
from atlaskit.clickhouse.pool import ClickHouse
from atlaskit.clickhouse.table import insert
from atlaskit.clock import SystemClock
from atlaskit.model import EntityIdentity, Source, Tenant, entity_id_of
from atlaskit.rpc.server import Service, serving
from doubles.canaries import CORPUS, ENTITY, answer, canaries, requests, shapes, shown
from doubles.statements import statements
from grpc import StatusCode, aio
from opentelemetry.trace import NoOpTracer

HASH_KEY = b"0123456789abcdef"
NOON = datetime(2022, 10, 23, 12, tzinfo=UTC)
TENANTS = (710_001, 710_002, 710_003)
KEYED = 710_004
SECOND = timedelta(seconds=1)
ANY_AGE = fpb.FreshnessRequirement(only_source=fpb.DATA_SOURCE_OLAP, policy=fpb.FRESHNESS_POLICY_DEGRADE)
_versions = count(1)


class Registered:
    """Tenants by number; those of the canaries number their entities."""

    async def get(self, tenant_id: int, limit: timedelta) -> Tenant:
        identity = EntityIdentity.KEYED if tenant_id == KEYED else EntityIdentity.NUMBERED
        return Tenant(tenant_id, str(tenant_id), identity, 1, 1000, HASH_KEY, NOON)


async def nobody(caller: str, tenant_ids: Any, limit: timedelta) -> set[int]:
    return set()


@asynccontextmanager
async def routed(clickhouse: ClickHouse) -> AsyncIterator[Any]:
    """A router that has ClickHouse alone, and no monitor: it proves nothing, so it is asked for answers of any age."""
    clock = SystemClock()
    board = LagBoard(clock, timedelta(hours=1))
    backend = OlapBackend(clickhouse, board, clock)
    watches = {Source.OLAP: PositionWatch(backend.look, interval=SECOND, limit=SECOND, most=8)}
    gate = FallbackGate(Limits(1, 1.0))
    router = Router(
        {Source.OLAP: backend}, board, clock, NoOpTracer(), gate=gate, watches=watches, token_patience=timedelta(0)
    )
    directory = TenantDirectory(Registered(), Registered())  # type: ignore[arg-type]  # both are asked the same way
    servicer = QueryServicer(router, directory, Paging(PageTokens(b"k" * 32)), clock, Grants(nobody, timedelta(0)))
    descriptor = pb.DESCRIPTOR.services_by_name["QueryService"]
    service = Service.of(descriptor, pb_grpc.add_QueryServiceServicer_to_server, servicer)
    async with (
        serving([service], "127.0.0.1:0", drain=SECOND) as port,
        aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield pb_grpc.QueryServiceStub(channel)


async def store(clickhouse: ClickHouse, tenant: int, entity: int, key: str, values: dict[str, tuple[str, Any]]) -> None:
    """Store one entity with these values: by attribute, the type and what stands in the column of that type."""
    of_entity = {
        "tenant_id": [tenant], "entity_id": [entity], "entity_key": [key], "asset_type": [f"canary-type-{tenant}-"],
        "row_version": [next(_versions)],
    }  # fmt: skip
    await insert(clickhouse, "entities", of_entity)
    for attribute, (kind, value) in values.items():
        row = {
            "tenant_id": [tenant], "entity_id": [entity], "attribute_key": [attribute], "attribute_type": [kind],
            "event_timestamp": [NOON], "ingestion_timestamp": [1_700_000_000_000_000],
            "row_version": [next(_versions)], f"value_{kind.lower()}": [value],
        }  # fmt: skip
        await insert(clickhouse, "entity_analytics_events", row)


@pytest.fixture(scope="module")
async def router(clickhouse: ClickHouse) -> AsyncIterator[Any]:
    for tenant in TENANTS:
        text = f"canary-value-{tenant}-"
        values = {
            "k": ("INT64", 7_000_000 + tenant),
            "text": ("STRING", text),
            f"canary-key-{tenant}-": ("STRING", text),
            "octets": ("BYTES", f"canary-octets-{tenant}-".encode()),
        }
        await store(clickhouse, tenant, ENTITY, f"canary-entity-{tenant}-", values)
    await store(clickhouse, KEYED, entity_id_of(HASH_KEY, "e"), "e", {"k": ("INT64", 1)})
    async with routed(clickhouse) as connected:
        yield connected


def of_any_age(request: Any) -> Any:
    request.freshness.CopyFrom(ANY_AGE)
    return request


async def test_no_answer_shows_another_tenants_data_whatever_is_asked_at_once(router: Any) -> None:
    asked = [
        (tenant, name, of_any_age(request))
        for tenant in TENANTS
        for name, request in requests(tenant, TENANTS, fpb.DATA_SOURCE_OLAP).items()
    ]
    random.Random(7).shuffle(asked)
    answers = await asyncio.gather(*(answer(router, request) for *_, request in asked))
    found = {(tenant, name): encoded for (tenant, name, _), encoded in zip(asked, answers, strict=True)}
    for tenant in TENANTS:
        for name in ("entity", "named", "list", "filter", "history", "by key", "top", "keys"):
            assert canaries(found[tenant, name] or b"", TENANTS) == {tenant}, name
    assert all(seen <= {tenant} for (tenant, _), seen in shown(found, TENANTS).items())


async def sent_for(router: Any, request: Any) -> tuple[list[str], StatusCode]:
    """What a request sends, each text once, since some are sent at the same time; and how it ends."""
    method = getattr(router, type(request).__name__.removesuffix("Request"))
    with statements() as sent:
        code = await method(of_any_age(request), timeout=60).code()
    return sorted(set(sent)), code


async def test_the_text_of_a_statement_is_constant_per_shape_whatever_a_caller_writes(router: Any) -> None:
    expected = {name: await sent_for(router, request) for name, request in shapes(KEYED, "plain").items()}
    assert {code for _, code in expected.values()} <= {StatusCode.OK, StatusCode.NOT_FOUND}
    assert all(len(expected[name][0]) > 1 for name in expected)
    for text in CORPUS:
        for name, request in shapes(KEYED, text).items():
            assert await sent_for(router, request) == expected[name], (name, text)
