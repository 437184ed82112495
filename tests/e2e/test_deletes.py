"""What is deleted is hidden in every copy, and only that; what is written later is seen again."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from atlas_client import (
    AckLevel,
    AtlasClient,
    CallFailed,
    Delete,
    Policy,
    Requirement,
    Source,
    Tenant,
    UseCase,
    Write,
    Written,
)
from grpc import StatusCode

AT = datetime(2026, 3, 1, tzinfo=UTC)
PATIENCE = timedelta(seconds=30)
COPIES = (Source.PRIMARY, Source.REPLICA, Source.OLAP)


async def values(client: AtlasClient, tenant: Tenant, token: str, source: Source) -> dict[str, object] | None:
    """Return the current values of the entity in a copy that has the token; None if it is not there."""
    wanted = Requirement(use_case=UseCase.ANALYTICS, policy=Policy.WAIT, at_least_token=token, only_source=source)
    try:
        answer = await client.get_entity(tenant.tenant_id, "e", freshness=wanted, timeout=PATIENCE)
    except CallFailed as failed:
        if failed.code is StatusCode.NOT_FOUND:
            return None
        raise
    return {name: observed.value for name, observed in answer.entity.values.items()}


async def everywhere(client: AtlasClient, tenant: Tenant, written: Written) -> dict[str, object] | None:
    assert written.stored == 1
    [found, *others] = [await values(client, tenant, written.token, source) for source in COPIES]
    assert others == [found, found]
    return found


async def test_deletes_hide_in_every_copy_what_was_before_them(
    client: AtlasClient, new_tenant: Callable[..., Awaitable[Tenant]]
) -> None:
    tenant = await new_tenant()
    number = tenant.tenant_id

    async def write(attribute: str, value: int, second: int) -> Written:
        return await client.write_rows(number, [Write("e", attribute, value, AT + timedelta(seconds=second))])

    async def delete(*said: object) -> Written:
        return await client.delete(number, [Delete("e", *said)])  # type: ignore[arg-type]

    await write("a", 1, 1)
    await write("a", 2, 2)
    assert await everywhere(client, tenant, await write("b", 3, 1)) == {"a": 2, "b": 3}
    # The observation before the deleted one is current again.
    assert await everywhere(client, tenant, await delete("a", AT + timedelta(seconds=2))) == {"a": 1, "b": 3}
    # The same observation, delivered again later, is seen again.
    assert await everywhere(client, tenant, await write("a", 22, 2)) == {"a": 22, "b": 3}
    assert await everywhere(client, tenant, await delete("a")) == {"b": 3}
    assert await everywhere(client, tenant, await write("a", 4, 1)) == {"a": 4, "b": 3}
    assert await everywhere(client, tenant, await delete()) is None
    assert await everywhere(client, tenant, await write("a", 5, 0)) == {"a": 5}


@pytest.mark.parametrize("level", [AckLevel.REPLICATED, AckLevel.OLAP_VISIBLE])
async def test_a_delete_waits_for_the_level_it_asks_for(
    client: AtlasClient, new_tenant: Callable[..., Awaitable[Tenant]], level: AckLevel
) -> None:
    tenant = await new_tenant()
    await client.write_rows(tenant.tenant_id, [Write("e", "a", 1, AT)])
    deleted = await client.delete(tenant.tenant_id, [Delete("e")], ack_level=level, timeout=PATIENCE)
    assert deleted.acknowledged == level.value
