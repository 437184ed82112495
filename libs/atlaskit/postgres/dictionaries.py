"""Numbers for texts that many rows share: attribute keys, asset types, source types."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from atlaskit.batch import WriteBatch, used
from atlaskit.model import DICTIONARY_SHARD, RowVersion
from atlaskit.postgres.ledger import Ledger
from atlaskit.postgres.remembered import Remembered
from atlaskit.postgres.transaction import Transaction
from atlaskit.postgres.writer import Writer


class Dictionary(StrEnum):
    """A dictionary; the text is the name of its table."""

    ATTRIBUTE_KEYS = "attribute_keys"
    ASSET_TYPES = "asset_types"
    SOURCE_TYPES = "source_types"


class Name(NamedTuple):
    """One text in one dictionary. `tenant_id` is 0 in the dictionary that all tenants share."""

    dictionary: Dictionary
    tenant_id: int
    text: str


def names_of(batches: Iterable[WriteBatch]) -> list[Name]:
    """Return each name that a stored item uses, once, in order."""
    return sorted({name for batch in batches for name in _names(batch)})


def _names(batch: WriteBatch) -> Iterator[Name]:
    rows, tenant = batch.stored(), batch.tenant.tenant_id
    for index in used(batch.attribute_indexes[rows]):
        if batch.attribute_keys[index]:
            yield Name(Dictionary.ATTRIBUTE_KEYS, tenant, batch.attribute_keys[index])
    for index in used(batch.asset_type_indexes[rows]):
        if index:
            yield Name(Dictionary.ASSET_TYPES, tenant, batch.asset_types[index - 1])
    for index in used(batch.source_type_indexes[rows]):
        if index:
            yield Name(Dictionary.SOURCE_TYPES, 0, batch.source_types[index - 1])


class Dictionaries:
    """Resolves names to ids, adding what is new. Remembers up to `limit` names, the least recently used go first.

    Only what is committed is remembered. Shared by the writers of a process.
    """

    def __init__(self, limit: int = 200_000) -> None:
        self._ids: Remembered[Name, int] = Remembered(limit)
        self._counts: Remembered[int, tuple[int, int]] = Remembered(limit)  # tenant -> greatest id counted, count

    def at(self, epoch: int) -> Mapping[Name, int]:
        """Return the names that are remembered, with their ids."""
        return self._ids.at(epoch)

    async def resolve(
        self, writer: Writer, names: Collection[Name], mentioned: Collection[Name], limit: timedelta
    ) -> Mapping[Name, int]:
        """Return the ids of the names, and of those mentioned that exist. A key beyond its tenant's quota has none.

        New names are committed in a transaction of their own, with its ledger row, before this returns.
        """
        wanted, known = {*names, *mentioned}, self._ids.at(writer.epoch)
        ids = {name: known[name] for name in wanted if name in known}
        if len(ids) < len(wanted):
            ids |= await _find(writer, sorted(name for name in wanted if name not in ids))
        if new := [name for name in names if name not in ids]:
            ids |= await self._add(writer, new, limit)
        self._ids.put(writer.epoch, ids)
        return ids

    async def _add(self, writer: Writer, names: Sequence[Name], limit: timedelta) -> dict[Name, int]:
        number = await writer.reserve()
        counted, counts = self._counts.at(writer.epoch), dict[int, tuple[int, int]]()

        async def work(opened: Transaction) -> dict[Name, int]:
            return await _Addition(writer, number, opened.ledger, counted, counts).run(names)

        added = await writer.transact(number, work, limit)
        self._counts.put(writer.epoch, counts)
        return added


async def _find(writer: Writer, names: Sequence[Name]) -> dict[Name, int]:
    found: dict[Name, int] = {}
    for (dictionary, tenant_id), texts in _grouped(names).items():
        owner = () if dictionary is Dictionary.SOURCE_TYPES else (tenant_id,)
        for row in await writer.fetch(f"find_{dictionary}", *owner, texts):
            found[Name(dictionary, tenant_id, row["text"])] = row["id"]
    return found


def _grouped(names: Iterable[Name]) -> dict[tuple[Dictionary, int], list[str]]:
    texts: defaultdict[tuple[Dictionary, int], list[str]] = defaultdict(list)
    for name in names:
        texts[name.dictionary, name.tenant_id].append(name.text)
    return dict(texts)


class _Addition:
    """The work of one transaction that adds names."""

    def __init__(
        self,
        writer: Writer,
        number: int,
        ledger: Ledger,
        known: Mapping[int, tuple[int, int]],
        counts: dict[int, tuple[int, int]],
    ) -> None:
        self._writer, self._number, self._ledger = writer, number, ledger
        self._known, self._counts = known, counts
        self._rows = 0

    async def run(self, names: Sequence[Name]) -> dict[Name, int]:
        for tenant_id in sorted({name.tenant_id for name in names} - {0}):
            await self._writer.fetch("lock_dictionary", tenant_id)
        # Another writer may have added some before the locks were had.
        found = await _find(self._writer, names)
        for (dictionary, tenant_id), texts in _grouped(name for name in names if name not in found).items():
            found |= await self._insert(dictionary, tenant_id, texts)
        return found

    async def _insert(self, dictionary: Dictionary, tenant_id: int, texts: list[str]) -> dict[Name, int]:
        if dictionary is Dictionary.SOURCE_TYPES:
            await self._writer.fetch("insert_source_types", texts)
            return await _find(self._writer, [Name(dictionary, 0, text) for text in texts])
        if dictionary is Dictionary.ATTRIBUTE_KEYS:
            texts = texts[: await self._room(tenant_id)]
        versions = [RowVersion(self._writer.epoch, self._number, self._rows + n).packed() for n in range(len(texts))]
        self._rows += len(texts)
        rows = await self._writer.fetch(f"insert_{dictionary}", tenant_id, texts, versions)
        shards = np.full(len(rows), DICTIONARY_SHARD, np.int64)
        self._ledger.add(dictionary, shards, np.array([row["row_version"] for row in rows], np.int64))
        return {Name(dictionary, tenant_id, row["text"]): row["id"] for row in rows}

    async def _room(self, tenant_id: int) -> int:
        last_id, count = self._known.get(tenant_id, (0, 0))
        counted = (await self._writer.fetch("count_attribute_keys", tenant_id, last_id))[0]
        quota = (await self._writer.fetch("key_quota", tenant_id))[0]["key_quota"]
        # What this transaction adds is counted by the next one: it may yet be rolled back.
        self._counts[tenant_id] = (counted["last_id"], count + counted["added"])
        return max(int(quota - count - counted["added"]), 0)
