"""Reads of one tenant on one connection: first a probe: what is this server, how far has it come; then data.

Both stand in one READ COMMITTED transaction, the probe in an earlier statement: then the data's snapshot is not older
than the position that was probed. In one statement, or on two connections, it could be.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Final

from atlaskit.clock import Clock
from atlaskit.errors import InvalidRequest
from atlaskit.figures import Figures
from atlaskit.freshness.proofs import PrimaryRead, ReplicaRead
from atlaskit.model import MAX_ENTITY_ID, EntityState, Observation
from atlaskit.position import Lsn, SourceIdentity
from atlaskit.postgres.grouping import grouped, groups
from atlaskit.postgres.hot_slots import mapping_from
from atlaskit.postgres.pool import Pool, Row, Session
from atlaskit.postgres.rendering import FIRST, FOREVER
from atlaskit.postgres.searching import found, search_statement
from atlaskit.postgres.slotted import Slotted, attributes_in_slots
from atlaskit.postgres.values import entity_state, observation
from atlaskit.selection.searches import EntitySearch, Found, Group, GroupSearch, deciding_attributes
from atlaskit.sql import load

_SQL: Final = load(Path(__file__).parent / "queries")


class PositionTooOld(InvalidRequest):
    """The ledger no longer tells which deliveries a position covers."""

    def __init__(self) -> None:
        super().__init__(
            "as_of_token", "is older than everything the ledger keeps; read by event time", "TOKEN_TOO_OLD"
        )


@asynccontextmanager
async def reading(
    pool: Pool, tenant_ids: Sequence[int], limit: timedelta, *, planned_anew: bool = False
) -> AsyncIterator[Reader]:
    """Lend a connection in a read-only transaction for reads of these tenants. The block should take at most `limit`.

    `planned_anew`: each statement is planned for its values, for those whose best plan depends on them. Cancelled, the
    running statement is cancelled at the server.
    """
    async with pool.lease(limit) as session, session.transaction(isolation="read_committed", readonly=True):
        yield Reader(session, tenant_ids, limit, planned_anew=planned_anew)


class Reader:
    """Statements of one tenant or, for groups, several. Probe first: it also sets whom the rows' policies let through.

    Every statement takes at most the limit, and raises the errors of `atlaskit.postgres.errors`.
    """

    def __init__(
        self, session: Session, tenant_ids: Sequence[int], limit: timedelta, *, planned_anew: bool = False
    ) -> None:
        self._session = session
        self._tenant_id = tenant_ids[0]
        self._limit = limit
        self.slotted: tuple[str, ...] = ()
        self._settings = (
            ",".join(map(str, tenant_ids)),
            str(max(int(limit.total_seconds() * 1000), 1)),  # zero would mean no limit at all
            "force_custom_plan" if planned_anew else "auto",
        )

    async def probe_primary(self, clock: Clock) -> PrimaryRead:
        """Return which server this is, with the boot instants around the question."""
        asked = clock.boot()
        row = await self._session.row(_SQL["probe_primary"], *self._settings, limit=self._limit)
        answered = clock.boot()
        assert row is not None
        timeline, position = row["timeline"], row["position"]
        identity = None if timeline is None else SourceIdentity(row["system_identifier"], timeline)
        return PrimaryRead(identity, row["in_recovery"], asked, answered, None if position is None else Lsn(position))

    async def probe_replica(self) -> ReplicaRead:
        """Return how far this standby has replayed and what its receiver follows."""
        row = await self._session.row(_SQL["probe_replica"], *self._settings, limit=self._limit)
        assert row is not None
        return ReplicaRead(
            replayed=None if row["position"] is None else Lsn(row["position"]),
            in_recovery=row["in_recovery"],
            system_identifier=row["system_identifier"],
            receiver_streaming=row["receiver_streaming"] is True,
            receiver_timeline=row["receiver_timeline"],
        )

    async def flushed(self) -> Lsn:
        """Return a position at or above everything that was read so far. For a primary."""
        return Lsn(await self._session.value(_SQL["flushed_position"], limit=self._limit))

    async def replayed(self) -> Lsn:
        """Return a position at or above everything that was read so far. For a standby."""
        return Lsn(await self._session.value(_SQL["replayed_position"], limit=self._limit))

    async def entity(
        self, entity_id: int, *, attributes: Collection[str] = (), as_of: datetime | None = None, most: int = 10_000
    ) -> EntityState | None:
        """Return the entity with its values current at `as_of` (event time; None: the newest), or None.

        An empty `attributes` asks for all of them, of which at most `most` come.
        """
        name = "entity_with_values" if attributes else "entity_with_all_values"
        instant = as_of or FOREVER
        values: tuple[object, object] = (list(attributes), instant) if attributes else (instant, most)
        rows = await self._session.fetch(_SQL[name], self._tenant_id, entity_id, *values, limit=self._limit)
        found = self._entities(rows)
        return found[0] if found else None

    async def entity_as_of_position(
        self,
        entity_id: int,
        position: Lsn,
        *,
        attributes: Collection[str] = (),
        as_of: datetime | None = None,
        most: int = 10_000,
    ) -> EntityState | None:
        """Return the same by the deliveries up to `position` alone, which this server must have reached.

        What was being committed just then may be in it. Raises PositionTooOld where the ledger no longer tells.
        """
        rows = await self._session.fetch(
            _SQL["entity_as_of_position"],
            self._tenant_id, entity_id, list(attributes), as_of or FOREVER, position.bytes, most,
            limit=self._limit,
        )  # fmt: skip
        if rows and rows[0]["too_old"]:
            raise PositionTooOld
        return next(iter(self._entities(rows)), None)

    async def entities(
        self, after: int, count: int, *, attributes: Collection[str] = (), as_of: datetime | None = None
    ) -> list[EntityState]:
        """Return up to `count` entities with ids above `after` in order of id, each with these of its values."""
        rows = await self._session.fetch(
            _SQL["entities_with_values"],
            self._tenant_id, after, MAX_ENTITY_ID, count, list(attributes), as_of or FOREVER,
            limit=self._limit,
        )  # fmt: skip
        return self._entities(rows)

    async def history(
        self,
        entity_id: int,
        attribute_key: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        newest_first: bool = False,
        most: int,
    ) -> list[Observation]:
        """Return the observations with start <= event time < end by event time, at most `most`."""
        name = "history_newest_first" if newest_first else "history_oldest_first"
        bounds = (start or FIRST, end or FOREVER)
        rows = await self._session.fetch(
            _SQL[name], self._tenant_id, entity_id, attribute_key, *bounds, most, limit=self._limit
        )
        return [observation(attribute_key, row) for row in rows]

    async def aggregate(
        self,
        attribute_key: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        by_entity: bool = False,
        bucket: timedelta | None = None,
        after: tuple[int, int] = (-2, 0),
        most: int,
    ) -> list[Figures]:
        """Return figures of one attribute by group, ordered by entity and bucket, of the groups above `after`.

        `after` is the entity and the bucket's start in microseconds since 1970, -1 where it is not grouped by.
        """
        width = None if bucket is None else bucket // timedelta(microseconds=1)
        bounds = (start or FIRST, end or FOREVER)
        rows = await self._session.fetch(
            _SQL["aggregate_attribute"],
            self._tenant_id, attribute_key, *bounds, by_entity, width, *after, most,
            limit=self._limit,
        )  # fmt: skip
        return [_figures(row) for row in rows]

    async def search(self, search: EntitySearch) -> list[Found]:
        """Return the entities that a search asks for, in its order; `slotted` tells then what was read from slots."""
        slotted = await self._slotted(search)
        if slotted and slotted.keys() == set(deciding_attributes(search)):
            text, values = search_statement(search, slotted, alone=True)
            rows = await self._session.fetch(text, *values, limit=self._limit)
            if not rows[0]["doubt"]:
                self.slotted = tuple(slotted)
                return found(search, rows)
        if slotted:
            text, values = search_statement(search, slotted)
            rows = await self._session.fetch(text, *values, limit=self._limit)
            # A mapping goes one way: READY before and after, it was READY for the statement in between.
            if await self._slotted(search) == slotted:
                self.slotted = tuple(slotted)
                return found(search, rows)
        text, values = search_statement(search)
        return found(search, await self._session.fetch(text, *values, limit=self._limit))

    async def _slotted(self, search: EntitySearch) -> Slotted:
        """Return the attributes of a search whose slots serve it now, with their mappings."""
        wanted = attributes_in_slots(search)
        if wanted is None:
            return {}
        rows = await self._session.fetch(_SQL["ready_mappings"], search.tenant_id, *wanted, limit=self._limit)
        return {row["attribute_key"]: mapping_from(row) for row in rows}

    async def groups(self, search: GroupSearch) -> list[Group]:
        """Return the groups that a search asks for, by their keys. Their tenants are those of the probe."""
        text, values = grouped(search)
        return groups(search, await self._session.fetch(text, *values, limit=self._limit))

    def _entities(self, rows: Sequence[Row]) -> list[EntityState]:
        groups = (list(group) for _, group in groupby(rows, key=lambda row: row["entity_id"]))
        return [entity_state(self._tenant_id, group) for group in groups]


def _figures(row: Row) -> Figures:
    return Figures(
        entity_id=None if row["entity_id"] < 0 else row["entity_id"],
        bucket=None if row["bucket"] < 0 else FIRST + timedelta(microseconds=row["bucket"]),
        count=row["count"],
        integers=row["integers"],
        doubles=row["doubles"],
        min_int64=row["min_int"],
        max_int64=row["max_int"],
        min_uint64=None if row["min_uint"] is None else int(row["min_uint"]),
        max_uint64=None if row["max_uint"] is None else int(row["max_uint"]),
        min_double=row["min_double"],
        max_double=row["max_double"],
        integer_sum=int(row["integer_sum"]),
        double_sum=row["double_sum"],
    )
