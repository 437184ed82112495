"""Promoted attributes of the set: their current values stand in slots too, as far as these know them."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from atlas_local.postgres import DATABASE, PostgresServer
from atlas_local.scratch import register_first_epoch
from atlaskit.model import ValueType
from atlaskit.postgres.hot_backfill import Step, backfill_step, backfills_left
from atlaskit.postgres.hot_promotion import Attribute, HotAttributes
from atlaskit.postgres.pool import open_pool
from atlaskit.postgres.writer import open_writer

from .dataset import ASSET_TYPES, TENANTS

LIMIT: Final = timedelta(seconds=20)
PROMOTED: Final = {
    "mixed": ValueType.DOUBLE,  # most of its values are of other types
    "number": ValueType.INT64,
    "num": ValueType.INT64,
    "flag": ValueType.BOOL,
    "text": ValueType.STRING,  # some are too long
    "rare": ValueType.UINT64,
}


async def promote(primary: PostgresServer) -> None:
    """Promote these attributes for all asset types of all tenants, and fill their slots."""
    await register_first_epoch(primary.dsn())
    dsn = primary.dsn("atlas_ingest", DATABASE)
    async with open_pool(dsn) as pool, open_writer(dsn) as writer:
        attributes = HotAttributes(pool, budget=30)
        for tenant_id in TENANTS:
            for asset_type in ASSET_TYPES[1:]:
                for key, kind in PROMOTED.items():
                    await attributes.promote(Attribute(tenant_id, asset_type, key), kind, LIMIT)
        for mapping in await backfills_left(pool):
            while await backfill_step(writer, mapping, 100) is Step.MORE:
                pass
