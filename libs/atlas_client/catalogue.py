"""Promoting attributes, so that filters on them are fast, and ending it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from atlas.catalogue.v1 import catalogue_service_pb2 as pb
from atlas.catalogue.v1 import catalogue_service_pb2_grpc as grpc_pb
from atlas.ingest.v1 import value_pb2
from grpc import aio

from atlas_client.budget import RetryBudget
from atlas_client.calls import Deadline, call
from atlas_client.identity import Identified, Metadata
from atlas_client.values import ValueType, instant_of

TIMEOUT = timedelta(seconds=10)


class HotState(Enum):
    """Where a promotion is; it goes one way."""

    BACKFILLING = pb.HOT_ATTRIBUTE_STATE_BACKFILLING
    READY = pb.HOT_ATTRIBUTE_STATE_READY
    RETIRED = pb.HOT_ATTRIBUTE_STATE_RETIRED


@dataclass(frozen=True, slots=True)
class HotAttribute:
    """A promoted attribute. `entities_total` is None until they were counted; times are None until they are reached."""

    mapping_id: int
    asset_type: str
    attribute_key: str
    value_type: ValueType
    state: HotState
    entities_done: int
    entities_total: int | None
    created_at: datetime
    ready_at: datetime | None
    retired_at: datetime | None


class Catalogue:
    """The calls of CatalogueService. `timeout` is for all attempts together. All raise CallFailed."""

    def __init__(self, channel: aio.Channel, identity: Metadata = ()) -> None:
        self._catalogue_budget = RetryBudget()
        self._catalogue = Identified(grpc_pb.CatalogueServiceStub(channel), identity)

    async def promote_attribute(
        self,
        tenant_id: int,
        attribute_key: str,
        *,
        asset_type: str = "",
        value_type: ValueType | None = None,
        timeout: timedelta = TIMEOUT,
    ) -> HotAttribute:
        """Return the promotion of an attribute of the entities of one asset type (empty: of those without one).

        It is BACKFILLING at first and serves reads once it is READY. `value_type` None takes the type of its values."""
        kind = (
            value_pb2.VALUE_TYPE_UNSPECIFIED if value_type is None else value_pb2.ValueType.ValueType(value_type.value)
        )
        request = pb.PromoteAttributeRequest(
            tenant_id=tenant_id, asset_type=asset_type, attribute_key=attribute_key, value_type=kind
        )
        promoting = call(self._catalogue.PromoteAttribute, request, Deadline(timeout), self._catalogue_budget)
        return hot_attribute_of((await promoting).attribute)

    async def demote_attribute(
        self, tenant_id: int, attribute_key: str, *, asset_type: str = "", timeout: timedelta = TIMEOUT
    ) -> HotAttribute:
        """Return the promotion of an attribute, ended now."""
        request = pb.DemoteAttributeRequest(tenant_id=tenant_id, asset_type=asset_type, attribute_key=attribute_key)
        demoting = call(self._catalogue.DemoteAttribute, request, Deadline(timeout), self._catalogue_budget)
        return hot_attribute_of((await demoting).attribute)

    async def list_hot_attributes(
        self, tenant_id: int, *, include_retired: bool = False, timeout: timedelta = TIMEOUT
    ) -> list[HotAttribute]:
        """Return every promoted attribute of a tenant in the order of promotion, those that ended too if asked."""
        deadline, found, page_token = Deadline(timeout), list[HotAttribute](), ""
        while True:
            request = pb.ListHotAttributesRequest(
                tenant_id=tenant_id, include_retired=include_retired, page_size=1000, page_token=page_token
            )
            page = await call(self._catalogue.ListHotAttributes, request, deadline, self._catalogue_budget)
            found.extend(map(hot_attribute_of, page.attributes))
            page_token = page.next_page_token
            if not page_token:
                return found


def hot_attribute_of(message: pb.HotAttribute) -> HotAttribute:
    """Return the promotion of a message."""
    return HotAttribute(
        message.mapping_id,
        message.asset_type,
        message.attribute_key,
        ValueType(message.value_type),
        HotState(message.state),
        message.entities_done,
        message.entities_total if message.HasField("entities_total") else None,
        instant_of(message.create_time),
        instant_of(message.ready_time) if message.HasField("ready_time") else None,
        instant_of(message.retire_time) if message.HasField("retire_time") else None,
    )
