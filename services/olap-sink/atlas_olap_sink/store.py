"""What the pipeline needs of ClickHouse and the primary, and the real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from atlaskit.clickhouse.places import marked_places
from atlaskit.clickhouse.pool import ClickHouse
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

    async def proven(self, places: Sequence[Place]) -> frozenset[Place]:
        """Return the places for which a watermark holds under the running incarnation."""
        ...

    async def stored(self) -> frozenset[Place]:
        """Return the places that ever had a watermark here."""
        ...

    async def publish(self, watermarks: Sequence[Watermark]) -> None:
        """Return once the watermarks can be read."""
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

    async def proven(self, places: Sequence[Place]) -> frozenset[Place]:
        """Return the places for which a watermark holds under the running incarnation."""
        return frozenset(
            (mark.table, mark.shard) for mark in await read_watermarks(self.clickhouse, places, self.limit)
        )

    async def stored(self) -> frozenset[Place]:
        """Return the places that ever had a watermark here."""
        return await marked_places(self.clickhouse, self.limit)

    async def publish(self, watermarks: Sequence[Watermark]) -> None:
        """Return once the watermarks can be read."""
        await publish(self.clickhouse, watermarks, self.limit)
