"""Whatever octets reach the boundary of ingest: it goes on, says what was wrong and where, and stores nothing else.

`FUZZ_EXAMPLES=20000 pytest tests/fuzz` looks longer.
"""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from atlas.ingest.v1 import ingest_service_pb2 as pb
from atlas.ingest.v1 import value_pb2 as pb_value
from atlas_client import AtlasClient, CallFailed, Tenant, rows_of
from atlas_client.values import check, from_message, microseconds, type_of
from atlas_local.launch import Launched
from doubles.writes import one, rows, series
from google.protobuf.message import DecodeError
from grpc import StatusCode
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

VALUE_TYPES = pb_value.ValueType.values()[1:]
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
METHOD = "/atlas.ingest.v1.IngestService/WriteAttributes"
# What a caller at fault may be told; nothing here says that the service is at fault.
CALLERS_FAULT = {
    StatusCode.INVALID_ARGUMENT,
    StatusCode.NOT_FOUND,
    StatusCode.FAILED_PRECONDITION,
    StatusCode.UNIMPLEMENTED,
}
# A message of 8 MB with nothing but empty texts is sixteen times as much once it is read; some may not be freed yet.
MOST_GROWTH = 1024 * 1024 * 1024
many = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

Send = Callable[..., Any]


@pytest.fixture(scope="module")
async def send(atlas: Launched) -> AsyncIterator[Send]:
    """Send octets as a request of WriteAttributes."""
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(atlas.ingest, options=options) as channel:
        yield channel.unary_unary(METHOD, response_deserializer=pb.WriteAttributesResponse.FromString)


@pytest.fixture(scope="module")
async def tenant(client: AtlasClient) -> Tenant:
    return await client.create_tenant(f"fuzz/{uuid.uuid4()}")


@pytest.fixture(scope="module")
async def primary(atlas: Launched) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(atlas.stack.primary_dsn())
    yield connection
    await connection.close()


@pytest.fixture(autouse=True)
def same_process_and_bounded_memory(atlas: Launched) -> Iterator[None]:
    process = atlas.process("ingest")
    pid, before = process.pid, memory(process.pid)
    yield
    assert process.running
    assert process.pid == pid
    assert memory(pid) - before < MOST_GROWTH


def memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def refusal(send: Send, octets: bytes) -> CallFailed:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(octets, timeout=20)
    return CallFailed.of(caught.value)


def sound(tenant: int, seed: int) -> pb.WriteAttributesRequest:
    """A request in columns with every column filled."""
    drawn = random.Random(seed)
    request = series(tenant, 12, seed % 1000)
    columns = request.columns
    columns.value_types[:] = list(VALUE_TYPES) * 2
    columns.int64_values[:] = [drawn.getrandbits(63), -1]
    columns.uint64_values[:] = [drawn.getrandbits(64), 0]
    columns.double_values[:] = [drawn.random(), -0.0]
    columns.bool_values[:] = [True, False]
    columns.string_values[:] = ["ü", ""]
    columns.bytes_values[:] = [b"\xff", b""]
    columns.source_types[:] = ["Gauge", "Counter64"]
    columns.source_type_indexes[:] = [0, 1, 2] * 4
    columns.asset_types[:] = ["disk"] * 20
    return request


LISTS = [field.name for field in pb.ColumnBatch.DESCRIPTOR.fields if field.name != "entity_ids"]
INDEXES = {"entity_indexes": 20, "attribute_indexes": 2, "source_type_indexes": 3}
# A column without values is as if it had not been given; the dictionary of source types may have what no item uses.
MAY_BE_EMPTY = {"asset_types", "source_type_indexes"}


