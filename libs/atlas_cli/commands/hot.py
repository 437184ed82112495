"""`atlas hot`: which attributes are promoted, so that filters on them are fast."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import typer
from atlas_client import AtlasClient, HotAttribute, HotState, ValueType
from rich.console import Console
from rich.table import Table
from rich.text import Text

from atlas_cli.commands.options import CALLER, Ingest, Timeout
from atlas_cli.commands.reads import tenant_of
from atlas_cli.commands.running import complete, fail
from atlas_cli.text import instant_text

hot_app = typer.Typer(
    help="Promote attributes, so that filters on them are fast, and list or end it.", no_args_is_help=True
)
TenantName = Annotated[str, typer.Argument(help="Name or number of the tenant")]
Key = Annotated[str, typer.Argument(help="Key of the attribute")]
AssetType = Annotated[str, typer.Option("--type", help="Asset type of the entities; without it, those that have none")]
KINDS = {kind.name.lower(): kind for kind in ValueType if kind is not ValueType.BYTES}


@hot_app.command("promote")
def promote_command(
    *,
    tenant: TenantName,
    attribute: Key,
    asset_type: AssetType = "",
    value_type: Annotated[
        str, typer.Option(help=f"{', '.join(KINDS)}; default: the one type that its values have had")
    ] = "",
    ingest: Ingest = "127.0.0.1:50051",
    timeout: Timeout = 5.0,
) -> None:
    """Promote an attribute: it serves reads once its state is READY."""
    if value_type and value_type not in KINDS:
        raise fail(f"--value-type {value_type!r} is none of {', '.join(KINDS)}", 2)

    async def work(client: AtlasClient, tenant_id: int) -> list[HotAttribute]:
        kind = KINDS.get(value_type)
        return [await client.promote_attribute(tenant_id, attribute, asset_type=asset_type, value_type=kind)]

    _show(complete(_asked(tenant, ingest, timeout, work), ingest))


@hot_app.command("demote")
def demote_command(
    *,
    tenant: TenantName,
    attribute: Key,
    asset_type: AssetType = "",
    ingest: Ingest = "127.0.0.1:50051",
    timeout: Timeout = 5.0,
) -> None:
    """End the promotion of an attribute."""

    async def work(client: AtlasClient, tenant_id: int) -> list[HotAttribute]:
        return [await client.demote_attribute(tenant_id, attribute, asset_type=asset_type)]

    _show(complete(_asked(tenant, ingest, timeout, work), ingest))


@hot_app.command("list")
def list_command(
    *,
    tenant: TenantName,
    retired: Annotated[bool, typer.Option("--retired", help="Those too whose promotion ended")] = False,
    ingest: Ingest = "127.0.0.1:50051",
    timeout: Timeout = 5.0,
) -> None:
    """List the promoted attributes of a tenant, with the progress of those that are not READY."""

    async def work(client: AtlasClient, tenant_id: int) -> list[HotAttribute]:
        return await client.list_hot_attributes(tenant_id, include_retired=retired)

    _show(complete(_asked(tenant, ingest, timeout, work), ingest))


async def _asked(
    tenant: str, ingest: str, timeout: float, work: Callable[[AtlasClient, int], Awaitable[list[HotAttribute]]]
) -> list[HotAttribute]:
    found = await tenant_of(tenant, ingest, timeout)
    async with AtlasClient.connect(ingest, ingest, caller=CALLER, tenant=found.tenant_id) as client:
        return await work(client, found.tenant_id)


def _show(found: Sequence[HotAttribute]) -> None:
    table = Table("id", "asset type", "attribute", "type", "state", "filled", "promoted")
    for one in found:
        texts = (
            str(one.mapping_id),
            one.asset_type or "(none)",
            one.attribute_key,
            one.value_type.name.lower(),
            one.state.name,
            progress_text(one),
            instant_text(one.created_at),
        )
        table.add_row(*map(Text, texts))  # as it is: a key may look like markup
    Console().print(table)


def progress_text(one: HotAttribute) -> str:
    """Return how many of the entities are done; they may be more in the end than were counted in the beginning."""
    if one.state is not HotState.BACKFILLING:
        return f"{one.entities_done:,}"
    return f"{one.entities_done:,} of {'?' if one.entities_total is None else f'{one.entities_total:,}'}"
