"""The items of a request, of any form, before anything is done for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import NamedTuple

from atlas.ingest.v1.ingest_service_pb2 import DeleteAttributesRequest, WriteAttributesRequest
from atlaskit.errors import InvalidRequest
from atlaskit.model import EntityIdentity

from atlas_ingest.decoding import draft_of_columns, draft_of_deletes, draft_of_rows
from atlas_ingest.draft import MAX_ITEMS, Draft
from atlas_ingest.validation import MAX_DELETES


class Items(NamedTuple):
    """Where the items stand, how many they are and may be, and how to read them for a tenant of a kind."""

    field: str
    length: int
    most: int
    draft: Callable[[EntityIdentity], Draft]


def items_of(request: WriteAttributesRequest | DeleteAttributesRequest) -> Items:
    """Return the items of a request. Raises InvalidRequest for one without."""
    if isinstance(request, DeleteAttributesRequest):
        return Items("deletes", len(request.deletes), MAX_DELETES, partial(draft_of_deletes, request.deletes))
    form = request.WhichOneof("batch")
    if form == "rows":
        return Items("rows.writes", len(request.rows.writes), MAX_ITEMS, partial(draft_of_rows, request.rows))
    if form == "columns":
        return Items("columns", len(request.columns.value_types), MAX_ITEMS, partial(draft_of_columns, request.columns))
    raise InvalidRequest("batch", "is not set; send rows or columns", "BATCH_MISSING")


def digest_of(request: WriteAttributesRequest | DeleteAttributesRequest) -> bytes:
    """Return the digest of what a repeat has in common with the first call: kind, tenant and items, in their form.

    The request is as before when this returns."""
    said = request.request_id, request.ack_level
    request.ClearField("request_id")
    request.ClearField("ack_level")
    try:
        content = request.SerializeToString(deterministic=True)
    finally:
        request.request_id, request.ack_level = said
    kind = b"delete" if isinstance(request, DeleteAttributesRequest) else b""
    return blake2b(content, digest_size=32, person=kind).digest()
