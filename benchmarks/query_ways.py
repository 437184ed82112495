"""The ways to an answer that `make bench-query` compares: each takes a question and returns a comparable answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any, NamedTuple, cast

import asyncpg
from atlas.freshness.v1 import freshness_pb2 as fpb
from atlas.query.v1 import query_service_pb2 as pb
from atlas.query.v1 import query_service_pb2_grpc as pb_grpc
from atlas_query_router.grouping import aggregate_question, plain_figures
from atlas_query_router.paging import Paging
from atlas_query_router.postgres_backends import answer
from atlas_query_router.questions import EntityQuestion, FiguresQuestion, HistoryQuestion
from atlas_query_router.questions import Question as Asked
from atlas_query_router.requests import entity_question, history_question, list_question
from atlaskit.clickhouse import analytics, grouping, reader, searching
from atlaskit.clickhouse.pool import ClickHouse, open_clickhouse
from atlaskit.model import EntityIdentity, Source, Tenant
from atlaskit.postgres.pool import Session
from atlaskit.postgres.reader import Reader
from atlaskit.selection.searches import EntitySearch, GroupSearch
from grpc import StatusCode, aio

from benchmarks.hot_load import SPREAD, SQL, TODAY
from benchmarks.hot_queries import Statement
from benchmarks.query_arms import Question
from benchmarks.query_load import Site

LIMIT = timedelta(seconds=120)
TRIES, PAUSE = 40, 0.25  # of a call when no source answers
SOURCES = {
    Source.PRIMARY: fpb.DATA_SOURCE_PRIMARY,
    Source.REPLICA: fpb.DATA_SOURCE_REPLICA,
    Source.OLAP: fpb.DATA_SOURCE_OLAP,
}
Way = Callable[[Question], Awaitable[Any]]


class OlapQuery(NamedTuple):
    """A statement of ClickHouse with all that goes with it."""

    text: str
    parameters: Mapping[str, Any] | None
    options: Mapping[str, Any]


class Router:
    """The router; it counts answers whose staleness it could not prove."""

    def __init__(self, stub: pb_grpc.QueryServiceAsyncStub) -> None:
        self.stub = stub
        self.answers, self.unknown, self.unavailable = 0, 0, 0

    async def proven(self, tenant_id: int, seconds: float) -> None:
        """Return once every copy is proven fresh. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            for source in SOURCES.values():
                request = pb.ListEntitiesRequest(tenant_id=tenant_id, page_size=1)
                request.freshness.only_source, request.freshness.policy = source, fpb.FRESHNESS_POLICY_WAIT
                while True:
                    try:
                        await self.stub.ListEntities(request, timeout=5)
                        break
                    except aio.AioRpcError:
                        await asyncio.sleep(0.5)

    def way(self, source: Source | None) -> Way:
        """Return the way through the router to a source; None: to that which it chooses."""
        use_case = fpb.USE_CASE_ANALYTICS if source is Source.OLAP else fpb.USE_CASE_OPERATIONAL_REPORT
        wanted = fpb.FreshnessRequirement(use_case=use_case, policy=fpb.FRESHNESS_POLICY_DEGRADE)
        if source is not None:
            wanted.only_source = SOURCES[source]

        async def asked(question: Question) -> Any:
            request = type(question.request)()
            request.CopyFrom(question.request)
            request.freshness.CopyFrom(wanted)
            found = await self._answer(question.call, request)
            self.answers += 1
            self.unknown += not found.freshness.HasField("staleness")
            return question.read(found)

        return asked

    async def _answer(self, call: str, request: Any) -> Any:
        """Return the answer. That a copy is unavailable for a moment, on a busy machine, is counted and waited for."""
        for _ in range(TRIES):
            try:
                return await getattr(self.stub, call)(request, timeout=LIMIT.total_seconds())
            except aio.AioRpcError as error:
                if error.code() is not StatusCode.UNAVAILABLE:
                    raise
                self.unavailable += 1
                await asyncio.sleep(PAUSE)
        raise RuntimeError(f"{call}: no source answered in {TRIES} tries")


class RecordingSession:
    """A session that keeps what it is asked."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self._session = Session(connection)
        self.last = Statement("", [])

    async def fetch(self, sql: str, *values: Any, limit: timedelta = LIMIT) -> Any:
        self.last = Statement(sql, values)
        return await self._session.fetch(sql, *values, limit=limit)


class RecordingClickHouse:
    """A server of ClickHouse that keeps what it is asked."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self.asked: list[OlapQuery] = []

    async def rows(self, sql: str, parameters: Mapping[str, Any] | None = None, **options: Any) -> Any:
        self.asked.append(OlapQuery(sql, parameters, options))
        return await self._clickhouse.rows(sql, parameters, **options)


class Stores(NamedTuple):
    """Connections straight to the stores.

    `readers` are those of the router's role, under the policies of rows, each by whether it plans every statement anew.
    """

    readers: Mapping[tuple[Source, bool], asyncpg.Connection[Any]]
    direct: Mapping[Source, asyncpg.Connection[Any]]
    clickhouse: ClickHouse
    merged: ClickHouse


