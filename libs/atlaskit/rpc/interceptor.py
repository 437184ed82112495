"""What happens around every call: deadline, identity, span, time, errors; and how calls end that never would."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

import grpc
import structlog
from grpc import StatusCode, aio
from grpc_status import rpc_status
from opentelemetry.metrics import Meter
from opentelemetry.trace import SpanKind, Tracer, get_current_span
from opentelemetry.trace import StatusCode as SpanStatus

from atlaskit.config import IdentityMode
from atlaskit.errors import DeadlineRequired, Unavailable
from atlaskit.rpc import identity
from atlaskit.rpc.errors import Fault, fault_of, status_of
from atlaskit.rpc.freshness_metadata import send_freshness
from atlaskit.telemetry.carrier import parent_of
from atlaskit.telemetry.measures import CALL_DURATION, CALL_REFUSALS
from atlaskit.telemetry.metrics import NO_METER, Tally, histogram
from atlaskit.telemetry.names import Attribute
from atlaskit.telemetry.sparing import Sparing

Context = aio.ServicerContext[Any, Any]
Handler = Any  # one of four shapes of grpc.RpcMethodHandler, which its types do not tell apart

# Calls that stay open until someone cancels them. They need no deadline, have no span, and end when the server drains.
ENDLESS = frozenset({
    "/atlas.lag.v1.LagService/WatchLag",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
})  # fmt: skip
PLAIN = frozenset({"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/List"})  # no deadline needed, no span
CALLER_IS_TOLD = frozenset({StatusCode.INTERNAL, StatusCode.UNAVAILABLE, StatusCode.UNKNOWN})  # and so are operators

# A service that refuses under load must not spend what it has left on saying so.
_REFUSALS = Sparing(per_second=10.0)

log = structlog.get_logger(__name__)


class CallInterceptor(aio.ServerInterceptor):
    """Wraps each method of a server once, at its first call."""

    def __init__(self, tracer: Tracer, mode: IdentityMode = IdentityMode.OPTIONAL, meter: Meter = NO_METER) -> None:
        self._tracer = tracer
        self._mode = mode
        self._durations, self._refusals = histogram(meter, CALL_DURATION), Tally(meter, CALL_REFUSALS)
        self._wrapped: dict[str, Handler] = {}
        self._draining = False
        self._open: set[asyncio.Timeout] = set()
        self._running = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        method: str = handler_call_details.method
        if method in self._wrapped:
            return self._wrapped[method]
        handler = await continuation(handler_call_details)
        if handler is None or method in PLAIN:
            return handler
        # Only methods that exist come here, so the table is bounded.
        return self._wrapped.setdefault(method, self._wrap(method, handler))

    def end_endless(self) -> None:
        """End the calls that never end by themselves, with UNAVAILABLE, so that they do not hold a drain."""
        self._draining = True
        for scope in self._open:
            scope.reschedule(0.0)

    async def quiet(self) -> None:
        """Return once none of the calls that end by themselves is running."""
        await self._quiet.wait()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._running += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._quiet.set()

    def _wrap(self, method: str, handler: Handler) -> Handler:
        shape = f"{_arity(handler.request_streaming)}_{_arity(handler.response_streaming)}"
        inner = getattr(handler, shape)
        endless = method in ENDLESS
        around = self._around_endless if endless else self._around
        admit: Callable[[Any, Context], None] = _anybody if endless else self._admit
        step: Callable[[Awaitable[Any]], Awaitable[Any]] = self._unless_draining if endless else _plainly

        async def answer(request: Any, context: Context) -> Any:
            try:
                async with around(method, context):
                    admit(request, context)
                    return await step(inner(request, context))
            except aio.AbortError as aborted:
                _unlink(aborted)
                del request, context
                raise

        async def answers(request: Any, context: Context) -> AsyncIterator[Any]:
            try:
                async with around(method, context):
                    admit(request, context)
                    async with aclosing(inner(request, context)) as replies:
                        while (reply := await step(anext(replies, None))) is not None:
                            yield reply
            except aio.AbortError as aborted:
                _unlink(aborted)
                del request, context
                raise

        # A streaming handler may also be a coroutine that writes to the context, as the health servicer's is.
        wrapped = answers if inspect.isasyncgenfunction(inner) else answer
        make: Callable[..., Handler] = getattr(grpc, f"{shape}_rpc_method_handler")
        return make(wrapped, handler.request_deserializer, handler.response_serializer)

    def _admit(self, request: Any, context: Context) -> None:
        """Note whose call it is. Raises the errors of `identity`. Its servicer checks the messages of a stream."""
        whose = identity.identity_of(context.invocation_metadata() or (), self._mode)
        identity.enter(whose)
        whose.permit(identity.tenants_named(request))

    async def _unless_draining(self, step: Awaitable[Any]) -> Any:
        # The scope confines the interruption to the step: a cancelled task would leave a call that is being written to
        # without a status. A call that is not in a step now ends before its next one.
        try:
            async with asyncio.timeout(0.0 if self._draining else None) as scope:
                self._open.add(scope)
                return await step
        except TimeoutError:
            if scope.expired():
                raise Unavailable("the service stops; ask another") from None
            raise
        finally:
            self._open.discard(scope)

    @asynccontextmanager
    async def _around(self, method: str, context: Context) -> AsyncIterator[None]:
        begun, status = time.monotonic(), StatusCode.CANCELLED
        with (
            self._counted(),
            self._tracer.start_as_current_span(
                method[1:],
                context=parent_of(_traceparent(context)),
                kind=SpanKind.SERVER,
                attributes={Attribute.RPC_SYSTEM: "grpc", Attribute.RPC_METHOD: method[1:]},
                record_exception=False,
                set_status_on_exception=False,
            ),
        ):
            try:
                # The types say it is never None; it is, when the caller set no deadline.
                if context.time_remaining() is None:
                    raise DeadlineRequired
                yield
                status = StatusCode.OK
            except aio.AbortError:
                status = StatusCode.UNKNOWN  # its status was told to the caller, and to nobody else
                raise
            except Exception as error:  # noqa: BLE001  # the one place where every error ends: as a status, and in the log
                fault = fault_of(error)
                status = fault.code
                self._refusals.add(1, method[1:], fault.reason)
                _tell(fault, error, method, context, time.monotonic() - begun)
                await _refuse(fault, context)
            finally:
                labels: dict[str, str] = {Attribute.RPC_METHOD: method[1:], Attribute.RPC_STATUS: status.name}
                self._durations.record(time.monotonic() - begun, labels)

    @asynccontextmanager
    async def _around_endless(self, method: str, context: Context) -> AsyncIterator[None]:
        begun = time.monotonic()
        try:
            yield
        except aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001  # as above
            fault = fault_of(error)
            if not self._draining:
                self._refusals.add(1, method[1:], fault.reason)
                _tell(fault, error, method, context, time.monotonic() - begun)
            await _refuse(fault, context)


def _unlink(aborted: aio.AbortError) -> None:
    """Let go of the frames that an abort passed.

    The state of a call keeps the error, whose frames keep that state: in such a ring the request, of some megabytes,
    would stay until a collection of garbage."""
    aborted.__context__ = None
    aborted.__traceback__ = None


def _anybody(request: Any, context: Context) -> None:
    return


async def _plainly(step: Awaitable[Any]) -> Any:
    return await step


def _arity(streaming: bool) -> str:
    return "stream" if streaming else "unary"


def _traceparent(context: Context) -> str:
    for key, text in context.invocation_metadata() or ():
        if key == "traceparent" and isinstance(text, str):
            return text
    return ""


def _tell(fault: Fault, error: Exception, method: str, context: Context, seconds: float) -> None:
    span = get_current_span()
    span.set_attributes({Attribute.RPC_STATUS: fault.code.name, Attribute.ERROR_TYPE: fault.reason})
    span.set_status(SpanStatus.ERROR, fault.reason)
    line = log.bind(
        method=method[1:], code=fault.code.name, reason=fault.reason, peer=context.peer(), seconds=round(seconds, 4)
    )
    if fault.code is StatusCode.INTERNAL:
        line.error("call failed", exc_info=error)
    elif fault.code in CALLER_IS_TOLD:
        line.warning("call failed", message=fault.message)
    elif (left_out := _REFUSALS.take(f"{method} {fault.reason}", time.monotonic())) is not None:
        line.info("call refused", message=fault.message, left_out=left_out)


async def _refuse(fault: Fault, context: Context) -> None:
    if fault.freshness is not None:
        await send_freshness(context, fault.freshness)
    await context.abort_with_status(rpc_status.to_status(status_of(fault)))
