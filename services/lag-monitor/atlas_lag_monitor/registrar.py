"""Registers the epoch of a primary and timeline: first in the topic, then in PostgreSQL, and only then for others."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import NoReturn

import structlog
from atlaskit.clickhouse.epochs import greatest_epoch, greatest_position
from atlaskit.clickhouse.pool import ClickHouse
from atlaskit.errors import Unavailable
from atlaskit.kafka.epochs import EpochRecord, append_epoch, read_epochs
from atlaskit.position import Lsn, SourceIdentity
from atlaskit.postgres.dedicated import DedicatedSession, open_session
from atlaskit.postgres.epochs import (
    Forks,
    RegisteredEpoch,
    read_forks,
    register_epoch,
    registered_epochs,
    store_forks,
    withdraw_epoch,
)
from atlaskit.postgres.errors import StoreRefused
from atlaskit.postgres.probes import look_at_primary

from atlas_lag_monitor.epochs import ancestors_of, number_for, owner_of, withdrawn_in
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
        self._noted: set[SourceIdentity] = set()
        self._published: set[SourceIdentity] = set()

    async def run(self) -> NoReturn:
        """Register whatever primary the evidence knows, until a store fails; then raise its error."""
        async for _ in ticks(LOOK):
            for identity in self._evidence.withdrawn.keys() - self._noted:
                await self._note_withdrawn(identity, self._evidence.withdrawn[identity])
            current, epoch = self._evidence.identity, self._evidence.epoch
            if current is not None and (epoch is None or self._verified != (current, epoch)):
                await self._register(current)
                self._evidence.tell("epoch", "")
            for identity in self._evidence.withdrawn.keys() - self._published:
                await self._publish_withdrawn(identity, self._evidence.withdrawn[identity])
        raise AssertionError("ticks have no end")

    async def _register(self, identity: SourceIdentity) -> None:
        limit = self._limit
        async with open_session(self._settings.postgres_dsn, "atlas-lag-epochs", connect_limit=limit) as session:
            known = await registered_epochs(session, limit)
            if identity not in known:
                await self._claim(session, identity, {owner: epoch.number for owner, epoch in known.items()})
                known = await registered_epochs(session, limit)
            if identity not in known:
                raise Unavailable("the primary changed while its epoch was being registered")
            if because := known[identity].withdrawn:
                self._evidence.withdraw(identity, because)
                return
            epoch = known[identity].number
            ancestors = ancestors_of(identity, await self._forks(session, identity, known[identity]), known)
            # What PostgreSQL has was owned when it was put there; it is used at once, and looked at again.
            if self._refuted != (identity, epoch):
                self._evidence.registered(identity, epoch, ancestors)
            if self._verified != (identity, epoch):
                await self._verify(session, EpochRecord(epoch, identity), ancestors)

    async def _forks(self, session: DedicatedSession, identity: SourceIdentity, epoch: RegisteredEpoch) -> Forks | None:
        """Return where earlier timelines end in this one; None, logged, where the server does not tell."""
        if epoch.forks is not None:
            return epoch.forks
        try:
            forks = await read_forks(session, identity.timeline, self._limit)
        except StoreRefused as refused:
            log.warning("the history of the timeline cannot be read; tokens of before are lost", problem=str(refused))
            return None
        if forks is not None:
            await store_forks(session, epoch.number, forks, self._limit)
        return forks

    async def _note_withdrawn(self, identity: SourceIdentity, because: str) -> None:
        """Keep in PostgreSQL, where ingest looks, that an epoch is over."""
        limit = self._limit
        async with open_session(self._settings.postgres_dsn, "atlas-lag-epochs", connect_limit=limit) as session:
            known = await registered_epochs(session, limit)
            if identity in known:
                await withdraw_epoch(session, known[identity].number, because, limit)
        log.warning("epoch withdrawn", timeline=identity.timeline, because=because)
        self._noted.add(identity)

    async def _publish_withdrawn(self, identity: SourceIdentity, because: str) -> None:
        """Keep it in the topic too, which no restored backup takes back."""
        bootstrap, limit = self._settings.kafka_bootstrap, self._limit
        records = await read_epochs(bootstrap, limit)
        owned = [record.epoch for record in records if owner_of(records, record.epoch) == identity]
        if owned and not withdrawn_in(records, identity):
            await append_epoch(bootstrap, EpochRecord(max(owned), identity, because), limit)
        self._published.add(identity)

    async def _claim(
        self, session: DedicatedSession, identity: SourceIdentity, known: dict[SourceIdentity, int]
    ) -> None:
        bootstrap, limit = self._settings.kafka_bootstrap, self._limit
        for _ in range(ATTEMPTS):
            records = await read_epochs(bootstrap, limit)
            if because := withdrawn_in(records, identity):
                self._evidence.withdraw(identity, because)
                raise Unavailable(f"the timeline is withdrawn: {because}")
            number = number_for(identity, records, known, await greatest_epoch(self._clickhouse, limit))
            if owner_of(records, number) is None:
                await append_epoch(bootstrap, EpochRecord(number, identity), limit)
                records = await read_epochs(bootstrap, limit)
            if owner_of(records, number) == identity:
                await register_epoch(session, number, identity, limit)
                log.info("epoch registered", epoch=number, timeline=identity.timeline)
                return
        raise Unavailable(f"{ATTEMPTS} numbers in a row were claimed by others")

    async def _verify(self, session: DedicatedSession, record: EpochRecord, ancestors: Mapping[int, Lsn]) -> None:
        """Look whether the number is this identity's in the topic, and its log as long as ClickHouse has seen it."""
        bootstrap, limit = self._settings.kafka_bootstrap, self._limit
        records = await read_epochs(bootstrap, limit)
        if owner_of(records, record.epoch) is None:  # the topic was lost: what is in use is written there again
            await append_epoch(bootstrap, record, limit)
            records = await read_epochs(bootstrap, limit)
        owner = owner_of(records, record.epoch)
        if owner != record.identity:
            self._refuted = (record.identity, record.epoch)
            self._evidence.registered(record.identity, None)
            raise Unavailable(f"epoch {record.epoch} of PostgreSQL belongs to {owner} in topic atlas.epochs")
        if because := withdrawn_in(records, record.identity) or await self._too_short(session, record):
            self._evidence.withdraw(record.identity, because)
            return
        self._verified, self._refuted = (record.identity, record.epoch), None
        self._evidence.registered(record.identity, record.epoch, ancestors)

    async def _too_short(self, session: DedicatedSession, record: EpochRecord) -> str:
        """Return why this log cannot be the one that ClickHouse was fed from, or an empty text."""
        seen = await greatest_position(self._clickhouse, record.epoch, self._limit)
        look = await look_at_primary(session, self._limit)  # after it: the log only grows
        if look.identity != record.identity or look.flushed is None or look.flushed >= seen:
            return ""
        return f"its log ends at {look.flushed}, and ClickHouse has a watermark of this epoch at {seen}"