@asynccontextmanager
async def stores(site: Site) -> AsyncIterator[Stores]:
    """Yield the connections, each set up as the router's are."""
    stack = site.running.stack
    dsns = {Source.PRIMARY: stack.primary_dsn, Source.REPLICA: stack.replica_dsn}
    async with AsyncExitStack() as opened:

        async def connect(dsn: str, plans: str = "auto") -> asyncpg.Connection[Any]:
            settings = {"jit": "off", "timezone": "UTC", "plan_cache_mode": plans}
            connection = await asyncpg.connect(dsn, server_settings=settings, command_timeout=LIMIT.total_seconds())
            opened.push_async_callback(connection.close)
            return connection

        readers = {
            (source, anew): await connect(dsn("atlas_reader"), "force_custom_plan" if anew else "auto")
            for source, dsn in dsns.items()
            for anew in (False, True)
        }
        for reading in readers.values():
            await reading.execute(SQL["bench_reader"].replace(":tenant", str(site.place.tenant_id)))
        direct = {source: await connect(dsn()) for source, dsn in dsns.items()}
        servers = [
            await opened.enter_async_context(open_clickhouse(f"{stack.clickhouse_url}/{name}", call_limit=LIMIT))
            for name in ("atlas", "merged")
        ]
        yield Stores(readers, direct, *servers)


def asked_of(question: Question) -> Asked:
    """Return what the router makes of a request."""
    match question.call:
        case "GetEntity":
            return entity_question(question.request)
        case "GetAttributeHistory":
            return Paging.one_more(history_question(question.request))
        case "ListEntities":
            return Paging.one_more(list_question(question.request))
        case _:
            search = aggregate_question(question.request)
            return Paging.one_more(plain_figures(search) or search)


async def statement_of(connection: asyncpg.Connection[Any], site: Site, question: Question) -> Statement:
    """Return the statement that the router ends with for a question, having run it."""
    session = RecordingSession(connection)
    reading = Reader(cast("Session", session), [site.place.tenant_id], LIMIT)
    await answer(reading, _tenant(site), asked_of(question))
    return session.last


def _tenant(site: Site) -> Tenant:
    return Tenant(site.place.tenant_id, "bench-hot", EntityIdentity.NUMBERED, SPREAD, 1000, bytes(16), TODAY)


async def queries_of(clickhouse: ClickHouse, site: Site, question: Question) -> list[OlapQuery]:
    """Return the statements that the router asks ClickHouse for a question's data, having run them."""
    recording = RecordingClickHouse(clickhouse)
    server, tenant = cast("ClickHouse", recording), site.place.tenant_id
    match asked_of(question):
        case EntitySearch() as search:
            await searching.search(server, search, limit=LIMIT)
        case GroupSearch() as search:
            await grouping.groups(server, search, limit=LIMIT)
        case EntityQuestion(entity=int(entity), attributes=names, as_of=as_of, most=most):
            await reader.entity(server, tenant, entity, attributes=names, as_of=as_of, most=most + 1, limit=LIMIT)
        case HistoryQuestion(entity=int(entity)) as asked:
            bounds: dict[str, Any] = {"start": asked.start, "end": asked.end, "newest_first": asked.newest_first}
            await reader.history(server, tenant, entity, asked.attribute, **bounds, most=asked.most, limit=LIMIT)
        case FiguresQuestion() as asked:
            groups: dict[str, Any] = {"by_entity": asked.by_entity, "bucket": asked.bucket, "after": asked.after}
            bounds = {"start": asked.start, "end": asked.end, "most": asked.most, "limit": LIMIT}
            await analytics.figures(server, tenant, asked.attribute, **groups, **bounds)
        case asked:
            raise AssertionError(f"{asked} is no question of this benchmark")
    return recording.asked


def by_statement(connection: asyncpg.Connection[Any], statement: Statement) -> Way:
    """Return the way that runs this statement and looks at nothing of it."""

    async def asked(_: Question) -> None:
        await connection.fetch(statement.text, *statement.values)

    return asked


def by_queries(clickhouse: ClickHouse, queries: Sequence[OlapQuery]) -> Way:
    """Return the way that runs these statements at once, as the router does."""

    async def asked(_: Question) -> None:
        await asyncio.gather(*(clickhouse.rows(one.text, one.parameters, **one.options) for one in queries))

    return asked


def by_hand(connection: asyncpg.Connection[Any]) -> Way:
    """Return the way of a statement written by hand."""

    async def asked(question: Question) -> Any:
        assert question.hand is not None
        return question.of_rows(await connection.fetch(question.hand.text, *question.hand.values))

    return asked


def by_document(connection: asyncpg.Connection[Any]) -> Way:
    """Return the way over documents."""

    async def asked(question: Question) -> Any:
        assert question.document is not None
        return question.of_documents(await connection.fetch(question.document.text, *question.document.values))

    return asked


def by_olap_hand(clickhouse: ClickHouse) -> Way:
    """Return the way of a statement written by hand for ClickHouse."""

    async def asked(question: Question) -> Any:
        return question.of_rows(await clickhouse.rows(question.olap, limit=LIMIT))

    return asked
