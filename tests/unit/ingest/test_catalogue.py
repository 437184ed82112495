"""What the service of promoted attributes takes and refuses, before it asks a store."""

from __future__ import annotations

import pytest
from atlas.catalogue.v1 import catalogue_service_pb2 as pb2
from atlas.ingest.v1 import value_pb2
from atlas_ingest.catalogue import kind_of, page_of
from atlas_ingest.wire import Decoder, Undecodable, was_not_utf8
from atlaskit.errors import InvalidRequest
from atlaskit.model import ValueType


def test_a_type_that_has_no_slots_is_refused_and_none_leaves_it_to_the_values() -> None:
    assert kind_of(pb2.PromoteAttributeRequest()) is None
    assert kind_of(pb2.PromoteAttributeRequest(value_type=value_pb2.VALUE_TYPE_UINT64)) is ValueType.UINT64
    with pytest.raises(InvalidRequest) as refused:
        kind_of(pb2.PromoteAttributeRequest(value_type=value_pb2.VALUE_TYPE_BYTES))
    assert refused.value.field == "value_type"


def test_pages_are_bounded_and_their_tokens_are_numbers() -> None:
    assert page_of(pb2.ListHotAttributesRequest()) == (100, 0)
    assert page_of(pb2.ListHotAttributesRequest(page_size=5000, page_token="17")) == (1000, 17)
    for wrong in (pb2.ListHotAttributesRequest(page_size=-1), pb2.ListHotAttributesRequest(page_token="x")):
        with pytest.raises(InvalidRequest):
            page_of(wrong)


def test_a_key_that_is_not_utf8_is_marked_and_a_message_that_is_none_is_named() -> None:
    decoder = Decoder(pb2.PromoteAttributeRequest)
    octets = pb2.PromoteAttributeRequest(tenant_id=1, attribute_key="k").SerializeToString().replace(b"k", b"\xff")
    found = decoder(octets)
    assert isinstance(found, pb2.PromoteAttributeRequest)
    assert was_not_utf8(found.attribute_key)
    assert isinstance(decoder(b"\xff"), Undecodable)
