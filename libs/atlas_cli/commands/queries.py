"""`atlas query entities`: the entities that fulfil a filter."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer
from atlas.query.v1.query_service_pb2 import Predicate
from atlas_client import AtlasClient, Entity, EntityPage, FilterError, FilterNotInstalled, Policy, Requirement, UseCase
from atlas_client.where import predicate_where
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from atlas_cli.commands.options import CALLER, Ingest, Query, Timeout
from atlas_cli.commands.reads import tenant_of
from atlas_cli.commands.running import complete, fail
from atlas_cli.text import span_text, value_text

query_app = typer.Typer(name="query", help="Ask for many entities at once.", no_args_is_help=True)


@query_app.callback()
def _query() -> None:
    """Ask for many entities at once."""


@query_app.command("entities")
def entities_command(
    *,
    tenant: Annotated[str, typer.Option(help="Name or number of the tenant")],
    where: Annotated[str, typer.Option(help="Filter in CEL (docs/queries.md), such as 'attr.temp_c > 40'")] = "",
    attribute: Annotated[
        list[str] | None, typer.Option("--attribute", "-a", help="Show this one too; may be repeated")
    ] = None,
    most: Annotated[int, typer.Option(min=1, max=1000, help="Entities in the page")] = 100,
    page_token: Annotated[str, typer.Option(help="Token of the page before")] = "",
    use_case: Annotated[UseCase | None, typer.Option(help="How fresh, as a row of the budget matrix")] = None,
    policy: Annotated[Policy | None, typer.Option(help="When no copy is fresh enough; default: fail_fast")] = None,
    ingest: Ingest = "127.0.0.1:50051",
    query: Query = "127.0.0.1:50052",
    timeout: Timeout = 10.0,
) -> None:
    """List the entities that fulfil a filter, and how fresh the answer is."""
    predicate = _predicate(where) if where else None
    found = complete(tenant_of(tenant, ingest, timeout), ingest)

    async def read() -> EntityPage:
        async with AtlasClient.connect(ingest, query, caller=CALLER, tenant=found.tenant_id) as client:
            return await client.list_entities(
                found.tenant_id,
                predicate=predicate,
                attributes=attribute or (),
                page_size=most,
                page_token=page_token,
                freshness=Requirement(use_case, policy=policy),
                timeout=timedelta(seconds=timeout),
            )

    _show(complete(read(), query), tuple(attribute or ()), Console())


def _predicate(where: str) -> Predicate:
    """Return the predicate of a filter in text. Ends the command for what is none, or without its library."""
    try:
        return predicate_where(where)
    except FilterError as fault:
        pointer = "" if "\n" in where else f"\n    {where}\n    {' ' * (fault.column - 1)}^"
        raise fail(f"--where: {fault}{pointer}", 2) from fault
    except FilterNotInstalled as missing:
        raise fail(f"--where: {missing}", 2) from missing


def _show(page: EntityPage, attributes: tuple[str, ...], console: Console) -> None:
    keys = [Column(Text(key)) for key in attributes]
    table = Table("entity", "type", *keys, *(["silent for"] if attributes else []))
    for entity in page.entities:
        table.add_row(*map(Text, _texts(entity, attributes)))  # as it is: a value may look like markup
    console.print(table)
    console.print(Text(f"freshness: {page.freshness}"), soft_wrap=True)
    if page.next_page_token:
        console.print(Text(f"more with --page-token {page.next_page_token}"), soft_wrap=True)


def _texts(entity: Entity, attributes: tuple[str, ...]) -> list[str]:
    values = [value_text(entity.values[key].value) if key in entity.values else "-" for key in attributes]
    silent = [span_text(entity.silence)] if attributes else []
    return [entity.entity_key or str(entity.entity_id), entity.asset_type or "-", *values, *silent]
