"""Beats into watermarks: what may be read in ClickHouse, said only while the server is the one that took the rows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import TypeAlias
from uuid import UUID

import structlog
from atlaskit.cdc.beat import ArrivedBeat
from atlaskit.clickhouse.watermark import Place, Watermark
from atlaskit.errors import Unavailable
from atlaskit.position import Lsn, SourceIdentity

from atlas_olap_sink.store import Store

log = structlog.get_logger(__name__)

EpochSource: TypeAlias = Callable[[int], Awaitable[SourceIdentity | None]]
NOBODY = UUID(int=0)
SETTINGS_PERIOD = 1.0  # seconds between two looks at the server's settings


class Outcome(Enum):
    """What became of a publication."""

    PUBLISHED = "published"
    WITHDRAWN = "withdrawn"  # the server's settings no longer make an acknowledged insert last
    RESTARTED = "restarted"  # the server is another one than took the rows: they have to be inserted again


class Publisher:
    """Publishes watermarks under one incarnation of the server. Raises the store's errors; then publish again."""

    def __init__(self, store: Store, epoch_source: EpochSource) -> None:
        self._store = store
        self._epoch_source = epoch_source
        self._sources: dict[int, SourceIdentity] = {}
        self._incarnation: UUID | None = None
        self._durable = False
        self._looked_at = float("-inf")

    async def adopt(self) -> UUID:
        """Return the incarnation of the running server, begun now if it has none.

        It is no claim: a watermark counts only under the incarnation that it names, and none names this one before
        its rows were inserted again.
        """
        found = await self._store.incarnation()
        if found is None:
            found = await self._store.begin_incarnation()
            log.warning("ClickHouse had no incarnation, began one", incarnation=str(found))
        self._incarnation = found
        return found

    async def withdraw(self, places: Collection[Place]) -> None:
        """Withdraw the watermarks of these places: nothing is claimed of them before a greater beat is published.

        A beat under no incarnation replaces the same one. A new incarnation would do too, but could hide a restart."""
        marks = await self._store.watermarks(sorted(places))
        await self._store.publish([replace(mark, incarnation=NOBODY) for mark in marks])
        log.warning("watermarks were withdrawn", places=sorted(places))

    async def publish(self, claims: Mapping[Place, Sequence[ArrivedBeat]]) -> Outcome:
        """Publish these beats, whose rows the store has acknowledged, unless the server or its settings changed."""
        if not await self._settings_hold():
            return Outcome.WITHDRAWN
        incarnation = await self._store.incarnation()
        if incarnation is None or incarnation != self._incarnation:
            return Outcome.RESTARTED
        marks = [await self._watermark(place, beat, incarnation) for place, beats in claims.items() for beat in beats]
        await self._store.publish(marks)
        return Outcome.PUBLISHED

    async def _settings_hold(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._looked_at >= SETTINGS_PERIOD:
            held = await self._store.durable()
            if held != self._durable or not held:
                log.log(20 if held else 40, "settings of ClickHouse read", durable=held)
            self._durable, self._looked_at = held, now
        return self._durable

    async def _watermark(self, place: Place, beat: ArrivedBeat, incarnation: UUID) -> Watermark:
        source = self._sources.get(beat.epoch) or await self._epoch_source(beat.epoch)
        if source is None:
            raise Unavailable(f"epoch {beat.epoch} is not registered at the primary")
        self._sources[beat.epoch] = source
        return Watermark(
            table=place[0],
            shard=place[1],
            monitor=beat.monitor,
            beat=beat.number,
            epoch=beat.epoch,
            timeline=source.timeline,
            system_identifier=source.system_identifier,
            lsn=Lsn(beat.lsn),
            incarnation=incarnation,
        )
