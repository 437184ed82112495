"""Whether everything committed still comes out of the slot: decided from what the primary says now and said before."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from atlaskit.clock import BootInstant, Clock
from atlaskit.position import Lsn
from atlaskit.postgres.change_stream import (
    ChangeStreamLook,
    KnownStream,
    known_change_stream,
    look_at_change_stream,
    remember_change_stream,
)
from atlaskit.postgres.dedicated import DedicatedSession

PUBLISHED: Final = frozenset(
    f"{table}{suffix}"
    for table in (
        "entities", "entity_hot_attributes", "entity_attributes", "attribute_keys", "asset_types", "ingest_batches"
    )
    for suffix in ("", "_beat")
)  # fmt: skip
REMEMBER_EVERY: Final = timedelta(seconds=1)


def broken(look: ChangeStreamLook, known: KnownStream | None) -> str:
    """Return why changes may be missing from what comes out of the slot, or an empty text.

    A slot that was never seen is not broken: nothing was ever proven by it.
    """
    if known is not None and known.broken:
        return known.broken
    if not look.present:
        return "" if known is None else "its replication slot is gone"
    return _slot_problem(look) or _anew(look, known) or _publication_problem(look)


def _slot_problem(look: ChangeStreamLook) -> str:
    if look.wal_level != "logical":
        return f"wal_level is {look.wal_level}, not logical"
    if look.plugin != "pgoutput" or not look.of_this_database:
        return f"its replication slot is another: plugin {look.plugin or 'none'}"
    if look.wal_status == "lost" or look.invalidation:
        return f"its replication slot is lost: {look.invalidation or look.wal_status}"
    return ""


def _anew(look: ChangeStreamLook, known: KnownStream | None) -> str:
    """Tell a slot that was made again. Its statistics end with a crash of the server, and then nothing tells."""
    if known is None:
        return ""
    same = (known.server_started, known.statistics_reset) == (look.server_started, look.statistics_reset)
    if same and look.transactions < known.transactions:
        return (
            f"its replication slot was made anew: {look.transactions} transactions decoded, {known.transactions} before"
        )
    if same and look.confirmed < known.confirmed:
        return f"its replication slot was made anew: confirmed to {look.confirmed}, to {known.confirmed} before"
    return ""


def _publication_problem(look: ChangeStreamLook) -> str:
    if not look.publication_as_made:
        return "its publication is gone or publishes other kinds of changes than it was made with"
    if not look.whole_rows:
        return "a table that is updated lacks REPLICA IDENTITY FULL: values that did not change may not be sent"
    if missing := sorted(PUBLISHED - look.published):
        return f"its publication lacks {', '.join(missing)}"
    return ""


class ChangeStream:
    """Looks at the slot and the publication, and keeps in PostgreSQL what it saw, for itself and other monitors."""

    def __init__(self, slot: str, publication: str, clock: Clock) -> None:
        self._slot = slot
        self._publication = publication
        self._clock = clock
        self._remembered: BootInstant | None = None
        self.confirmed: Lsn | None = None  # by the slot at the last look; None: there was none
        self.held_back: int | None = None  # transactions that the slots kept from vacuum at the last look

    async def look(self, session: DedicatedSession, limit: timedelta) -> tuple[int, str]:
        """Return the generation (0: there never was a slot) and what is wrong with it, or an empty text."""
        known = await known_change_stream(session, self._slot, limit)
        look = await look_at_change_stream(session, self._slot, self._publication, limit)
        self.confirmed = look.confirmed if look.present else None
        self.held_back = look.held_back
        problem = broken(look, known)
        generation = known.generation if known is not None else int(look.present)
        if known is None and not look.present:
            return 0, ""
        if problem and (known is None or not known.broken):
            await self._remember(session, look, generation, problem, limit)
        elif not problem and self._due(known):
            await self._remember(session, look, generation, "", limit)
        return generation, problem and f"{problem}; see the runbook of the lag monitor"

    def _due(self, known: KnownStream | None) -> bool:
        return (
            known is None or self._remembered is None or self._remembered.age_at(self._clock.boot()) >= REMEMBER_EVERY
        )

    async def _remember(
        self, session: DedicatedSession, look: ChangeStreamLook, generation: int, problem: str, limit: timedelta
    ) -> None:
        seen = KnownStream(
            generation, look.server_started, look.statistics_reset, look.transactions, look.confirmed, problem
        )
        await remember_change_stream(session, self._slot, seen, limit)
        self._remembered = self._clock.boot()
