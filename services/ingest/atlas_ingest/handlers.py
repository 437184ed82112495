"""The services of `ingest` for a server, with requests decoded by `wire`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import grpc
from atlas.catalogue.v1 import catalogue_service_pb2 as catalogue_pb2
from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlaskit.errors import InvalidRequest
from atlaskit.rpc.server import Service
from google.protobuf.message import Message
from grpc import aio

from atlas_ingest.catalogue import CatalogueServicer
from atlas_ingest.servicer import IngestServicer
from atlas_ingest.tenants import TenantServicer
from atlas_ingest.wire import Decoder, Undecodable

Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)
Context = aio.ServicerContext[Any, Any]


def services_of(ingest: IngestServicer, tenants: TenantServicer, catalogue: CatalogueServicer) -> list[Service]:
    """Return the services, to be served."""
    return [
        _service(
            f"{pb2.DESCRIPTOR.package}.IngestService",
            {
                "WriteAttributes": _unary(ingest.write, pb2.WriteAttributesRequest),
                "StreamWriteAttributes": _stream(ingest.stream, pb2.StreamWriteAttributesRequest),
                "DeleteAttributes": _unary(ingest.delete, pb2.DeleteAttributesRequest),
            },
        ),
        _service(
            f"{pb2.DESCRIPTOR.package}.TenantService",
            {
                "CreateTenant": _unary(tenants.create, pb2.CreateTenantRequest),
                "ListTenants": _unary(tenants.list, pb2.ListTenantsRequest),
            },
        ),
        _service(
            f"{catalogue_pb2.DESCRIPTOR.package}.CatalogueService",
            {
                "PromoteAttribute": _unary(catalogue.promote, catalogue_pb2.PromoteAttributeRequest),
                "DemoteAttribute": _unary(catalogue.demote, catalogue_pb2.DemoteAttributeRequest),
                "ListHotAttributes": _unary(catalogue.list, catalogue_pb2.ListHotAttributesRequest),
            },
        ),
    ]


def _service(full_name: str, methods: dict[str, grpc.RpcMethodHandler[Any, Any]]) -> Service:
    handler = grpc.method_handlers_generic_handler(full_name, methods)
    return Service(full_name, lambda server: server.add_generic_rpc_handlers((handler,)))


def _unary(method: Callable[[Q, Context], Awaitable[R]], kind: type[Q]) -> grpc.RpcMethodHandler[Any, Any]:
    async def call(request: Q | Undecodable, context: Context) -> R:
        return await method(decoded(request, kind), context)

    return grpc.unary_unary_rpc_method_handler(
        call,
        request_deserializer=Decoder(kind),
        response_serializer=_serialized,
    )


def _stream(
    method: Callable[[AsyncIterator[Q | Undecodable], Context], Awaitable[None]], kind: type[Q]
) -> grpc.RpcMethodHandler[Any, Any]:
    return grpc.stream_stream_rpc_method_handler(
        method,
        request_deserializer=Decoder(kind),
        response_serializer=_serialized,
    )


def decoded(request: Q | Undecodable, kind: type[Q]) -> Q:
    """Return the request. Raises InvalidRequest for one that is no message."""
    if isinstance(request, Undecodable):
        raise InvalidRequest("", f"the request is no {kind.DESCRIPTOR.full_name}", "MESSAGE_MALFORMED")
    return request


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()
