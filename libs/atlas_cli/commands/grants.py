"""`atlas grants`: who may read several tenants in one question. For whoever owns the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, TypeVar

import typer
from atlaskit.errors import AtlasError
from atlaskit.postgres import grants
from atlaskit.postgres.pool import Session, open_pool
from rich.console import Console
from rich.table import Table
from rich.text import Text

from atlas_cli.commands.running import fail
from atlas_cli.text import instant_text

T = TypeVar("T")

Dsn = Annotated[
    str, typer.Option("--postgres", envvar="ATLAS_ADMIN_DSN", help="The primary, as the owner of the database")
]
Caller = Annotated[str, typer.Option(help="Name that the service states as x-atlas-caller")]
By = Annotated[str, typer.Option(envvar="USER", help="Who decides this; kept with the grant")]
Tenant = Annotated[int | None, typer.Option(min=1, max=2**31 - 1, help="Number of a tenant")]
Every = Annotated[bool, typer.Option("--all", help="Every tenant, also those registered later")]

grants_app = typer.Typer(
    name="grants", help="Who may read several tenants in one question.", no_args_is_help=True, add_completion=False
)


@grants_app.command("add")
def add_command(*, dsn: Dsn, caller: Caller, by: By, tenant: Tenant = None, every: Every = False) -> None:
    """Let a caller read a tenant together with others; in force at once."""
    which = _which(tenant, every)
    if not _run(dsn, lambda session: grants.add(session, caller, which, by)):
        print("it was in force already")


@grants_app.command("revoke")
def revoke_command(*, dsn: Dsn, caller: Caller, by: By, tenant: Tenant = None, every: Every = False) -> None:
    """Take a grant back; routers follow within ATLAS_GRANTS_AGE."""
    which = _which(tenant, every)
    if not _run(dsn, lambda session: grants.revoke(session, caller, which, by)):
        raise fail("there is no such grant in force; `atlas grants list` shows those that are")


@grants_app.command("list")
def list_command(*, dsn: Dsn, caller: Annotated[str | None, typer.Option(help="Only this caller")] = None) -> None:
    """List grants, newest first, revoked ones too."""
    table = Table("caller", "tenant", "granted", "by", "revoked", "by")
    for grant in _run(dsn, lambda session: grants.listed(session, caller)):
        tenant = "all" if grant.tenant_id is None else str(grant.tenant_id)
        texts = (grant.caller, tenant, instant_text(grant.granted_at), grant.granted_by,
                 instant_text(grant.revoked_at), grant.revoked_by or "-")  # fmt: skip
        table.add_row(*map(Text, texts))
    Console().print(table)


def _which(tenant: int | None, every: bool) -> int | None:
    if (tenant is None) is not every:
        raise fail("give --tenant NUMBER or --all, one of them", 2)
    return tenant


def _run(dsn: str, work: Callable[[Session], Awaitable[T]]) -> T:
    async def connected() -> T:
        async with (
            open_pool(dsn, max_size=1, application_name="atlas-grants") as pool,
            pool.lease(timedelta(seconds=5)) as session,
        ):
            return await work(session)

    try:
        return asyncio.run(connected())
    except AtlasError as error:
        raise fail(str(error)) from error
