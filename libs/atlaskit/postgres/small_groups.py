"""Small groups of writes whose entities, keys and types are known: the whole transaction is one round trip.

The ordinary way takes eight, and is there for all that this one does not do: it does that, or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np

from atlaskit.batch import EPOCH, Answer, ItemState, WriteBatch, Written
from atlaskit.model import RowVersion, ValueType, shard_of
from atlaskit.position import Lsn, Token
from atlaskit.postgres.dictionaries import Dictionaries, Dictionary, Name
from atlaskit.postgres.hot_catalogue import HotCatalogue
from atlaskit.postgres.key_types import KeyType, KeyTypes
from atlaskit.postgres.known_entities import KnownEntities
from atlaskit.postgres.slots import slot_of
from atlaskit.postgres.transaction import traces_of
from atlaskit.postgres.writer import Writer


class Shared(NamedTuple):
    """What the writers of a process know of what is committed."""

    dictionaries: Dictionaries
    key_types: KeyTypes
    entities: KnownEntities
    hot: HotCatalogue


class Row(NamedTuple):
    """A row of the history as `commit_small_group` takes it, in its order; 0 is no asset type and no source type."""

    tenant_id: int
    entity_id: int
    attribute_id: int
    shard: int
    kind: int
    time_us: int
    version: int  # with a transaction number of 0
    asset_type_id: int
    source_type_id: int
    value: Any


class SmallGroup(NamedTuple):
    """Batches that can be committed at once: their rows, and the numbers of slots that these rely on."""

    batches: Sequence[WriteBatch]
    rows: Sequence[Row]
    numbers: Mapping[int, int]


async def commit_at_once(writer: Writer, small: SmallGroup, limit: timedelta) -> list[Written] | None:
    """Commit the group in one round trip and return the answers, or None if nothing was done.

    The number of the transaction is taken in it. Raises what `Writer.at_once` raises."""
    answers = [Answer.of(batch, EPOCH) for batch in small.batches]
    row = await writer.at_once("commit_small_group", limit, *_arguments(small, answers))
    if row["outcome"] != "committed":
        return None
    token = Token(writer.epoch, Lsn(row["flushed"]))
    return [_written(replace(answer, commit_time=row["committed_at"]), token) for answer in answers]


def _written(answer: Answer, token: Token) -> Written:
    return Written(answer, token if answer.count(ItemState.STORED) else None, repeated=False)


def small_group_of(epoch: int, shared: Shared, batches: Sequence[WriteBatch]) -> SmallGroup | None:
    """Return the batches as a group to commit at once, or None: not all is known, or more than history is concerned.

    Items are touched one by one: for a few that costs a fifth of what arrays do."""
    requests = {(batch.tenant.tenant_id, batch.request_id) for batch in batches}
    if len(requests) < len(batches) or any(batch.deletes for batch in batches):
        return None
    rows: list[Row] = []
    numbers: dict[int, int] = {}
    first = RowVersion(epoch, 0, 0).packed()
    for batch in batches:
        try:
            found = list(_Reader(epoch, shared, batch).rows(first))
        except KeyError:
            return None
        if found:
            slot = slot_of(batch.tenant.tenant_id)
            numbers[slot] = shared.entities.number_of(slot)
        rows += found
        first += len(batch.states)
    return SmallGroup(batches, rows, numbers) if rows else None


class _Reader:
    """Reads the rows of one batch; raises KeyError for what is not known."""

    def __init__(self, epoch: int, shared: Shared, batch: WriteBatch) -> None:
        self._batch = batch
        self._ids = shared.dictionaries.at(epoch)
        self._types = shared.key_types.at(epoch)
        self._entities = shared.entities.of(epoch, batch.tenant.tenant_id)
        self._promoted = shared.hot.of(epoch, batch.tenant.tenant_id)
        self._values = {
            kind: column.tolist() if isinstance(column, np.ndarray) else column for kind, column in batch.values.items()
        }

    def rows(self, first: int) -> Iterator[Row]:
        batch, tenant = self._batch, self._batch.tenant
        if self._promoted is None:
            raise KeyError(tenant.tenant_id)
        entities, attributes, times = (
            column.tolist() for column in (batch.entity_indexes, batch.attribute_indexes, batch.event_times_us)
        )
        assets, sources = batch.asset_type_indexes.tolist(), batch.source_type_indexes.tolist()
        kinds, places = batch.value_types.tolist(), batch.value_places.tolist()
        for item in batch.stored().tolist():
            entity_id, asset_type_id = self._entity(entities[item])
            attribute_id = self._ids[
                Name(Dictionary.ATTRIBUTE_KEYS, tenant.tenant_id, batch.attribute_keys[attributes[item]])
            ]
            if attribute_id in self._promoted.attributes:
                raise KeyError(attribute_id)
            self._types[KeyType(tenant.tenant_id, attribute_id, kinds[item])]
            self._check_asset_type(assets[item], asset_type_id)
            yield Row(
                tenant.tenant_id,
                entity_id,
                attribute_id,
                shard_of(tenant.tenant_id, tenant.spread, entity_id),
                kinds[item],
                times[item],
                first + item,
                asset_type_id,
                self._source_type(sources[item]),
                self._values[kinds[item]][places[item]],
            )

    def _entity(self, place: int) -> tuple[int, int]:
        entity_id = int(self._batch.entity_ids[place])
        known = self._entities[entity_id]
        if known.key != self._batch.entity_keys[place]:
            raise KeyError(entity_id)
        return entity_id, known.asset_type_id

    def _check_asset_type(self, index: int, stored: int) -> None:
        if not index:
            return
        name = Name(Dictionary.ASSET_TYPES, self._batch.tenant.tenant_id, self._batch.asset_types[index - 1])
        if self._ids[name] != stored:
            raise KeyError(name)

    def _source_type(self, index: int) -> int:
        return self._ids[Name(Dictionary.SOURCE_TYPES, 0, self._batch.source_types[index - 1])] if index else 0


def _arguments(small: SmallGroup, answers: Sequence[Answer]) -> list[Any]:
    """Return what `commit_small_group` takes from the traces on, in its order."""
    batches, rows, numbers = small
    *columns, values = zip(*rows, strict=True)
    kinds = columns[4]
    return [
        json.dumps(traces_of(batches)),
        list(numbers),
        list(numbers.values()),
        [batch.tenant.tenant_id for batch in batches],
        [batch.request_id for batch in batches],
        [batch.digest for batch in batches],
        [answer.head() for answer in answers],
        *columns,
        *(_values(kind, kinds, values) for kind in ValueType),
    ]


def _values(kind: ValueType, kinds: Sequence[int], values: Sequence[Any]) -> list[Any] | None:
    # Null where a row has a value of another type; no column at all if none is of this one.
    if kind not in kinds:
        return None
    # PostgreSQL has no unsigned type: such a number travels as text and becomes a numeric.
    convert = str if kind is ValueType.UINT64 else None
    return [
        (convert(value) if convert else value) if one == kind else None
        for one, value in zip(kinds, values, strict=True)
    ]
