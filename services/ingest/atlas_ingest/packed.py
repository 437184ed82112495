"""Columns of numbers as arrays, read from their octets: no number is touched from Python.

In canonical form a repeated number is one run of octets, as `bytes` are. So a message of the same field numbers whose
columns are `bytes` gives each run whole.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from atlas.ingest.v1.ingest_service_pb2 import ColumnBatch
from atlaskit.batch import Integers
from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from numpy.typing import NDArray

_MORE = 0x80  # set in every octet of a number but its last
_FIXED = {
    FieldDescriptor.TYPE_SFIXED64: "<i8",
    FieldDescriptor.TYPE_FIXED64: "<u8",
    FieldDescriptor.TYPE_DOUBLE: "<f8",
}
_VARYING: dict[int, type[np.generic]] = {
    FieldDescriptor.TYPE_INT64: np.int64,
    FieldDescriptor.TYPE_INT32: np.int32,
    FieldDescriptor.TYPE_ENUM: np.int32,
    FieldDescriptor.TYPE_BOOL: np.bool_,
}


def columns_of(batch: ColumnBatch) -> dict[str, NDArray[np.generic]]:
    """Return every column of numbers by its field's name: int64, uint64, float64 or bool; nobody may write to them."""
    runs = _run_class().FromString(batch.SerializeToString())
    return {field.name: _column(field, getattr(runs, field.name)) for field in _number_fields()}


def _column(field: FieldDescriptor, octets: bytes) -> NDArray[np.generic]:
    fixed = _FIXED.get(field.type)
    if fixed is not None:
        return np.frombuffer(octets, fixed)
    kind = _VARYING[field.type]
    numbers = varints(octets)
    # A number too wide for its field is cut, as protobuf cuts it.
    return numbers != 0 if kind is np.bool_ else numbers.astype(kind).astype(np.int64)


def varints(octets: bytes) -> Integers:
    """Return the numbers of a run of varints, modulo 2^64 in two's complement."""
    parts = np.frombuffer(octets, np.uint8)
    ends = np.flatnonzero(parts < _MORE)
    if len(ends) == len(parts):
        return parts.astype(np.int64)
    starts = np.zeros(len(ends), np.int64)
    starts[1:] = ends[:-1] + 1
    lengths = ends - starts + 1
    numbers = np.zeros(len(ends), np.uint64)
    for place in range(int(lengths.max(initial=0))):
        longer = np.flatnonzero(lengths > place)
        part = (parts[starts[longer] + place] & np.uint8(_MORE - 1)).astype(np.uint64)
        numbers[longer] |= part << np.uint64(7 * place)
    return numbers.view(np.int64)


@cache
def _number_fields() -> tuple[FieldDescriptor, ...]:
    return tuple(field for field in ColumnBatch.DESCRIPTOR.fields if field.type in {*_FIXED, *_VARYING})


@cache
def _run_class() -> type[Message]:
    message = descriptor_pb2.DescriptorProto(name="Runs")
    for field in _number_fields():
        message.field.add(
            name=field.name,
            number=field.number,
            label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
            type=descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
        )
    pool = DescriptorPool()
    pool.Add(descriptor_pb2.FileDescriptorProto(name="runs.proto", syntax="proto3", message_type=[message]))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Runs"))
