"""The service of tenants: messages in, messages out."""

from __future__ import annotations

from typing import Any

from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlaskit.errors import InvalidRequest, PermissionDenied
from atlaskit.model import SPREADS, EntityIdentity, Tenant
from atlaskit.postgres.tenants import Tenants
from atlaskit.rpc.deadline import Deadline
from atlaskit.rpc.identity import current_identity
from grpc import aio

from atlas_ingest.validation import text_flaw

Context = aio.ServicerContext[Any, Any]
MAX_NAME_BYTES = 128
DEFAULT_SPREAD = 10
DEFAULT_QUOTA = 20_000
MAX_QUOTA = 10_000_000
DEFAULT_PAGE = 100
MAX_PAGE = 1000
_IDENTITIES = {
    pb2.ENTITY_IDENTITY_KEYED: EntityIdentity.KEYED,
    pb2.ENTITY_IDENTITY_NUMBERED: EntityIdentity.NUMBERED,
}
_NUMBERS = {identity: number for number, identity in _IDENTITIES.items()}


class TenantServicer:
    """Registers and lists tenants."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants

    async def create(self, request: pb2.CreateTenantRequest, context: Context) -> pb2.CreateTenantResponse:
        """Register a tenant, or return the one that is registered just so."""
        limit = Deadline.of(context).require("the tenant was registered")
        if (acts_for := current_identity().tenant_id) is not None:
            raise PermissionDenied(f"the call acts for tenant {acts_for}; call without x-atlas-tenant to register one")
        identity, spread, quota = properties_of(request)
        tenant = await self._tenants.create(request.name, identity, spread, quota, limit)
        return pb2.CreateTenantResponse(tenant=message_of(tenant))

    async def list(self, request: pb2.ListTenantsRequest, context: Context) -> pb2.ListTenantsResponse:
        """Return one page of tenants by id; to a call that acts for one tenant that one alone."""
        limit = Deadline.of(context).require("tenants were listed")
        size, after = page_of(request)
        if (acts_for := current_identity().tenant_id) is not None:
            own = [message_of(await self._tenants.get(acts_for, limit))] if after < acts_for else []
            return pb2.ListTenantsResponse(tenants=own)
        found = await self._tenants.after(after, size + 1, limit)
        page = [message_of(tenant) for tenant in found[:size]]
        more = str(page[-1].tenant_id) if len(found) > size else ""
        return pb2.ListTenantsResponse(tenants=page, next_page_token=more)


def properties_of(request: pb2.CreateTenantRequest) -> tuple[EntityIdentity, int, int]:
    """Return identity, spread and quota of the tenant to register. Raises InvalidRequest naming the field."""
    if (flaw := text_flaw(request.name, 1, MAX_NAME_BYTES)) is not None:
        raise InvalidRequest("name", flaw.message, flaw.reason)
    identity = _IDENTITIES.get(request.entity_identity)
    if identity is None:
        raise InvalidRequest("entity_identity", "must be KEYED or NUMBERED", "ENTITY_IDENTITY_UNKNOWN")
    spread = request.shard_spread or DEFAULT_SPREAD
    if spread not in SPREADS:
        raise InvalidRequest("shard_spread", "must be 1, 2, 5 or 10; 0 means 10", "SHARD_SPREAD_OUT_OF_RANGE")
    quota = request.attribute_key_quota or DEFAULT_QUOTA
    if not 1 <= quota <= MAX_QUOTA:
        raise InvalidRequest("attribute_key_quota", f"must be 1 to {MAX_QUOTA}; 0 means 20000", "QUOTA_OUT_OF_RANGE")
    return identity, spread, quota


def page_of(request: pb2.ListTenantsRequest) -> tuple[int, int]:
    """Return the size of the page and the id it begins after. Raises InvalidRequest naming the field."""
    if request.page_size < 0:
        raise InvalidRequest("page_size", "must not be negative; 0 means 100", "PAGE_SIZE_NEGATIVE")
    token = request.page_token
    if token and not (token.isascii() and token.isdigit() and len(token) <= 10 and int(token) < 2**31):
        raise InvalidRequest(
            "page_token", "is none of ListTenants; pass one back as it was received", "PAGE_TOKEN_MALFORMED"
        )
    return min(request.page_size or DEFAULT_PAGE, MAX_PAGE), int(token or 0)


def message_of(tenant: Tenant) -> pb2.Tenant:
    """Return the tenant as a message, without its secret."""
    message = pb2.Tenant(
        tenant_id=tenant.tenant_id,
        name=tenant.name,
        entity_identity=_NUMBERS[tenant.identity],
        shard_spread=tenant.spread,
        attribute_key_quota=tenant.key_quota,
    )
    message.create_time.FromDatetime(tenant.created_at)
    return message
