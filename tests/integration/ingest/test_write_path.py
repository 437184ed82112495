"""From a call to committed rows: what is stored, what is refused, what is said."""

from __future__ import annotations

import asyncio
import math
import uuid
from typing import Any

import pytest
from atlas.ingest.v1 import ingest_service_pb2 as pb2
from atlas.ingest.v1 import ingest_service_pb2_grpc as pb2_grpc
from atlas.ingest.v1.value_pb2 import AttributeValue
from atlas_ingest.app import running
from atlas_ingest.settings import PrimaryMode, Settings
from atlaskit.position import Token
from atlaskit.rpc.errors import RemoteError, errors_from
from doubles.writes import one, rows, series
from grpc import StatusCode, aio

REFUSED, STORED, SUPERSEDED = pb2.ITEM_STATE_REFUSED, pb2.ITEM_STATE_STORED, pb2.ITEM_STATE_SUPERSEDED
HISTORY = """
    SELECT k.attribute_key, a.* FROM entity_attributes a JOIN attribute_keys k USING (tenant_id, attribute_id)
    WHERE a.tenant_id = $1 ORDER BY a.row_version
"""


async def refused(call: Any) -> RemoteError:
    with pytest.raises(aio.AioRpcError) as error:
        await call
    return errors_from(error.value)


async def test_every_type_is_stored_bit_for_bit(ingest: Any, database: Any) -> None:
    tenant = await ingest.tenant(keyed=False)
    values: list[dict[str, Any]] = [
        {"int64_value": -(2**63)},
        {"uint64_value": 2**64 - 1},
        {"double_value": 5e-324},
        {"bool_value": False},
        {"string_value": "µ\r\r\n"},
        {"bytes_value": b"\0\xff"},
    ]
    writes = [one(2**63 - 1, f"attribute {n}", 0) for n in range(len(values))]
    for write, value in zip(writes, values, strict=True):
        write.value.CopyFrom(AttributeValue(**value))
    writes[1].source_type = "Counter64"
    written = await ingest.writes.WriteAttributes(rows(tenant, writes), timeout=10)
    assert (written.stored_count, list(written.item_states), written.repeated) == (6, [], False)
    stored = await database.fetch(HISTORY, tenant)
    columns = ["value_int", "value_uint", "value_double", "value_bool", "value_text", "value_bytes"]
    assert [row["value_type"] for row in stored] == [1, 2, 3, 4, 5, 6]
    found = [row[column] for row, column in zip(stored, columns, strict=True)]
    assert found == [next(iter(value.values())) for value in values]
    assert [row["source_type_id"] is not None for row in stored] == [False, True, False, False, False, False]
    assert Token.parse(written.write_token, "token").epoch == 1


async def test_good_items_are_stored_and_named_beside_bad_ones(ingest: Any, database: Any) -> None:
    tenant = await ingest.tenant()
    writes = [
        one("e", "a", 1),
        one("e", "a", math.nan, 1),
        one("e", "a", 2, 2),
        one("e\0", "a", 3),
        one("e", "a", 4, 2),
    ]
    written = await ingest.writes.WriteAttributes(rows(tenant, writes), timeout=10)
    assert list(written.item_states) == [STORED, REFUSED, SUPERSEDED, REFUSED, STORED]
    assert [(r.item_index, r.reason, r.field) for r in written.refusals] == [
        (1, "VALUE_NOT_FINITE", "rows.writes[1].value.double_value"),
        (3, "TEXT_HAS_NUL", "rows.writes[3].entity_key"),
    ]
    assert (written.stored_count, written.superseded_count, written.refused_count) == (2, 1, 2)
    assert [row["value_double"] for row in await database.fetch(HISTORY, tenant)] == [1, 4]


async def test_a_text_that_is_not_utf8_takes_only_its_item(ingest: Any, database: Any) -> None:
    tenant = await ingest.tenant()
    octets = (
        rows(tenant, [one("good", "a", 1), one("badly", "a", 2)]).SerializeToString().replace(b"badly", b"bad\xfcy")
    )
    call = ingest.channel.unary_unary(
        "/atlas.ingest.v1.IngestService/WriteAttributes",
        request_serializer=bytes,
        response_deserializer=pb2.WriteAttributesResponse.FromString,
    )
    written = await call(octets, timeout=10)
    assert [(r.item_index, r.reason, r.field) for r in written.refusals] == [
        (1, "TEXT_NOT_UTF8", "rows.writes[1].entity_key")
    ]
    assert len(await database.fetch(HISTORY, tenant)) == 1
    malformed = await refused(call(b"\xff\xff\xff", timeout=10))
    assert (malformed.code, malformed.remote_reason) == (StatusCode.INVALID_ARGUMENT, "MESSAGE_MALFORMED")


