"""Values of every type, at their boundaries, come back bit for bit from every copy, or are refused with a reason."""

from __future__ import annotations

import os
import struct
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from atlas_client import (
    AtlasClient,
    ColumnBuilder,
    Observed,
    Policy,
    Requirement,
    Scalar,
    Source,
    Tenant,
    Uint64,
    UseCase,
    Write,
)
from atlas_client.values import microseconds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("TYPES_EXAMPLES", "12"))
COPIES = (Source.PRIMARY, Source.REPLICA, Source.OLAP)
PATIENCE = timedelta(seconds=60)
NOW_US = microseconds(datetime.now(UTC))
DAY_US = 86_400_000_000

BOUNDARIES: list[Scalar] = [
    *(-(2**63), -(2**63) + 1, -(2**53) - 1, -1, 0, 1, 2**53 + 1, 2**63 - 1),
    *(Uint64(number) for number in (0, 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1, 10**19, 9_999, 10_000, 10**16)),
    *(0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -1.7976931348623157e308),
    *(0.1, 1 / 3, 1e21, 123456789012345680.0, 1.0000000000000002, 9007199254740993.0),
    *(float("nan"), float("inf"), float("-inf")),
    *(True, False),
    *(
        "",
        " ",
        "'\"\\`;--",
        "\r\r\n\t",
        "\U0001d4b3 é e\u0301 \u202e \ufeff \uffff",
        "\x01\x7f\x80",
        "null",
        "NaN",
        "{}",
        "\\N",
    ),
    *("x" * 65_536, "é" * 32_768, "x" * 65_537, "é" * 32_769, "a\0b", "\0"),
    *(b"", b"\0", b"\xff\xfe\x00\x80", bytes(range(256)), b"\\x41", b"x" * 65_536, b"x" * 65_537),
]
KEYS = [
    "a b/c",
    "'; DROP TABLE entities; --",
    "ключ/鍵/🔑",
    "k" * 512,
    "é" * 256,
    "k" * 513,
    "",
    "tab\there",
    "nul\0",
    "%s{}",
]
TIMES_US = [
    0,
    1,
    999_999,
    1_000_000,
    4_102_444_800_000_000,
    NOW_US,
    NOW_US + DAY_US - 60_000_000,
    NOW_US + 2 * DAY_US,
    -1,
]


class Item(NamedTuple):
    """One value as it is sent."""

    key: str
    value: Scalar
    time_us: int
    source_type: str


def texts(most: int) -> st.SearchStrategy[str]:
    return st.text(max_size=most)


scalars = st.one_of(
    st.sampled_from(BOUNDARIES),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**64 - 1).map(Uint64),
    st.floats(),
    st.booleans(),
    texts(300),
    st.binary(max_size=300),
)
items = st.builds(
    Item,
    key=st.sampled_from(KEYS) | st.text(min_size=1, max_size=60),
    value=scalars,
    time_us=st.sampled_from(TIMES_US) | st.integers(0, NOW_US),
    source_type=st.sampled_from(["", "Counter64", "é" * 32, "é" * 33]) | texts(20),
)


def flaw(item: Item) -> str | None:
    """Return the reason for which the contract refuses an item."""
    for text, least, most in ((item.key, 1, 512), (item.source_type, 0, 64)):
        if "\0" in text:
            return "TEXT_HAS_NUL"
        if not least <= len(text.encode()) <= most:
            return "TEXT_LENGTH"
    if reason := flaw_of_value(item.value):
        return reason
    return None if 0 <= item.time_us <= NOW_US + DAY_US else "EVENT_TIME_OUT_OF_RANGE"


def flaw_of_value(value: Scalar) -> str | None:
    match value:
        case float() if value != value or abs(value) == float("inf"):
            return "VALUE_NOT_FINITE"
        case str() if "\0" in value:
            return "TEXT_HAS_NUL"
        case str() if len(value.encode()) > 65_536:
            return "TEXT_LENGTH"
        case bytes() if len(value) > 65_536:
            return "VALUE_TOO_LONG"
    return None


def bits(value: Scalar | None) -> tuple[type, object]:
    """Return what tells two values apart: type and bits."""
    return type(value), struct.pack("<d", value) if isinstance(value, float) else value


def seen(observed: Observed) -> tuple[object, ...]:
    return (bits(observed.value), microseconds(observed.event_time), observed.source_type)


