"""Registers the epoch of a primary and timeline: first in the topic, then in PostgreSQL, and only then for others."""

from __future__ import annotations

from datetime import timedelta
from typing import NoReturn

import structlog
from atlaskit.clickhouse.epochs import greatest_epoch
from atlaskit.clickhouse.pool import ClickHouse
from atlaskit.errors import Unavailable
from atlaskit.kafka.epochs import EpochRecord, append_epoch, read_epochs
from atlaskit.position import SourceIdentity
from atlaskit.postgres.beats import register_epoch, registered_epochs
from atlaskit.postgres.dedicated import DedicatedSession, open_session

from atlas_lag_monitor.epochs import number_for, owner_of
from atlas_lag_monitor.evidence import Evidence
from atlas_lag_monitor.settings import Settings
from atlas_lag_monitor.supervision import ticks

LOOK = timedelta(milliseconds=100)
ATTEMPTS = 8  # claims that others were faster with, before the pause of a failure

log = structlog.get_logger(__name__)


class Registrar:
    """Gives the evidence the number of its epoch, and takes it back when another owns it."""

    def __init__(self, settings: Settings, evidence: Evidence, clickhouse: ClickHouse) -> None:
        self._settings = settings
        self._evidence = evidence
        self._clickhouse = clickhouse
        self._limit = settings.epoch_timeout
        self._verified: tuple[SourceIdentity, int] | None = None
        self._refuted: tuple[SourceIdentity, int] | None = None

    async def run(self) -> NoReturn:
        """Register whatever primary the evidence knows, until a store fails; then raise its error."""
        async for _ in ticks(LOOK):
            identity, epoch = self._evidence.identity, self._evidence.epoch
            if identity is not None and (epoch is None or self._verified != (identity, epoch)):
                await self._register(identity)
                self._evidence.tell("epoch", "")
        raise AssertionError("ticks have no end")

    async def _register(self, identity: SourceIdentity) -> None:
        limit = self._limit
        async with open_session(self._settings.postgres_dsn, "atlas-lag-epochs", connect_limit=limit) as session:
            known = await registered_epochs(session, limit)
            if identity not in known:
                await self._claim(session, identity, known)
                known = await registered_epochs(session, limit)
        if identity not in known:
            raise Unavailable("the primary changed while its epoch was being registered")
        epoch = known[identity]
        # What PostgreSQL has was owned when it was put there; it is used at once, and looked at again.
        if self._refuted != (identity, epoch):
            self._evidence.registered(identity, epoch)
        if self._verified != (identity, epoch):
            await self._verify(EpochRecord(epoch, identity))

    async def _claim(
        self, session: DedicatedSession, identity: SourceIdentity, known: dict[SourceIdentity, int]
    ) -> None:
        bootstrap, limit = self._settings.kafka_bootstrap, self._limit
        for _ in range(ATTEMPTS):
            records = await read_epochs(bootstrap, limit)
            number = number_for(identity, records, known, await greatest_epoch(self._clickhouse, limit))
            if owner_of(records, number) is None:
                await append_epoch(bootstrap, EpochRecord(number, identity), limit)
                records = await read_epochs(bootstrap, limit)
            if owner_of(records, number) == identity:
                await register_epoch(session, number, identity, limit)
                log.info("epoch registered", epoch=number, timeline=identity.timeline)
                return
        raise Unavailable(f"{ATTEMPTS} numbers in a row were claimed by others")

    async def _verify(self, record: EpochRecord) -> None:
        bootstrap, limit = self._settings.kafka_bootstrap, self._limit
        owner = owner_of(await read_epochs(bootstrap, limit), record.epoch)
        if owner is None:  # the topic was lost: what is in use is written there again
            await append_epoch(bootstrap, record, limit)
            owner = owner_of(await read_epochs(bootstrap, limit), record.epoch)
        if owner != record.identity:
            self._refuted = (record.identity, record.epoch)
            self._evidence.registered(record.identity, None)
            raise Unavailable(f"epoch {record.epoch} of PostgreSQL belongs to {owner} in topic atlas.epochs")
        self._verified, self._refuted = (record.identity, record.epoch), None
        self._evidence.registered(record.identity, record.epoch)
