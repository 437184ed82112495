"""What the pipeline needs of ClickHouse and the primary, and the real ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from atlaskit.clickhouse.places import marked_places
from atlaskit.clickhouse.pool import ClickHouse
from atlaskit.clickhouse.purging import identities_of, places_holding, purge
from atlaskit.clickhouse.table import insert
from atlaskit.clickhouse.watermark import (
    Place,
    Watermark,
    begin_incarnation,
    publish,
    read_incarnation,
    read_watermarks,
    settings_hold,
)
from atlaskit.postgres.repair import Identity

from atlas_olap_sink.rows import Columns


class Store(Protocol):
    """A copy for analytics. Each call raises an AtlasError if it fails; then it may be made again."""

    async def insert(self, table: str, columns: Columns) -> None:
        """Return once every row is written and on disk."""
        ...

    async def incarnation(self) -> UUID | None:
        """Return the id of the running server's life, or None if it has none yet."""
        ...

    async def begin_incarnation(self) -> UUID:
        """Give the running server a new id; no watermark published before counts under it."""
        ...

    async def durable(self) -> bool:
        """Return whether the server's settings still make an acknowledged insert last."""
        ...

    async def watermarks(self, places: Sequence[Place]) -> Sequence[Watermark]:
        """Return the watermarks of these places that hold under the running incarnation."""
        ...

    async def stored(self) -> frozenset[Place]:
        """Return the places that ever had a watermark here."""
        ...

    async def publish(self, watermarks: Sequence[Watermark]) -> None:
        """Return once the watermarks can be read."""
        ...

    async def holding(self, keys: Collection[int]) -> frozenset[Place]:
        """Return the tables and shards that hold rows of these transactions."""
        ...

    async def identities(self, place: Place, keys: Collection[int]) -> Sequence[Identity]:
        """Return the observations that these transactions wrote to a shard of the history."""
        ...

    async def purge(self, place: Place, keys: Collection[int]) -> None:
        """Return once no row of these transactions is left in a table and shard. Withdraw its claims before."""
        ...


@dataclass(frozen=True, slots=True)
class ClickHouseStore:
    """ClickHouse. No call takes longer than `limit`."""

    clickhouse: ClickHouse
    limit: timedelta = field(default=timedelta(seconds=30))

    async def insert(self, table: str, columns: Columns) -> None:
        """Return once every row is written and on disk."""
        await insert(self.clickhouse, table, columns, self.limit)

    async def incarnation(self) -> UUID | None:
        """Return the id of the running server's life, or None if it has none yet."""
        return await read_incarnation(self.clickhouse, self.limit)

    async def begin_incarnation(self) -> UUID:
        """Give the running server a new id; no watermark published before counts under it."""
        return await begin_incarnation(self.clickhouse, self.limit)

    async def durable(self) -> bool:
        """Return whether the server's settings still make an acknowledged insert last."""
        return await settings_hold(self.clickhouse, self.limit)

    async def watermarks(self, places: Sequence[Place]) -> Sequence[Watermark]:
        """Return the watermarks of these places that hold under the running incarnation."""
        return await read_watermarks(self.clickhouse, places, self.limit)

    async def stored(self) -> frozenset[Place]:
        """Return the places that ever had a watermark here."""
        return await marked_places(self.clickhouse, self.limit)

    async def publish(self, watermarks: Sequence[Watermark]) -> None:
        """Return once the watermarks can be read."""
        await publish(self.clickhouse, watermarks, self.limit)

    async def holding(self, keys: Collection[int]) -> frozenset[Place]:
        """Return the tables and shards that hold rows of these transactions."""
        return await places_holding(self.clickhouse, keys, self.limit)

    async def identities(self, place: Place, keys: Collection[int]) -> Sequence[Identity]:
        """Return the observations that these transactions wrote to a shard of the history."""
        return [Identity(*found) for found in await identities_of(self.clickhouse, place[1], keys, self.limit)]

    async def purge(self, place: Place, keys: Collection[int]) -> None:
        """Return once no row of these transactions is left in a table and shard."""
        await purge(self.clickhouse, place, keys, self.limit)
