"""Errors as HTTP says them: RFC 9457, with the certificate and its headers when the error has one."""

from __future__ import annotations

import math
from http import HTTPStatus

from atlaskit.errors import AtlasError
from atlaskit.rpc.errors import Fault, RemoteError, fault_of
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from grpc import StatusCode
from starlette.exceptions import HTTPException

from atlas_gateway.bodies import Problem
from atlas_gateway.render import certificate_of, headers_of

MEDIA_TYPE = "application/problem+json"
HTTP_STATUS = {
    StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    StatusCode.OUT_OF_RANGE: HTTPStatus.BAD_REQUEST,
    StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    StatusCode.ABORTED: HTTPStatus.CONFLICT,
    StatusCode.FAILED_PRECONDITION: HTTPStatus.PRECONDITION_FAILED,
    StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    StatusCode.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
}
TITLE = {
    HTTPStatus.PRECONDITION_FAILED: "No source is proven to fulfil what was asked",
    HTTPStatus.GATEWAY_TIMEOUT: "The answer was not ready in time",
    HTTPStatus.SERVICE_UNAVAILABLE: "The service cannot answer now",
}


def answer_to(error: Exception) -> Response:
    """Return the response to an error. One without a name says nothing but that: its text may hold a secret."""
    fault = _remote(error) if isinstance(error, RemoteError) else fault_of(error)
    status = HTTP_STATUS.get(fault.code, HTTPStatus.INTERNAL_SERVER_ERROR)
    problem = problem_of(status, fault.reason, fault.message, fault.field)
    headers = {} if fault.freshness is None else headers_of(fault.freshness)
    if fault.freshness is not None:
        problem = problem.model_copy(update={"freshness": certificate_of(fault.freshness)})
    if fault.retry_after is not None:
        seconds = fault.retry_after.total_seconds()
        problem = problem.model_copy(update={"retry_after_ms": math.ceil(seconds * 1000)})
        headers["Retry-After"] = str(math.ceil(seconds))
    return _response(problem, headers)


def problem_of(status: HTTPStatus, reason: str, detail: str, field: str = "") -> Problem:
    """Return the body that says this."""
    return Problem(
        type=f"urn:atlas:problem:{reason.lower().replace('_', '-')}",
        title=TITLE.get(status, status.phrase),
        status=status,
        detail=detail,
        reason=reason,
        field=field or None,
    )


def _response(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    body = problem.model_dump_json(exclude={name for name, value in problem if value is None})
    return Response(body, problem.status, headers, MEDIA_TYPE)


def _remote(error: RemoteError) -> Fault:
    return Fault(
        code=error.code,
        reason=error.remote_reason,
        message=error.message,
        field=error.field,
        retry_after=error.retry_after,
        metadata=error.remote_metadata,
        freshness=error.freshness,
    )


def install(app: FastAPI) -> None:
    """Make every error of this application a problem, those of routing and of parameters too."""

    @app.exception_handler(AtlasError)
    async def named(_: Request, error: AtlasError) -> Response:
        return answer_to(error)

    @app.exception_handler(RequestValidationError)
    async def parameters(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = str(first["loc"][-1])
        return _response(problem_of(HTTPStatus.BAD_REQUEST, "INVALID_REQUEST", f"{field}: {first['msg']}", field))

    @app.exception_handler(HTTPException)
    async def routing(_: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        return _response(problem_of(status, status.name, str(error.detail)))

    @app.exception_handler(Exception)
    async def unnamed(_: Request, error: Exception) -> Response:
        return answer_to(error)