@many
@given(data=st.data(), seed=st.integers(0, 2**32))
async def test_a_column_that_does_not_fit_the_others_is_named_and_nothing_is_stored(
    send: Send, tenant: Tenant, primary: asyncpg.Connection[Any], data: st.DataObject, seed: int
) -> None:
    request = sound(tenant.tenant_id, seed)
    name = data.draw(st.sampled_from(LISTS))
    column = getattr(request.columns, name)
    kind = data.draw(st.sampled_from(["shorter", "longer", "outside", "twice"]))
    if kind == "outside" and name in INDEXES:
        bad = st.sampled_from([-1, INDEXES[name], 2**31 - 1, -(2**31)]) | st.integers(INDEXES[name], 2**31 - 1)
        column[data.draw(st.integers(0, len(column) - 1))] = data.draw(bad)
    elif kind == "twice" and name in {"entity_keys", "attribute_keys"}:
        column.append(column[data.draw(st.integers(0, len(column) - 1))])
    elif kind == "longer" and name not in {"source_types", "entity_keys", "attribute_keys"}:
        column.append(column[0])
    elif name in MAY_BE_EMPTY:
        del column[data.draw(st.integers(1, len(column) - 1)) :]
    else:
        del column[data.draw(st.integers(0, len(column) - 1)) :]
    if name in {"source_types", "entity_keys", "attribute_keys"} and still_fits(request.columns):
        return
    before = await count(primary, tenant)
    failure = await refusal(send, request.SerializeToString())
    assert failure.code is StatusCode.INVALID_ARGUMENT
    assert failure.field.startswith("columns")
    assert failure.message
    assert await count(primary, tenant) == before


def still_fits(columns: pb.ColumnBatch) -> bool:
    """Tell whether the dictionaries that are left have all that is pointed to."""
    return (
        max(columns.entity_indexes) < len(columns.entity_keys) == len(columns.asset_types)
        and max(columns.attribute_indexes) < len(columns.attribute_keys)
        and max(columns.source_type_indexes) <= len(columns.source_types)
        and len(set(columns.entity_keys)) == len(columns.entity_keys)
        and len(set(columns.attribute_keys)) == len(columns.attribute_keys)
    )


async def count(primary: asyncpg.Connection[Any], tenant: Tenant) -> int:
    sql = "SELECT count(*) FROM entity_attributes WHERE tenant_id = $1"
    return int(await primary.fetchval(sql, tenant.tenant_id))


@many
@given(seed=st.integers(0, 2**32), form=st.sampled_from(["rows", "columns"]), changes=st.integers(1, 6))
async def test_octets_changed_at_random_are_refused_or_stored_as_what_they_say(
    send: Send, tenant: Tenant, primary: asyncpg.Connection[Any], seed: int, form: str, changes: int
) -> None:
    if form == "columns":
        request = sound(tenant.tenant_id, seed)
    else:
        request = rows(tenant.tenant_id, [one(f"e{n}", f"a{n % 3}", n * 0.5, n) for n in range(12)])
    octets = changed(request.SerializeToString(), random.Random(seed), changes)
    newest = await primary.fetchval(
        "SELECT coalesce(max(row_version), 0) FROM entity_attributes WHERE tenant_id = $1", tenant.tenant_id
    )
    try:
        answer = await send(octets, timeout=20)
    except grpc.aio.AioRpcError as error:
        failure = CallFailed.of(error)
        assert failure.code in CALLERS_FAULT, failure
        assert failure.message
        event(failure.reason)
        expected: list[tuple[object, ...]] | None = []
    else:
        event(f"stored {answer.stored_count} of 12")
        expected = meant(octets, answer)
    found = await stored(primary, tenant, newest)
    if expected is not None:
        assert found == expected


def changed(octets: bytes, drawn: random.Random, times: int) -> bytes:
    """Return the octets with so many places overwritten, cut out, doubled or put in."""
    text = bytearray(octets)
    for _ in range(times):
        place = drawn.randrange(len(text) or 1)
        match drawn.randrange(5):
            case 0:
                text[place : place + 1] = bytes([drawn.randrange(256)])
            case 1:
                del text[place : place + drawn.randrange(1, 9)]
            case 2:
                text[place:place] = text[place : place + drawn.randrange(1, 30)]
            case 3:
                text[place:place] = drawn.randbytes(drawn.randrange(1, 6))
            case _:
                del text[place:]
    return bytes(text)


