"""Batches of one tenant, made ahead: sending one costs little more than its octets."""

from __future__ import annotations

import random
import uuid
from typing import NamedTuple, TypeAlias

import numpy as np
from atlas.ingest.v1 import ingest_service_pb2 as pb
from atlas_client import ColumnBuilder, Uint64, ValueType, Write, rows_of
from atlas_client.values import Scalar, timestamp, to_message
from numpy.typing import NDArray

from atlas_cli.bench.skew import TenantShape

Request: TypeAlias = pb.WriteAttributesRequest
MAX_KEYS = 1_000  # attribute keys of one tenant that are used: a quota is 20,000
PER_ENTITY = 10  # attributes of one entity in a batch
FIRST_TIME_US = 1_767_225_600_000_000  # 2026-01-01
ROUND_US = 1_000_000  # from one observation of an entity to the next
ID_BYTES = 36  # of a request id
_TEXTS = ("ok", "degraded", "FEW BKN", "link down: carrier lost", "")


class TenantLoad:
    """Makes the batches of one tenant. Every item is new: no two have one identity.

    Entities come in turn, each with up to ten of its attributes at one time; types are drawn as the shape has them."""

    def __init__(self, tenant_id: int, shape: TenantShape, rows: int, seed: int) -> None:
        self.tenant_id = tenant_id
        self._rows = rows
        self._keys = min(shape.keys, MAX_KEYS)
        self._entities = shape.entities
        self._types = [kind for kind in ValueType if shape.types[kind - 1]]
        self._weights = [shape.types[kind - 1] for kind in self._types]
        self._random = random.Random(seed)
        self._item = 0

    def request(self) -> Request:
        """Return the next batch with a request id of its own: in columns, or as a row if it is one item."""
        builder = ColumnBuilder()
        for _ in range(self._rows):
            builder.add_rows([self._write()])
        request = Request(tenant_id=self.tenant_id, request_id=str(uuid.uuid4()), columns=builder.build())
        if self._rows == 1:
            [write] = rows_of(request.columns)
            request.rows.writes.append(_row(write))
        return request

    def _write(self) -> Write:
        width = min(PER_ENTITY, self._keys)
        visit, step = divmod(self._item, width)
        round_, entity = divmod(visit, self._entities)
        self._item += 1
        key = (entity * width + step) % self._keys
        [kind] = self._random.choices(self._types, self._weights)
        time_us = FIRST_TIME_US + round_ * ROUND_US
        return Write(f"entity-{entity:06}", f"attribute_{key}", self._value(kind), time_us, value_type=kind)

    def _value(self, kind: ValueType) -> Scalar:
        number = self._random.getrandbits(32)
        values: dict[ValueType, Scalar] = {
            ValueType.INT64: number - 2**31,
            ValueType.UINT64: Uint64(number << 32),
            ValueType.DOUBLE: number / 256,
            ValueType.BOOL: number % 2 == 0,
            ValueType.STRING: _TEXTS[number % len(_TEXTS)],
            ValueType.BYTES: number.to_bytes(4, "big"),
        }
        return values[kind]


def _row(write: Write) -> pb.AttributeWrite:
    return pb.AttributeWrite(
        entity_key=str(write.entity),
        attribute_key=write.attribute,
        value=to_message(write.value, write.value_type),
        event_time=timestamp(write.event_time),
    )


class Repeated:
    """Requests made once and sent again and again, each time with a new id and all its times moved on.

    So the generator spends on a batch what its octets cost, and still every item is new."""

    def __init__(self, load: TenantLoad, count: int) -> None:
        self.tenant_id = load.tenant_id
        self._requests = [load.request() for _ in range(count)]
        self._forms: list[_Form | None] = []
        self._sent = 0
        self._made()

    def _made(self) -> None:
        self._forms = [_Form.of(request) for request in self._requests]

    def ask(self, ack_level: pb.AckLevel.ValueType) -> None:
        """Let every request ask for this level."""
        for request in self._requests:
            request.ack_level = ack_level
        self._made()

    def next(self) -> Request:
        """Return a copy of the next request, moved by a microsecond for each time that it was sent before."""
        turn, place = divmod(self._sent, len(self._requests))
        self._sent += 1
        form = self._forms[place]
        if form is not None:
            return form.moved(turn % ROUND_US)
        request = Request()
        request.CopyFrom(self._requests[place])
        request.request_id = str(uuid.uuid4())
        if turn:
            [write] = request.rows.writes
            write.event_time.FromMicroseconds(write.event_time.ToMicroseconds() + turn % ROUND_US)
        return request


class _Form(NamedTuple):
    """The octets of a request in columns, and where its id and its times stand in them: both have a fixed width."""

    octets: bytes
    id_at: int
    times_at: int
    times: NDArray[np.int64]

    @classmethod
    def of(cls, request: Request) -> _Form | None:
        """Return the form of a request, or None if it is not in columns."""
        if request.WhichOneof("batch") != "columns":
            return None
        octets, times = request.SerializeToString(), np.array(request.columns.event_times_us, "<i8")
        found = [octets.find(part) for part in (request.request_id.encode(), times.tobytes())]
        assert min(found) >= 0
        return cls(octets, found[0], found[1], times)

    def moved(self, by_us: int) -> Request:
        octets = bytearray(self.octets)
        octets[self.id_at : self.id_at + ID_BYTES] = str(uuid.uuid4()).encode()
        octets[self.times_at : self.times_at + self.times.nbytes] = (self.times + by_us).tobytes()
        return Request.FromString(bytes(octets))