async def test_a_request_that_is_wrong_as_a_whole_says_what_and_where(ingest: Any) -> None:
    tenant = await ingest.tenant()
    empty = pb2.WriteAttributesRequest(tenant_id=tenant, request_id=str(uuid.uuid4()), rows=pb2.RowBatch())
    neither = pb2.WriteAttributesRequest(tenant_id=tenant, request_id=str(uuid.uuid4()))
    anonymous = rows(tenant, [one("e", "a", 1)])
    anonymous.request_id = "seven"
    crooked = series(tenant, 4, 0)
    crooked.columns.entity_indexes[2] = 99
    acked = rows(tenant, [one("e", "a", 1)])
    acked.ack_level = pb2.ACK_LEVEL_OLAP_VISIBLE
    large = rows(tenant, [one("e", "a", 1) for _ in range(50_001)])
    cases = [
        (empty, StatusCode.INVALID_ARGUMENT, "BATCH_EMPTY", "rows.writes"),
        (neither, StatusCode.INVALID_ARGUMENT, "BATCH_MISSING", "batch"),
        (large, StatusCode.INVALID_ARGUMENT, "BATCH_TOO_LARGE", "rows.writes"),
        (anonymous, StatusCode.INVALID_ARGUMENT, "REQUEST_ID_MALFORMED", "request_id"),
        (crooked, StatusCode.INVALID_ARGUMENT, "INDEX_OUT_OF_RANGE", "columns.entity_indexes[2]"),
        (rows(0, [one("e", "a", 1)]), StatusCode.INVALID_ARGUMENT, "TENANT_ID_OUT_OF_RANGE", "tenant_id"),
        (rows(2**31 - 1, [one("e", "a", 1)]), StatusCode.NOT_FOUND, "TENANT_UNKNOWN", "tenant_id"),
        (acked, StatusCode.UNIMPLEMENTED, "NOT_BUILT", ""),
    ]  # fmt: skip
    for request, code, reason, field in cases:
        error = await refused(ingest.writes.WriteAttributes(request, timeout=10))
        assert (error.code, error.remote_reason, error.field) == (code, reason, field)


async def test_a_call_without_a_deadline_is_refused(ingest: Any) -> None:
    error = await refused(ingest.writes.WriteAttributes(rows(1, [one("e", "a", 1)])))
    assert (error.code, error.remote_reason) == (StatusCode.INVALID_ARGUMENT, "DEADLINE_REQUIRED")


async def test_a_repeat_gets_the_first_answer_and_a_token_that_covers_it(ingest: Any, database: Any) -> None:
    tenant = await ingest.tenant()
    request = rows(tenant, [one("e", "a", 1), one("e", "a", math.inf)])
    first = await ingest.writes.WriteAttributes(request, timeout=10)
    again = await ingest.writes.WriteAttributes(request, timeout=10)
    assert (first.repeated, again.repeated) == (False, True)
    for field in ("item_states", "refusals", "stored_count", "refused_count", "commit_time"):
        assert getattr(again, field) == getattr(first, field)
    assert Token.parse(again.write_token, "t").lsn >= Token.parse(first.write_token, "t").lsn
    assert len(await database.fetch(HISTORY, tenant)) == 1


async def test_the_same_request_id_with_other_content_is_refused(ingest: Any, database: Any) -> None:
    tenant = await ingest.tenant()
    request = rows(tenant, [one("e", "a", 1)])
    await ingest.writes.WriteAttributes(request, timeout=10)
    request.rows.writes[0].value.double_value = 2
    error = await refused(ingest.writes.WriteAttributes(request, timeout=10))
    assert (error.code, error.remote_reason) == (StatusCode.FAILED_PRECONDITION, "REQUEST_ID_REUSED")
    assert len(await database.fetch(HISTORY, tenant)) == 1


async def test_one_request_sent_many_times_at_once_is_stored_once(ingest: Any, database: Any) -> None:
    tenant = await ingest.tenant()
    request = series(tenant, 50, 0)
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(_written(ingest, request)) for _ in range(20)]
    assert sorted(call.result().repeated for call in calls) == [False] + [True] * 19
    assert await database.value("SELECT count(*) FROM entity_attributes WHERE tenant_id = $1", tenant) == 50


async def _written(ingest: Any, request: Any) -> Any:
    return await ingest.writes.WriteAttributes(request, timeout=20)


