"""The client: one object for writing and reading."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from grpc import aio

from atlas_client.catalogue import Catalogue
from atlas_client.identity import metadata_of
from atlas_client.reads import Reads
from atlas_client.writes import Writes

MAX_REQUEST_BYTES = 8 * 1024 * 1024 + 64 * 1024
MAX_RESPONSE_BYTES = 32 * 1024 * 1024
# Which address to use; what to repeat is decided in `calls`, which reads how long a service wants to be left alone.
SERVICE_CONFIG = {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}


class AtlasClient(Writes, Reads, Catalogue):
    """Writes telemetry and reads it back with a certificate of freshness. Safe for many tasks of one event loop."""

    def __init__(self, ingest: aio.Channel, query: aio.Channel, *, caller: str = "", tenant: int | None = None) -> None:
        self._channels, self._caller = (ingest, query), caller
        identity = metadata_of(caller, tenant)
        Writes.__init__(self, ingest, identity)
        Reads.__init__(self, query, identity)
        Catalogue.__init__(self, ingest, identity)

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, ingest: str, query: str, *, caller: str = "", tenant: int | None = None
    ) -> AsyncIterator[AtlasClient]:
        """Yield a client of two addresses, `host:port` or `dns:///name:port`; they may be the same.

        `caller` names the calling service, 1 to 64 characters; reads across tenants need a grant to that name. `tenant`
        confines the client to one tenant: a call that names another is refused, PERMISSION_DENIED (TENANT_MISMATCH).
        Empty and None state nothing, which a deployment may refuse. Raises ValueError for what is no name or tenant.
        It connects when first used. On exit running calls are cancelled.
        """
        async with AsyncExitStack() as stack:
            channels = [await stack.enter_async_context(_channel(target)) for target in (ingest, query)]
            yield cls(*channels, caller=caller, tenant=tenant)

    def for_tenant(self, tenant: int) -> AtlasClient:
        """Return a client over the same connections that acts for this tenant alone. Raises ValueError."""
        return AtlasClient(*self._channels, caller=self._caller, tenant=tenant)


def _channel(target: str) -> aio.Channel:
    options: list[tuple[str, Any]] = [
        ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
        ("grpc.enable_retries", 0),
        ("grpc.max_send_message_length", MAX_REQUEST_BYTES),
        ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    return aio.insecure_channel(target, options=options)
