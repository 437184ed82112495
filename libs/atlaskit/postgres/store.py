"""The way of checked batches into PostgreSQL: many requests in one transaction, each with its stored answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import NamedTuple, TypeAlias

import numpy as np

from atlaskit.batch import Answer, Integers, ItemState, Part, WriteBatch, Written, used
from atlaskit.errors import AtlasError, RequestIdReused
from atlaskit.model import MAX_ROWS_PER_TRANSACTION, Deletion
from atlaskit.position import Token
from atlaskit.postgres import entities, history
from atlaskit.postgres.dictionaries import Dictionaries, Dictionary, Name, names_of
from atlaskit.postgres.entities import Identity, Known
from atlaskit.postgres.errors import Conflict
from atlaskit.postgres.frames import frame_of
from atlaskit.postgres.history import Numbered
from atlaskit.postgres.hot_catalogue import HotCatalogue
from atlaskit.postgres.hot_ingest import Retyped, retyped_of, write_hot
from atlaskit.postgres.hot_values import TenantMappings, Typed
from atlaskit.postgres.key_types import KeyType, KeyTypes
from atlaskit.postgres.known_entities import KnownEntities, Reliance
from atlaskit.postgres.numbering import numbered_of, with_asset_types
from atlaskit.postgres.small_groups import Shared, commit_at_once, small_group_of
from atlaskit.postgres.transaction import AloneNeeded, RequestKey, Touched, Transaction, traces_of
from atlaskit.postgres.writer import Writer, open_writer

ATTEMPTS = 5
Outcome: TypeAlias = Written | AtlasError
AtOnce: TypeAlias = Callable[[timedelta], Awaitable[Sequence[Outcome] | None]]


class Stored(NamedTuple):
    """A request that is committed."""

    digest: bytes
    answer: Answer


class _Met(NamedTuple):
    """What a transaction may be remembered for once it is committed: types of keys, and entities."""

    types: Sequence[KeyType] = ()
    entities: Mapping[Identity, Known] = {}


class _Settled(NamedTuple):
    """Batches with the types of their entities, the entities looked up, and those of another type than before."""

    batches: Sequence[Typed]
    met: Mapping[Identity, Known]
    retyped: Mapping[Identity, Retyped]


class _Done(NamedTuple):
    """What a transaction found stored, what it stored, what it met, and the numbers of slots as it opened."""

    found: Mapping[RequestKey, Stored]
    answers: Mapping[RequestKey, Stored]
    met: _Met
    numbers: Mapping[int, int]


class StoreWriter:
    """Commits groups of batches on one connection, one group at a time."""

    def __init__(self, writer: Writer, shared: Shared) -> None:
        self._writer = writer
        self._shared = shared
        self._dictionaries, self._key_types, self._known, self._hot = shared

    @property
    def usable(self) -> bool:
        """Return False once this writer must be replaced."""
        return self._writer.usable

    async def reserve(self) -> int:
        """Return the number of the next transaction, once all that goes into it has arrived."""
        return await self._writer.reserve()

    def at_once(self, batches: Sequence[WriteBatch]) -> AtOnce | None:
        """Return what commits these batches in one round trip, or None if only `commit` can.

        It takes its number meanwhile. It too returns None if it did nothing, and `commit` has to."""
        small = small_group_of(self._writer.epoch, self._shared, batches)

        async def commit(limit: timedelta) -> Sequence[Outcome] | None:
            assert small is not None
            try:
                return await commit_at_once(self._writer, small, limit)
            except Conflict:
                return None

        return None if small is None else commit

    async def commit(self, number: int, batches: Sequence[WriteBatch], limit: timedelta) -> Sequence[Outcome]:
        """Commit the batches in transaction `number`, and return what became of each, in order.

        All new ones are committed, or none and this raises. A request that was committed before gets its first answer,
        or RequestIdReused. Deadlocks and lost races are repeated up to `ATTEMPTS` times."""
        assert sum(len(batch.states) for batch in batches) <= MAX_ROWS_PER_TRANSACTION
        alone: frozenset[int] = frozenset()
        for attempt in range(ATTEMPTS):
            try:
                return await self._attempt(number, batches, limit, rely=attempt == 0, alone=alone)
            except Conflict as conflict:
                if attempt == ATTEMPTS - 1 or not self.usable:
                    raise
                alone |= conflict.tenants if isinstance(conflict, AloneNeeded) else frozenset()
        raise AssertionError

    async def _attempt(
        self, number: int, batches: Sequence[WriteBatch], limit: timedelta, *, rely: bool, alone: frozenset[int]
    ) -> Sequence[Outcome]:
        asked: dict[RequestKey, WriteBatch] = {}
        for batch in batches:
            asked.setdefault(_key(batch), batch)  # the first delivery of a request counts
        writes = names_of(batch for batch in asked.values() if not batch.deletes)
        deletes = names_of(batch for batch in asked.values() if batch.deletes)
        ids = await self._dictionaries.resolve(self._writer, writes, deletes, limit)

        async def work(opened: Transaction) -> _Done:
            fresh = [batch.copied() for key, batch in asked.items() if key not in opened.found]
            for batch in fresh:
                refuse_unnamed(batch, ids)
            numbered = numbered_of(self._writer.epoch, number, fresh, ids)
            met = await self._write_rows(opened, numbered, touched.erases, rely=rely)
            answers = {_key(batch): Stored(batch.digest, Answer.of(batch, opened.began)) for batch in fresh}
            opened.answers = {key: (stored.digest, stored.answer.encode()) for key, stored in answers.items()}
            found = {key: Stored(digest, Answer.decode(result)) for key, (digest, result) in opened.found.items()}
            return _Done(found, answers, met, opened.numbers)

        erases = {tenant: erased or tenant in alone for tenant, erased in erased_tenants(batches).items()}
        touched = Touched(erases, list(asked))
        done = await self._writer.transact(number, work, limit, traces_of(batches), touched)
        self._key_types.remember(self._writer.epoch, done.met.types)
        self._known.put(self._writer.epoch, done.numbers, done.met.entities)
        token = await self._writer.flushed()
        return _outcomes(batches, done, token)

    async def _write_rows(
        self, opened: Transaction, numbered: Sequence[Numbered], erases: Mapping[int, bool], *, rely: bool
    ) -> _Met:
        tenants = {one.batch.tenant.tenant_id for one in numbered}
        catalogue = await self._hot.at(self._writer, opened, tenants)
        alone = {tenant for tenant, alone in erases.items() if alone}
        settled = await self._settle(opened, numbered, catalogue, alone, rely=rely)
        rows = history.rows_of([one.numbered for one in settled.batches]) if settled.batches else None
        if rows is None or not len(rows):
            return _Met(entities=settled.met)
        frame = frame_of(rows)
        await self._writer.copy_history(frame.columns, frame.octets)
        opened.ledger.add(history.TABLE, rows.shards, rows.versions)
        if catalogue:
            await write_hot(self._writer, opened, settled.batches, catalogue, settled.retyped)
        return _Met(await self._key_types.note(self._writer, rows), settled.met)

    async def _settle(
        self,
        opened: Transaction,
        numbered: Sequence[Numbered],
        catalogue: Mapping[int, TenantMappings],
        alone: Collection[int],
        *,
        rely: bool,
    ) -> _Settled:
        epoch = self._writer.epoch
        self._known.look(epoch, opened.numbers)
        relied = self._known.rely(epoch, numbered) if rely else Reliance.none(numbered)
        opened.relied = relied.numbers
        unknown = [one for one, types in zip(numbered, relied.asset_types, strict=True) if types is None]
        met: Mapping[Identity, Known] = {}
        retyped: Mapping[Identity, Retyped] = {}
        if wishes := entities.wishes_of(unknown):
            found = await entities.find(self._writer, wishes)
            changed = entities.changes(wishes, found)
            met = await entities.write(self._writer, opened.ledger, found, changed)
            if catalogue:
                retyped = await retyped_of(
                    self._writer, changed, found=found, met=met, catalogue=catalogue, alone=alone
                )
        for one in unknown:
            entities.refuse_strangers(one.batch, met)
        typed = [
            _typed(one, entities.stored_asset_types(one, met) if types is None else types)
            for one, types in zip(numbered, relied.asset_types, strict=True)
        ]
        return _Settled(typed, met, retyped)


def _typed(one: Numbered, stored: Integers) -> Typed:
    return Typed(with_asset_types(one, stored), stored)


def erased_tenants(batches: Sequence[WriteBatch]) -> dict[int, bool]:
    """Return the tenants of the batches, and for each whether a whole entity of it is deleted."""
    erases: dict[int, bool] = {}
    for batch in batches:
        erases[batch.tenant.tenant_id] = erases.get(batch.tenant.tenant_id, False) or bool(
            batch.deletes and (batch.deletions == Deletion.ENTITY).any()
        )
    return erases


def refuse_unnamed(batch: WriteBatch, ids: Mapping[Name, int]) -> None:
    """Refuse the items whose attribute key has no id: a write beyond the tenant's quota, a delete of what never was."""
    tenant = batch.tenant
    for index in used(batch.attribute_indexes[batch.stored()]):
        key = batch.attribute_keys[index]
        # Without a key the item deletes its entity.
        if not key or Name(Dictionary.ATTRIBUTE_KEYS, tenant.tenant_id, key) in ids:
            continue
        items = np.flatnonzero((batch.attribute_indexes == index) & (batch.states != ItemState.REFUSED))
        if batch.deletes:
            reason, message = "ATTRIBUTE_UNKNOWN", f"the tenant has no key {key!r}, so there is nothing to hide"
        else:
            reason = "KEY_QUOTA_EXCEEDED"
            message = f"the key {key!r} would be one more than the tenant's quota of attribute keys"
        batch.refuse(items, reason, Part.ATTRIBUTE_KEY, np.full(len(items), index), message)