def meant(octets: bytes, answer: pb.WriteAttributesResponse) -> list[tuple[object, ...]] | None:
    """Return what is to be stored of these octets by their answer; None if a text that is no UTF-8 hides it."""
    try:
        request = pb.WriteAttributesRequest.FromString(octets)
    except DecodeError:
        return None
    if answer.repeated:
        return []
    writes: list[tuple[str, Any, Any]]
    if request.WhichOneof("batch") == "columns":
        writes = [(w.attribute, w.value, w.event_time) for w in rows_of(request.columns)]
    else:
        writes = [(w.attribute_key, from_message(w.value), w.event_time.ToMicroseconds()) for w in request.rows.writes]
    states = answer.item_states or [pb.ITEM_STATE_STORED] * len(writes)
    assert len(states) == len(writes)
    good = [write for write, state in zip(writes, states, strict=True) if state == pb.ITEM_STATE_STORED]
    for _, value, _ in good:
        assert value is not None
        check(value, type_of(value))
    return [(key, plain(value), time) for key, value, time in good]


def plain(value: Any) -> object:
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


async def stored(primary: asyncpg.Connection[Any], tenant: Tenant, newest: int) -> list[tuple[object, ...]]:
    found = await primary.fetch(
        """
        SELECT k.attribute_key, a.* FROM entity_attributes a JOIN attribute_keys k USING (tenant_id, attribute_id)
        WHERE a.tenant_id = $1 AND a.row_version > $2 ORDER BY a.row_version
        """,
        tenant.tenant_id,
        newest,
    )
    columns = ["value_int", "value_uint", "value_double", "value_bool", "value_text", "value_bytes"]
    return [
        (row["attribute_key"], plain_stored(row[columns[row["value_type"] - 1]]), microseconds(row["event_time"]))
        for row in found
    ]


def plain_stored(value: Any) -> object:
    return value if isinstance(value, bool | float | str | bytes) else int(value)


@many
@given(octets=st.binary(max_size=400))
async def test_octets_that_mean_nothing_are_an_invalid_argument(send: Send, octets: bytes) -> None:
    failure = await refusal(send, octets)
    assert failure.code is StatusCode.INVALID_ARGUMENT
    assert failure.reason


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (bytes(10_000_000), StatusCode.RESOURCE_EXHAUSTED),  # by the transport, once unpacked
        (bytes(8_000_000), StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_ten_megabytes_of_zeros_in_ten_kilobytes_meet_the_limit(
    send: Send, octets: bytes, code: StatusCode
) -> None:
    for _ in range(20):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await send(octets, timeout=20, compression=grpc.Compression.Gzip)
        assert caught.value.code() is code


@pytest.mark.parametrize("name", ["entity_indexes", "value_types", "event_times_us", "bool_values", "string_values"])
async def test_millions_of_elements_in_one_column_are_refused_by_its_name(
    send: Send, tenant: Tenant, name: str
) -> None:
    request = sound(tenant.tenant_id, 1)
    width = 8 if name == "event_times_us" else 2 if name == "string_values" else 1
    column = getattr(request.columns, name)
    column.extend(["" if name == "string_values" else 0] * (7_500_000 // width))
    octets = request.SerializeToString()
    for _ in range(5):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await send(octets, timeout=20, compression=grpc.Compression.Gzip)
        failure = CallFailed.of(caught.value)
        assert (failure.code, failure.field[:7]) == (StatusCode.INVALID_ARGUMENT, "columns")


async def test_messages_in_messages_without_end_are_refused(send: Send) -> None:
    octets = b""
    for _ in range(5_000):
        octets = b"\x1a" + varint(len(octets)) + octets
    failure = await refusal(send, octets)
    assert failure.code is StatusCode.INVALID_ARGUMENT


def varint(number: int) -> bytes:
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])
