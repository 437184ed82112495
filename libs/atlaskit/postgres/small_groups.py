"""Small groups of writes whose entities, keys and types are known: the whole transaction is one round trip.

The ordinary way takes eight, and is there for all that this one does not do: it does that, or nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

from atlaskit.batch import EPOCH, Answer, Column, ItemState, WriteBatch, Written
from atlaskit.model import ValueType
from atlaskit.position import Lsn, Token
from atlaskit.postgres.dictionaries import Dictionaries, Name, names_of
from atlaskit.postgres.history import Rows, rows_of
from atlaskit.postgres.key_types import KeyTypes
from atlaskit.postgres.known_entities import KnownEntities
from atlaskit.postgres.numbering import numbered_of, with_asset_types
from atlaskit.postgres.transaction import traces_of
from atlaskit.postgres.writer import Writer


class Shared(NamedTuple):
    """What the writers of a process know of what is committed."""

    dictionaries: Dictionaries
    key_types: KeyTypes
    entities: KnownEntities


class SmallGroup(NamedTuple):
    """Batches that can be committed at once: their rows, and the numbers of slots that these rely on."""

    batches: Sequence[WriteBatch]
    rows: Rows
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
    """Return the batches as a group to commit at once, or None: something is not known, or is more than rows."""
    requests = {(batch.tenant.tenant_id, batch.request_id) for batch in batches}
    if len(requests) < len(batches) or any(batch.deletes for batch in batches):
        return None
    ids: Mapping[Name, int] | None = shared.dictionaries.known(epoch, names_of(batches))
    if ids is None:
        return None
    numbered = numbered_of(epoch, 0, batches, ids)
    relied = shared.entities.rely(epoch, numbered)
    known = [types for types in relied.asset_types if types is not None]
    if len(known) < len(batches):
        return None
    rows = rows_of([with_asset_types(one, types) for one, types in zip(numbered, known, strict=True)])
    if not len(rows) or shared.key_types.unknown(epoch, rows):
        return None
    return SmallGroup(batches, rows, relied.numbers)


def _arguments(small: SmallGroup, answers: Sequence[Answer]) -> list[Any]:
    """Return what `commit_small_group` takes from the traces on, in its order."""
    batches, rows, numbers = small
    items = (
        rows.tenant_ids,
        rows.entity_ids,
        rows.attribute_ids,
        rows.shards,
        rows.value_types,
        rows.event_times_us,
        rows.versions,
        rows.asset_type_ids,
        rows.source_type_ids,
    )
    return [
        json.dumps(traces_of(batches)),
        list(numbers),
        list(numbers.values()),
        [batch.tenant.tenant_id for batch in batches],
        [batch.request_id for batch in batches],
        [batch.digest for batch in batches],
        [answer.head() for answer in answers],
        *(column.tolist() for column in items),
        *_values(rows),
    ]


def _values(rows: Rows) -> list[list[Any] | None]:
    # A column for each type in the order of their numbers, null where a row has another; None if no row is of the type.
    kinds, places = rows.value_types.tolist(), rows.places.tolist()
    columns: dict[int, list[Any]] = {}
    for row, (kind, place) in enumerate(zip(kinds, places, strict=True)):
        column = columns.setdefault(kind, [None] * len(kinds))
        column[row] = _scalar(ValueType(kind), rows.values[ValueType(kind)], place)
    return [columns.get(kind) for kind in ValueType]


def _scalar(kind: ValueType, column: Column, place: int) -> Any:
    value: Any = column[place]
    if kind is ValueType.UINT64:
        return str(value)  # PostgreSQL has no unsigned type; it becomes a numeric
    return value if isinstance(value, str | bytes) else value.item()
