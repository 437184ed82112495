"""`atlas get`, `atlas tenants` and `atlas lag`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer
from atlas_client import AtlasClient, EntityAnswer, Identity, Policy, Requirement, Tenant, UseCase
from rich.console import Console
from rich.table import Table
from rich.text import Text

from atlas_cli.board import CopyRow, read_board
from atlas_cli.commands.options import CALLER, Ingest, Lag, Query, Timeout
from atlas_cli.commands.running import complete, fail
from atlas_cli.text import instant_text, span_text, type_text, value_text


def get_command(
    *,
    tenant: Annotated[str, typer.Argument(help="Name or number of the tenant")],
    entity: Annotated[str, typer.Argument(help="Key of the entity, or its number")],
    attribute: Annotated[
        list[str] | None, typer.Option("--attribute", "-a", help="Only this one; may be repeated")
    ] = None,
    use_case: Annotated[UseCase | None, typer.Option(help="How fresh, as a row of the budget matrix")] = None,
    max_staleness_ms: Annotated[
        int | None, typer.Option(min=1, max=86_400_000, help="How fresh, in milliseconds")
    ] = None,
    policy: Annotated[Policy | None, typer.Option(help="When no copy is fresh enough; default: fail_fast")] = None,
    at_least: Annotated[str, typer.Option(help="Token of a write that the answer must reflect")] = "",
    as_of_token: Annotated[
        str, typer.Option(help="Only what was delivered up to this token, instead of --at-least")
    ] = "",
    by_number: Annotated[bool, typer.Option("--by-number", help="ENTITY is the platform's number")] = False,
    ingest: Ingest = "127.0.0.1:50051",
    query: Query = "127.0.0.1:50052",
    timeout: Timeout = 5.0,
) -> None:
    """Read an entity with its current values, and how fresh they are."""
    if use_case is not None and max_staleness_ms is not None:
        raise fail("--use-case and --max-staleness-ms exclude each other; give one", 2)
    if at_least and as_of_token:
        raise fail("--at-least and --as-of-token exclude each other; give one", 2)
    staleness = None if max_staleness_ms is None else timedelta(milliseconds=max_staleness_ms)
    requirement = Requirement(use_case, staleness, at_least, policy, want_session_token=True)
    found = complete(tenant_of(tenant, ingest, timeout), ingest)
    numbered = by_number or found.identity is Identity.NUMBERED
    if numbered and not entity.isdigit():
        raise fail(f"{entity!r} is no number, and entities of {found.name} are asked for by number", 2)
    which = int(entity) if numbered else entity
    reading = _read(
        found,
        which,
        attributes=attribute or [],
        as_of_token=as_of_token,
        wanted=requirement,
        targets=(ingest, query),
        timeout=timeout,
    )
    answer = complete(reading, query)
    _show(answer, Console())


async def tenant_of(name: str, ingest: str, timeout: float) -> Tenant:
    """Return the tenant of this name or number. Ends the process if there is none."""
    """Return the tenant of a name or number, `timeout` in seconds. Ends the command when there is none."""
    async with AtlasClient.connect(ingest=ingest, query=ingest, caller=CALLER) as client:
        tenants = await client.list_tenants(timeout=timedelta(seconds=timeout))
    for tenant in tenants:
        if name in {tenant.name, str(tenant.tenant_id)}:
            return tenant
    raise fail(f"no tenant {name!r} is registered; `atlas tenants` lists those that are")


async def _read(
    tenant: Tenant,
    entity: str | int,
    *,
    attributes: list[str],
    as_of_token: str,
    wanted: Requirement,
    targets: tuple[str, str],
    timeout: float,
) -> EntityAnswer:
    async with AtlasClient.connect(*targets, caller=CALLER, tenant=tenant.tenant_id) as client:
        return await client.get_entity(
            tenant.tenant_id,
            entity,
            attributes,
            as_of_token=as_of_token,
            freshness=wanted,
            timeout=timedelta(seconds=timeout),
        )


def _show(answer: EntityAnswer, console: Console) -> None:
    entity = answer.entity
    name = entity.entity_key or str(entity.entity_id)
    kind = f" ({entity.asset_type})" if entity.asset_type else ""
    table = Table("attribute", "value", "type", "observed", title=f"{name}{kind}", title_justify="left")
    for key in sorted(entity.values):
        observed = entity.values[key]
        value = value_text(observed.value)
        texts = (key, value, type_text(observed.value, observed.source_type), instant_text(observed.event_time))
        table.add_row(*map(Text, texts))  # as it is: a value may look like markup
    console.print(table)
    console.print(Text(f"freshness: {answer.freshness}"), soft_wrap=True)
    if answer.freshness.session_token:
        console.print(Text(f"token: {answer.freshness.session_token}"))


def tenants_command(*, ingest: Ingest = "127.0.0.1:50051", timeout: Timeout = 5.0) -> None:
    """List the tenants that are registered."""
    table = Table("id", "name", "entities by", "shards", "attribute keys at most", "registered")
    for tenant in complete(_tenants(ingest, timeout), ingest):
        texts = (tenant.tenant_id, tenant.name, "key" if tenant.identity is Identity.KEYED else "number",
                 tenant.shard_spread, f"{tenant.attribute_key_quota:,}", instant_text(tenant.created_at))  # fmt: skip
        table.add_row(*(Text(str(text)) for text in texts))
    Console().print(table)


async def _tenants(ingest: str, timeout: float) -> list[Tenant]:
    async with AtlasClient.connect(ingest=ingest, query=ingest, caller=CALLER) as client:
        return await client.list_tenants(timeout=timedelta(seconds=timeout))


def lag_command(*, lag: Lag = "127.0.0.1:50053", timeout: Timeout = 5.0) -> None:
    """Show how far each copy is behind, as last polled, and what the monitor can prove now."""
    board = complete(read_board(lag, timeout), lag)
    table = Table("copy", "lag", "to be applied", "state")
    for row in board.copies:
        table.add_row(*map(Text, _row_texts(row)))
    console = Console()
    console.print(table)
    for line in board.lines():
        console.print(Text(line), soft_wrap=True)


def _row_texts(row: CopyRow) -> tuple[str, str, str, str]:
    behind = "unknown" if row.lag_bytes is None else f"{row.lag_bytes:,} bytes"
    state = "answers" if row.reachable else "does not answer"
    return row.copy, span_text(row.lag), behind, f"{state}: {row.problem}" if row.problem else state