async def test_a_batch_of_refused_items_only_is_answered_without_a_token(ingest: Any) -> None:
    tenant = await ingest.tenant()
    request = rows(tenant, [one("e", "a", math.nan)])
    for repeated in (False, True):
        written = await ingest.writes.WriteAttributes(request, timeout=10)
        assert (written.write_token, written.stored_count, written.repeated) == ("", 0, repeated)
        assert written.reached_ack_level == pb2.ACK_LEVEL_UNSPECIFIED


async def test_a_write_after_an_acknowledged_one_has_the_greater_version(ingest: Any, database: Any) -> None:
    tenant = await ingest.tenant()
    async with (
        running(Settings(postgres_dsn=database.dsn("atlas_ingest"))) as port,
        aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        other = pb2_grpc.IngestServiceStub(channel)
        for n in range(20):
            stub = other if n % 3 else ingest.writes
            await stub.WriteAttributes(rows(tenant, [one("e", "a", n)]), timeout=10)
    assert [row["value_double"] for row in await database.fetch(HISTORY, tenant)] == list(range(20))


async def test_an_entity_is_written_when_its_type_changes_and_not_for_each_value(ingest: Any, database: Any) -> None:
    tenant = await ingest.tenant()
    for n, kind in enumerate(["disk", "", "disk", "pump", ""]):
        write = one("e", "a", n)
        write.asset_type = kind
        await ingest.writes.WriteAttributes(rows(tenant, [write]), timeout=10)
    changes = await database.value("SELECT count(*) FROM ingest_batches WHERE entries::text LIKE '%\"entities\"%'")
    assert changes == 2
    types = await database.fetch(
        "SELECT asset_type FROM entity_attributes AS a JOIN asset_types USING (tenant_id, asset_type_id) "
        "ORDER BY a.row_version"
    )
    assert [row["asset_type"] for row in types] == ["disk", "disk", "disk", "pump", "pump"]
    assert (await database.fetch("SELECT entity_key FROM entities WHERE tenant_id = $1", tenant))[0][0] == "e"


async def test_two_keys_of_one_number_are_told_apart_and_the_second_is_refused(ingest: Any, database: Any) -> None:
    tenant = await ingest.tenant()
    await ingest.writes.WriteAttributes(rows(tenant, [one("first", "a", 1)]), timeout=10)
    # No two keys of a test have one hash, so the stored key is made another one.
    await database.fetch("UPDATE entities SET entity_key = 'other', row_version = row_version + 1")
    written = await ingest.writes.WriteAttributes(
        rows(tenant, [one("first", "a", 1), one("second", "a", 2)]), timeout=10
    )
    assert [(r.item_index, r.reason, r.field) for r in written.refusals] == [
        (0, "ENTITY_KEY_COLLISION", "rows.writes[0].entity_key")
    ]
    assert written.stored_count == 1


async def test_the_quota_of_keys_is_exact_and_refuses_by_name(ingest: Any, database: Any) -> None:
    tenant = await ingest.tenant(quota=10)
    async with asyncio.TaskGroup() as group:
        calls = [
            group.create_task(_written(ingest, rows(tenant, [one(f"e{n}", f"key {n}.{k}", 1) for k in range(3)])))
            for n in range(6)
        ]
    refusals = [refusal for call in calls for refusal in call.result().refusals]
    assert {refusal.reason for refusal in refusals} == {"KEY_QUOTA_EXCEEDED"}
    assert len(refusals) == 8
    assert all("key " in refusal.message for refusal in refusals)
    assert await database.value("SELECT count(*) FROM attribute_keys WHERE tenant_id = $1", tenant) == 10
    assert await database.value("SELECT count(*) FROM entity_attributes WHERE tenant_id = $1", tenant) == 10


async def test_a_stream_answers_in_order_and_goes_on_after_a_refused_batch(ingest: Any, database: Any) -> None:
    tenant = await ingest.tenant()
    batches = [series(tenant, 100, n * 100) for n in range(30)]
    batches[7].ClearField("columns")
    call = ingest.writes.StreamWriteAttributes(
        (pb2.StreamWriteAttributesRequest(write=batch) for batch in batches), timeout=60
    )
    answers = [answer async for answer in call]
    assert [answer.request_id for answer in answers] == [batch.request_id for batch in batches]
    errors = {n: answer.error.reason for n, answer in enumerate(answers) if answer.HasField("error")}
    assert errors == {7: "BATCH_MISSING"}
    assert await database.value("SELECT count(*) FROM entity_attributes WHERE tenant_id = $1", tenant) == 2900


async def test_within_a_stream_the_later_batch_wins(ingest: Any, database: Any) -> None:
    tenant = await ingest.tenant()
    batches = [rows(tenant, [one("e", "a", n)]) for n in range(60)]
    call = ingest.writes.StreamWriteAttributes(
        (pb2.StreamWriteAttributesRequest(write=batch) for batch in batches), timeout=60
    )
    assert [answer.written.stored_count async for answer in call] == [1] * 60
    assert [row["value_double"] for row in await database.fetch(HISTORY, tenant)] == list(range(60))


async def test_a_tenant_is_registered_once_by_name_and_listed_in_pages(ingest: Any) -> None:
    request = pb2.CreateTenantRequest(name="acme", entity_identity=pb2.ENTITY_IDENTITY_KEYED)
    first = (await ingest.tenants.CreateTenant(request, timeout=10)).tenant
    assert (first.shard_spread, first.attribute_key_quota) == (10, 20_000)
    assert (await ingest.tenants.CreateTenant(request, timeout=10)).tenant == first
    request.shard_spread = 5
    assert (await refused(ingest.tenants.CreateTenant(request, timeout=10))).code is StatusCode.ALREADY_EXISTS
    ids = [first.tenant_id, *[await ingest.tenant() for _ in range(4)]]
    found, token = [], ""
    while True:
        page = await ingest.tenants.ListTenants(pb2.ListTenantsRequest(page_size=2, page_token=token), timeout=10)
        found += [tenant.tenant_id for tenant in page.tenants]
        if not (token := page.next_page_token):
            break
    assert found == ids


BAD_TENANTS = {
    "entity_identity": pb2.CreateTenantRequest(name="x"),
    "name": pb2.CreateTenantRequest(entity_identity=pb2.ENTITY_IDENTITY_KEYED),
    "shard_spread": pb2.CreateTenantRequest(name="x", entity_identity=pb2.ENTITY_IDENTITY_KEYED, shard_spread=3),
    "attribute_key_quota": pb2.CreateTenantRequest(
        name="x", entity_identity=pb2.ENTITY_IDENTITY_KEYED, attribute_key_quota=-1
    ),
}


@pytest.mark.parametrize("field", BAD_TENANTS)
async def test_a_tenant_that_cannot_be_is_refused_by_field(ingest: Any, field: str) -> None:
    error = await refused(ingest.tenants.CreateTenant(BAD_TENANTS[field], timeout=10))
    assert (error.code, error.field) == (StatusCode.INVALID_ARGUMENT, field)


async def _first_refusal(dsn: str, **settings: Any) -> RemoteError:
    async with (
        running(Settings(postgres_dsn=dsn, **settings)) as port,
        aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        tenants = pb2_grpc.TenantServiceStub(channel)
        request = pb2.CreateTenantRequest(name="t", entity_identity=pb2.ENTITY_IDENTITY_KEYED)
        tenant = (await tenants.CreateTenant(request, timeout=10)).tenant.tenant_id
        stub = pb2_grpc.IngestServiceStub(channel)
        return await refused(stub.WriteAttributes(rows(tenant, [one("e", "a", 1)]), timeout=2))


async def test_nothing_is_written_on_a_timeline_without_an_epoch(database: Any) -> None:
    await database.fetch("DELETE FROM epochs")
    error = await _first_refusal(database.dsn("atlas_ingest"))
    assert (error.code, error.remote_reason) == (StatusCode.UNAVAILABLE, "EPOCH_NOT_REGISTERED")


async def test_a_server_that_acknowledges_before_it_is_durable_is_refused(database: Any) -> None:
    await database.fetch(f"ALTER DATABASE {database.name} SET synchronous_commit = off")
    error = await _first_refusal(database.dsn("atlas_ingest"))
    assert (error.code, error.remote_reason) == (StatusCode.UNAVAILABLE, "WRONG_SERVER")
    await database.fetch(f"ALTER DATABASE {database.name} SET synchronous_commit = local")
    error = await _first_refusal(database.dsn("atlas_ingest"), primary_mode=PrimaryMode.QUORUM)
    assert error.remote_reason == "WRONG_SERVER"


async def test_a_month_without_a_partition_is_named(ingest: Any, database: Any) -> None:
    tenant = await ingest.tenant()
    leaves = await database.fetch(
        "SELECT relid::regclass::text AS name FROM pg_partition_tree('entity_attributes') WHERE isleaf"
    )
    for leaf in leaves:
        await database.fetch(f"DROP TABLE {leaf['name']}")
    error = await refused(ingest.writes.WriteAttributes(rows(tenant, [one("e", "a", 1)]), timeout=10))
    assert (error.code, error.remote_reason) == (StatusCode.UNAVAILABLE, "PARTITION_MISSING")