async def written(client: AtlasClient, tenant: Tenant, entity: str, sent: Sequence[Item], *, columns: bool) -> str:
    """Write the items, check what was refused and why, and return the token."""
    writes = [Write(entity, i.key, i.value, i.time_us, source_type=i.source_type) for i in sent]
    if columns:
        builder = ColumnBuilder()
        builder.add_rows(writes)
        answer = await client.write_columns(tenant.tenant_id, builder.build(), timeout=PATIENCE)
    else:
        answer = await client.write_rows(tenant.tenant_id, writes, timeout=PATIENCE)
    reasons = {index: reason for index, item in enumerate(sent) if (reason := flaw(item))}
    assert {refusal.index: refusal.reason for refusal in answer.refusals}.keys() == reasons.keys()
    for refusal in answer.refusals:
        assert refusal.field
        assert refusal.message
        assert refusal.reason == reasons[refusal.index] or _has_two_flaws(sent[refusal.index])
    return answer.token


def _has_two_flaws(item: Item) -> bool:
    # The reason of the first flaw found is told; which one comes first is not of the contract.
    parts = [
        item._replace(value=0, time_us=0, source_type=""),
        item._replace(key="k", time_us=0, source_type=""),
        item._replace(key="k", value=0, source_type=""),
        item._replace(key="k", value=0, time_us=0),
    ]
    return sum(flaw(part) is not None for part in parts) > 1


@pytest.fixture(scope="module")
async def tenant(client: AtlasClient) -> Tenant:
    return await client.create_tenant(f"types/{uuid.uuid4()}")


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(sent=st.lists(items, min_size=1, max_size=80, unique_by=lambda item: item.key), columns=st.booleans())
async def test_every_copy_gives_back_what_was_sent_or_the_answer_says_why_not(
    client: AtlasClient, tenant: Tenant, sent: list[Item], columns: bool
) -> None:
    entity = str(uuid.uuid4())
    token = await written(client, tenant, entity, sent, columns=columns)
    good = {i.key: (bits(i.value), i.time_us, i.source_type) for i in sent if flaw(i) is None}
    if not good:
        assert not token
        return
    for source in COPIES:
        wanted = Requirement(use_case=UseCase.ANALYTICS, policy=Policy.WAIT, at_least_token=token, only_source=source)
        answer = await client.get_entity(tenant.tenant_id, entity, freshness=wanted, timeout=PATIENCE)
        assert {key: seen(observed) for key, observed in answer.entity.values.items()} == good, source


async def test_every_boundary_is_the_same_in_every_copy(client: AtlasClient, tenant: Tenant) -> None:
    sent = [Item(f"k{n}", value, n, "") for n, value in enumerate(BOUNDARIES)]
    for columns in (True, False):
        entity = f"boundaries {columns}"
        token = await written(client, tenant, entity, sent, columns=columns)
        good = {i.key: (bits(i.value), i.time_us, "") for i in sent if flaw(i) is None}
        assert len(good) == len(sent) - 8
        for source in COPIES:
            wanted = Requirement(
                use_case=UseCase.ANALYTICS, policy=Policy.WAIT, at_least_token=token, only_source=source
            )
            answer = await client.get_entity(tenant.tenant_id, entity, freshness=wanted, timeout=PATIENCE)
            assert {key: seen(observed) for key, observed in answer.entity.values.items()} == good, source


async def test_a_key_whose_type_changes_keeps_each_value_as_it_was(
    client: AtlasClient, new_tenant: Callable[..., Awaitable[Tenant]]
) -> None:
    tenant = await new_tenant()
    values: list[Scalar] = [1, Uint64(2**63), 1.5, True, "one", b"\xff\0", "", b"", -0.0, 0, False, Uint64(0)]
    kinds = ["Integer32", "Counter64", "Gauge", "", "OctetString", "Opaque", "", "", "", "TimeTicks", "", ""]
    sent = [Item("k", value, 1_000_000 * n, kind) for n, (value, kind) in enumerate(zip(values, kinds, strict=True))]
    token = await written(client, tenant, "e", sent, columns=True)
    # At one identity the last delivery wins, with its type.
    again = Item("k", "replaced", 3_000_000, "DisplayString")
    sent[3] = again
    token = await written(client, tenant, "e", [again], columns=False) or token
    expected = [(bits(i.value), i.time_us, i.source_type) for i in sent]
    for source in COPIES:
        wanted = Requirement(use_case=UseCase.ANALYTICS, policy=Policy.WAIT, at_least_token=token, only_source=source)
        page = await client.history(tenant.tenant_id, "e", "k", freshness=wanted, timeout=PATIENCE)
        assert sorted((seen(one) for one in page.observations), key=lambda one: one[1]) == expected, source  # type: ignore[return-value,arg-type]
