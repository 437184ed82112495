"""Octets as messages of the contract, even when a text in them is not UTF-8.

Protobuf refuses a whole message for one bad text. Read a second time with every text taken as octets, the message shows
which fields are bad; each is marked, and what is good can still be stored.
"""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from typing import Any, Generic, TypeVar

from atlas.catalogue.v1 import catalogue_service_pb2
from atlas.ingest.v1 import ingest_service_pb2, value_pb2
from google.protobuf import descriptor_pb2, duration_pb2, message_factory, timestamp_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message

# No valid text of a request begins so: NUL is refused everywhere. The digest of the octets follows.
_MARK = "\0\ufffe"

M = TypeVar("M", bound=Message)


class Undecodable:
    """A request that is no message of its type at all."""


def was_not_utf8(text: str) -> bool:
    """Return True for a text that stands for octets that were not UTF-8."""
    return text.startswith(_MARK)


class Decoder(Generic[M]):
    """Reads messages of one type; a deserializer for a server, so it raises nothing: that would be INTERNAL."""

    def __init__(self, kind: type[M]) -> None:
        self._kind = kind

    def __call__(self, octets: bytes) -> M | Undecodable:
        """Return the message, with texts that are not UTF-8 marked, or Undecodable."""
        try:
            return self._kind.FromString(octets)
        except DecodeError:
            return self._marked(octets)

    def _marked(self, octets: bytes) -> M | Undecodable:
        try:
            lenient = _lenient_class(self._kind.DESCRIPTOR.full_name).FromString(octets)
            _mark(lenient, self._kind.DESCRIPTOR)
            return self._kind.FromString(lenient.SerializeToString())
        except DecodeError:
            return Undecodable()


def _mark(lenient: Message, strict: Any) -> None:
    for field, found in lenient.ListFields():
        meant = strict.fields_by_name[field.name]
        if meant.type == FieldDescriptor.TYPE_STRING:
            if field.is_repeated:
                found[:] = [_text(octets) for octets in found]
            else:
                setattr(lenient, field.name, _text(found))
        elif meant.type == FieldDescriptor.TYPE_MESSAGE:
            for message in found if field.is_repeated else (found,):
                _mark(message, meant.message_type)


def _text(octets: bytes) -> bytes:
    try:
        octets.decode()
    except UnicodeDecodeError:
        return (_MARK + blake2b(octets, digest_size=16).hexdigest()).encode()
    return octets


@cache
def _lenient_class(name: str) -> type[Message]:
    pool = DescriptorPool()
    for module in (duration_pb2, timestamp_pb2, value_pb2, ingest_service_pb2, catalogue_service_pb2):
        file = descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
        for message in file.message_type:
            for field in message.field:
                if field.type == FieldDescriptor.TYPE_STRING:
                    field.type = FieldDescriptor.TYPE_BYTES  # type: ignore[assignment]  # the same numbers
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
