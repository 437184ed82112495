"""The service of promoted attributes: messages in, messages out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from atlas.catalogue.v1 import catalogue_service_pb2 as pb2
from atlas.ingest.v1 import value_pb2
from atlaskit.errors import InvalidRequest
from atlaskit.model import ValueType
from atlaskit.postgres.hot_promotion import Attribute, HotAttribute, HotAttributes
from atlaskit.postgres.hot_slots import MappingState
from atlaskit.postgres.tenants import Tenants
from atlaskit.rpc.deadline import Deadline
from grpc import aio

from atlas_ingest.validation import check_tenant_id, text_flaw

Context = aio.ServicerContext[Any, Any]
MAX_KEY_BYTES = 512
MAX_ASSET_TYPE_BYTES = 128
DEFAULT_PAGE = 100
MAX_PAGE = 1000
_STATES = {
    MappingState.BACKFILLING: pb2.HOT_ATTRIBUTE_STATE_BACKFILLING,
    MappingState.READY: pb2.HOT_ATTRIBUTE_STATE_READY,
    MappingState.RETIRED: pb2.HOT_ATTRIBUTE_STATE_RETIRED,
}


class CatalogueServicer:
    """Promotes, demotes and lists. `promoted` is called after each promotion."""

    def __init__(self, tenants: Tenants, attributes: HotAttributes, promoted: Callable[[], None]) -> None:
        self._tenants = tenants
        self._attributes = attributes
        self._promoted = promoted

    async def promote(self, request: pb2.PromoteAttributeRequest, context: Context) -> pb2.PromoteAttributeResponse:
        """Promote an attribute, or return the promotion that there is."""
        deadline = Deadline.of(context)
        kind = kind_of(request)
        wanted = await self._wanted(request, deadline)
        found = await self._attributes.promote(wanted, kind, deadline.require("the attribute was promoted"))
        self._promoted()
        return pb2.PromoteAttributeResponse(attribute=message_of(found))

    async def demote(self, request: pb2.DemoteAttributeRequest, context: Context) -> pb2.DemoteAttributeResponse:
        """End the promotion of an attribute."""
        deadline = Deadline.of(context)
        wanted = await self._wanted(request, deadline)
        found = await self._attributes.demote(wanted, deadline.require("the attribute was demoted"))
        return pb2.DemoteAttributeResponse(attribute=message_of(found))

    async def list(self, request: pb2.ListHotAttributesRequest, context: Context) -> pb2.ListHotAttributesResponse:
        """Return one page of promotions."""
        deadline = Deadline.of(context)
        check_tenant_id(request.tenant_id)
        size, after = page_of(request)
        await self._tenants.get(request.tenant_id, deadline.require("the tenant was found"))
        limit = deadline.require("the attributes were listed")
        found = await self._attributes.after(
            request.tenant_id, after, size + 1, retired=request.include_retired, limit=limit
        )
        page = [message_of(one) for one in found[:size]]
        more = str(page[-1].mapping_id) if len(found) > size else ""
        return pb2.ListHotAttributesResponse(attributes=page, next_page_token=more)

    async def _wanted(
        self, request: pb2.PromoteAttributeRequest | pb2.DemoteAttributeRequest, deadline: Deadline
    ) -> Attribute:
        check_tenant_id(request.tenant_id)
        for field, text, least, most in (
            ("asset_type", request.asset_type, 0, MAX_ASSET_TYPE_BYTES),
            ("attribute_key", request.attribute_key, 1, MAX_KEY_BYTES),
        ):
            if (flaw := text_flaw(text, least, most)) is not None:
                raise InvalidRequest(field, flaw.message, flaw.reason)
        await self._tenants.get(request.tenant_id, deadline.require("the tenant was found"))
        return Attribute(request.tenant_id, request.asset_type, request.attribute_key)


def kind_of(request: pb2.PromoteAttributeRequest) -> ValueType | None:
    """Return the type to promote with, None to take that of the values. Raises InvalidRequest for one without slots."""
    if request.value_type == value_pb2.VALUE_TYPE_UNSPECIFIED:
        return None
    if int(request.value_type) not in set(ValueType) - {ValueType.BYTES}:
        raise InvalidRequest("value_type", "must be INT64, UINT64, DOUBLE, BOOL or STRING", "VALUE_TYPE_NOT_PROMOTABLE")
    return ValueType(request.value_type)


def page_of(request: pb2.ListHotAttributesRequest) -> tuple[int, int]:
    """Return the size of the page and the id it begins after. Raises InvalidRequest naming the field."""
    if request.page_size < 0:
        raise InvalidRequest("page_size", "must not be negative; 0 means 100", "PAGE_SIZE_NEGATIVE")
    token = request.page_token
    if token and not (token.isascii() and token.isdigit() and len(token) <= 10 and int(token) < 2**31):
        raise InvalidRequest("page_token", "is none of ListHotAttributes", "PAGE_TOKEN_MALFORMED")
    return min(request.page_size or DEFAULT_PAGE, MAX_PAGE), int(token or 0)


def message_of(found: HotAttribute) -> pb2.HotAttribute:
    """Return the promotion as a message."""
    mapping = found.mapping
    message = pb2.HotAttribute(
        mapping_id=mapping.mapping_id,
        asset_type=found.attribute.asset_type,
        attribute_key=found.attribute.key,
        value_type=value_pb2.ValueType.ValueType(mapping.slot.kind),
        state=_STATES[mapping.state],
        entities_done=found.entities_done,
        entities_total=found.entities_total,
    )
    message.create_time.FromDatetime(found.created_at)
    if found.ready_at is not None:
        message.ready_time.FromDatetime(found.ready_at)
    if found.retired_at is not None:
        message.retire_time.FromDatetime(found.retired_at)
    return message
