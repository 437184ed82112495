"""What a transaction of ingest does about promoted attributes, beside its rows of the history."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from atlaskit.postgres.entities import Identity, Known, Wish
from atlaskit.postgres.hot_backfill import refill
from atlaskit.postgres.hot_values import TenantMappings, Typed, changes_of
from atlaskit.postgres.hot_writes import write_changes
from atlaskit.postgres.transaction import AloneNeeded, Transaction
from atlaskit.postgres.writer import Writer


class Retyped(NamedTuple):
    """An entity that has another asset type (0: none) than writes before this knew; its row is to have `version`."""

    shard: int
    asset_type_id: int
    version: int


async def retyped_of(
    writer: Writer,
    changed: Mapping[Identity, Wish],
    *,
    found: Mapping[Identity, Known],
    met: Mapping[Identity, Known],
    catalogue: Mapping[int, TenantMappings],
    alone: Collection[int],
) -> dict[Identity, Retyped]:
    """Return the entities that changed their type, of tenants with promoted attributes: their slots are filled anew.

    `found` before the `changed` ones were written, `met` after. An entity that was registered by another transaction in
    between counts: it may have had another type there. Raises AloneNeeded unless the tenants' locks are had alone; a
    write beside this one would not know which slots to keep."""
    concerned = {identity: wish for identity, wish in changed.items() if identity[0] in catalogue}
    unregistered = [identity for identity in concerned if identity not in found]
    if unregistered:
        columns = [list(column) for column in zip(*unregistered, strict=True)]
        rows = await writer.fetch("entities_with_history", *columns)
        unregistered = [(row["tenant_id"], row["entity_id"]) for row in rows]
    retyped = {
        *unregistered,
        *(identity for identity, wish in concerned.items() if changes_type(wish, found.get(identity))),
    }
    if lacking := {tenant for tenant, _ in retyped} - set(alone):
        raise AloneNeeded(lacking)
    return {
        identity: Retyped(changed[identity].shard, met[identity].asset_type_id or 0, changed[identity].version)
        for identity in retyped
    }


def changes_type(wish: Wish, known: Known | None) -> bool:
    """Return whether a wish gives a registered entity another asset type."""
    return known is not None and wish.asset_type_id is not None and wish.asset_type_id != known.asset_type_id


async def write_hot(
    writer: Writer,
    opened: Transaction,
    batches: Sequence[Typed],
    catalogue: Mapping[int, TenantMappings],
    retyped: Mapping[Identity, Retyped],
) -> None:
    """Keep the slots of these batches, whose rows of the history are written already."""
    await write_changes(writer, opened.ledger, changes_of(batches, catalogue, without=retyped.keys()))
    if retyped:
        await refill(writer, opened, retyped, catalogue)
