"""A channel to another service of Atlas, with the retries, balancing and limits that the contract allows."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from atlas.ingest.v1 import ingest_service_pb2
from atlas.lag.v1 import lag_service_pb2
from atlas.query.v1 import query_service_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from grpc import aio

from atlaskit.rpc.server import MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES
from atlaskit.telemetry.carrier import current_traceparent

SERVICES: tuple[ServiceDescriptor, ...] = tuple(
    service
    for file in (ingest_service_pb2.DESCRIPTOR, query_service_pb2.DESCRIPTOR, lag_service_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
)


def service_config(services: Iterable[ServiceDescriptor] = SERVICES) -> dict[str, Any]:
    """Return the published service config.

    A call is retried only if its method is declared idempotent and has one answer: a stream is its caller's to open
    again. It is retried after UNAVAILABLE, and after CANCELLED, which is what gRPC says of a call that reaches a server
    in the instant it stops; a call that its caller cancelled ends here. A throttle stops retries when most calls fail.
    """
    names = [
        {"service": service.full_name, "method": method.name}
        for service in services
        for method in service.methods
        if _may_repeat(method)
    ]
    retry = {
        "maxAttempts": 4,
        "initialBackoff": "0.05s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
    }
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": ""},
        "methodConfig": [{"name": names, "retryPolicy": retry}],
        "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    }


def _may_repeat(method: MethodDescriptor) -> bool:
    streams = method.client_streaming or method.server_streaming
    options: MethodOptions = method.GetOptions()
    return not streams and options.idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN


@asynccontextmanager
async def open_channel(target: str) -> AsyncIterator[aio.Channel]:
    """Yield a channel to `target`: `host:port`, or `dns:///name:port` for one address per pod.

    It connects when first used. Calls inside of a span carry its context. On exit running calls are cancelled.
    """
    options: list[tuple[str, Any]] = [
        ("grpc.service_config", json.dumps(service_config())),
        ("grpc.max_send_message_length", MAX_REQUEST_BYTES),
        ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    async with aio.insecure_channel(target, options=options, interceptors=[_CarryTrace()]) as channel:
        yield channel


class _CarryTrace(aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: aio.ClientCallDetails, request: Any
    ) -> Any:
        if traceparent := current_traceparent():
            client_call_details = aio.ClientCallDetails(
                method=client_call_details.method,
                timeout=client_call_details.timeout,
                metadata=aio.Metadata(*(client_call_details.metadata or ()), ("traceparent", traceparent)),
                credentials=client_call_details.credentials,
                wait_for_ready=client_call_details.wait_for_ready,
            )
        return await continuation(client_call_details, request)