def _key(batch: WriteBatch) -> RequestKey:
    return batch.tenant.tenant_id, batch.request_id


def _outcomes(batches: Sequence[WriteBatch], done: _Done, token: Token) -> list[Outcome]:
    known, outcomes = set(done.found), list[Outcome]()
    for batch in batches:
        key = _key(batch)
        stored = done.found[key] if key in done.found else done.answers[key]
        outcomes.append(_outcome(batch, stored, token, repeated=key in known))
        known.add(key)
    return outcomes


def _outcome(batch: WriteBatch, stored: Stored, token: Token, *, repeated: bool) -> Outcome:
    if stored.digest != batch.digest:
        return RequestIdReused(f"request_id {batch.request_id} was used before with other content; use a new one")
    return Written(stored.answer, token if stored.answer.count(ItemState.STORED) else None, repeated)


class PostgresStore:
    """Opens writers on one primary that share what they know of its dictionaries."""

    def __init__(
        self, dsn: str, *, quorum: bool = False, staged: bool = False, names: int = 200_000, known: int = 200_000
    ) -> None:
        self._dsn = dsn
        self._quorum = quorum
        self._staged = staged
        self._shared = Shared(Dictionaries(names), KeyTypes(names), KnownEntities(known), HotCatalogue())

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[StoreWriter]:
        """Yield a writer on a connection of its own. Raises what `open_writer` raises."""
        async with open_writer(self._dsn, quorum=self._quorum, staged=self._staged) as writer:
            yield StoreWriter(writer, self._shared)
