"""What a token covered can be read again after it was corrected, from each copy that still has it."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from atlas_client import AtlasClient, CallFailed, Policy, Requirement, Session, Source, Tenant, UseCase, Write
from grpc import StatusCode

AT = datetime(2026, 3, 1, tzinfo=UTC)
PATIENCE = timedelta(seconds=30)


def of(source: Source) -> Requirement:
    return Requirement(use_case=UseCase.OPERATIONAL_REPORT, policy=Policy.WAIT, only_source=source)


async def test_a_corrected_value_is_read_as_of_the_token_of_its_first_delivery(
    client: AtlasClient, new_tenant: Callable[..., Awaitable[Tenant]]
) -> None:
    tenant = (await new_tenant()).tenant_id
    first = await client.write_rows(tenant, [Write("e", "a", 1, AT)])
    second = await client.write_rows(tenant, [Write("e", "a", 2, AT)])
    for source in (Source.PRIMARY, Source.REPLICA):
        for written, value in ((first, 1), (second, 2)):
            answer = await client.get_entity(
                tenant, "e", as_of_token=written.token, freshness=of(source), timeout=PATIENCE
            )
            assert (answer.freshness.source, answer.entity.values["a"].value) == (source, value)


async def test_clickhouse_is_passed_over_and_a_session_does_not_go_with_it(
    client: AtlasClient, new_tenant: Callable[..., Awaitable[Tenant]]
) -> None:
    tenant = (await new_tenant()).tenant_id
    session = Session()
    written = await client.write_rows(tenant, [Write("e", "a", 1, AT)], session=session)
    with pytest.raises(CallFailed) as refused:
        await client.get_entity(tenant, "e", as_of_token=written.token, freshness=of(Source.OLAP), timeout=PATIENCE)
    assert refused.value.code is StatusCode.UNIMPLEMENTED
    with pytest.raises(CallFailed) as refused:
        await client.get_entity(tenant, "e", as_of_token=written.token, session=session, timeout=PATIENCE)
    assert refused.value.reason == "TOKENS_EXCLUDE_EACH_OTHER"
