"""The HTTP surface: one entity with its values and four headers of freshness, and the health of this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any

from atlaskit.errors import Overloaded
from atlaskit.rpc.identity import Identity, identity_of
from atlaskit.telemetry.carrier import parent_of
from fastapi import FastAPI, Header, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from opentelemetry.trace import SpanKind, Tracer

from atlas_gateway import problems
from atlas_gateway.bodies import Health, Problem, Status
from atlas_gateway.question import IdKind, Policy, QueryType, Question, UseCase, entities_of, freshness_of, timeout_of
from atlas_gateway.render import headers_of, status_of
from atlas_gateway.router import QueryRouter
from atlas_gateway.settings import Settings

NAME = "gateway"  # who the router is told calls, when the caller of the gateway does not say
STATUS_PATH = "/api/v1/entities/{id}/status"
LONGEST_MS = 86_400_000
HEADER_DOCS: dict[str, Any] = {
    "X-Data-Source": {"description": "primary, replica, olap, lake or mixed", "schema": {"type": "string"}},
    "X-Data-Freshness-Ms": {
        "description": "Proven staleness, rounded up; absent: unknown",
        "schema": {"type": "integer"},
    },
    "X-Data-Timestamp": {"description": "Wall clock less staleness; informational", "schema": {"type": "string"}},
    "X-Replication-Lag-Ms": {"description": "Lag of the copy; absent: unknown", "schema": {"type": "integer"}},
}
PROBLEM: dict[str, Any] = {
    "model": Problem,
    "content": {problems.MEDIA_TYPE: {}},
    "description": "A problem (RFC 9457)",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"headers": HEADER_DOCS},
    **dict.fromkeys((400, 401, 403, 404, 412, 429, 500, 503, 504), PROBLEM),
}


@dataclass(slots=True)
class Load:
    """How many requests are being answered, and whether new ones should go elsewhere."""

    limit: int
    active: int = 0
    draining: bool = False

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place for one request. Raises Overloaded when there is none."""
        if self.active >= self.limit:
            raise Overloaded("the gateway", timedelta(milliseconds=100))
        self.active += 1
        try:
            yield
        finally:
            self.active -= 1


def build_app(router: QueryRouter, settings: Settings, load: Load, tracer: Tracer) -> FastAPI:
    """Return the application that answers from this router."""
    app = FastAPI(title="Atlas gateway", version="1", summary="Fresh-enough answers over HTTP and JSON")
    problems.install(app)
    _add_status(app, router, settings, load, tracer)
    _add_health(app, load)
    return app


def _add_status(app: FastAPI, router: QueryRouter, settings: Settings, load: Load, tracer: Tracer) -> None:
    @app.get("/api/v1/entities/{id:path}/status", response_model=Status, responses=RESPONSES)
    async def entity_status(
        *,
        request: Request,
        entity: Annotated[str, Path(alias="id", max_length=512, description="The caller's key, or a number")],
        tenant: Annotated[int, Header(alias="X-Tenant-Id", ge=1, le=2**31 - 1)],
        timeout_ms: Annotated[int | None, Header(alias="X-Request-Timeout-Ms", ge=1)] = None,
        # Described here; `identity_of` reads them, once each.
        acts_for: Annotated[str | None, Header(alias="X-Atlas-Tenant", description="May be no other tenant")] = None,
        caller: Annotated[str | None, Header(alias="X-Atlas-Caller", description="Name of the calling service")] = None,
        id_kind: Annotated[IdKind, Query(description="auto: digits are a number, then a key")] = IdKind.AUTO,
        attribute: Annotated[list[str] | None, Query(max_length=1000, description="Empty: all")] = None,
        use_case: UseCase | None = None,
        query_type: QueryType | None = None,
        max_staleness_ms: Annotated[int | None, Query(ge=1, le=LONGEST_MS)] = None,
        at_least: Annotated[str, Query(max_length=128, description="Token that the answer must reflect")] = "",
        policy: Policy | None = None,
        max_wait_ms: Annotated[int | None, Query(ge=0, le=LONGEST_MS)] = None,
        session: Annotated[bool, Query(description="True asks for a session token")] = False,
    ) -> Response:
        """Return an entity with its current values, from a copy that is fresh enough, and say how fresh."""
        whose = identity_of(request.headers.items(), settings.identity)
        whose.permit((tenant,))
        freshness = freshness_of(
            use_case=use_case,
            query_type=query_type,
            max_staleness_ms=max_staleness_ms,
            at_least=at_least,
            policy=policy,
            max_wait_ms=max_wait_ms,
            session=session,
        )
        wanted = tuple(attribute or ())
        questions = [Question(tenant, one, wanted, freshness) for one in entities_of(entity, id_kind)]
        timeout = timeout_of(timeout_ms, settings.request_timeout, settings.request_timeout_limit)
        parent = parent_of(request.headers.get("traceparent", ""))
        name = f"GET {STATUS_PATH}"
        with load.one(), tracer.start_as_current_span(name, context=parent, kind=SpanKind.SERVER):
            answer = await router.first_of(questions, timeout, Identity(whose.caller or NAME, tenant))
        body = status_of(answer).model_dump_json()
        return Response(body, headers=headers_of(answer.freshness), media_type="application/json")


def _add_health(app: FastAPI, load: Load) -> None:
    @app.get("/healthz", response_model=Health)
    async def alive() -> Response:
        """Say that this process runs."""
        return JSONResponse({"status": "alive"})

    @app.get("/readyz", response_model=Health)
    async def ready() -> Response:
        """Say whether this process takes requests; while it drains, 503. The stores behind it do not count."""
        if load.draining:
            return JSONResponse({"status": "draining"}, HTTPStatus.SERVICE_UNAVAILABLE)
        return JSONResponse({"status": "ready"})
