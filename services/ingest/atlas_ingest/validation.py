"""Every reason to refuse a batch or an item. Items are refused one by one; good ones of the same batch are stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple, cast
from uuid import UUID

import numpy as np
from atlaskit.batch import EPOCH, Form, Integers, ItemState, Part, WriteBatch, places_of
from atlaskit.errors import InvalidRequest
from atlaskit.model import MAX_ENTITY_ID, Deletion, EntityIdentity, Tenant, ValueType, entity_id_of

from atlas_ingest.acks import AckLevel
from atlas_ingest.draft import MAX_ITEMS, Draft, Flaw
from atlas_ingest.wire import was_not_utf8

MAX_DELETES = 10_000
MAX_ENCODED_BYTES = 8 * 1024 * 1024
MAX_DECODED_BYTES = 64 * 1024 * 1024
MAX_KEY_BYTES = 512
MAX_ASSET_TYPE_BYTES = 128
MAX_SOURCE_TYPE_BYTES = 64
MAX_VALUE_BYTES = 65_536
AHEAD = timedelta(days=1)
FIRST_TYPE, LAST_TYPE = int(min(ValueType)), int(max(ValueType))
ITEM_BYTES = 32  # what an item takes beside its texts and octets
# A keyed hash costs ten times what it costs to remember it.
_entity_id = lru_cache(maxsize=65_536)(entity_id_of)
_UUID = re.compile(r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.IGNORECASE)


class Request(NamedTuple):
    """What a request says beside its items. `digest` is that of the items and the tenant."""

    tenant: Tenant
    request_id: UUID
    digest: bytes
    encoded_bytes: int
    traceparent: str


def check_tenant_id(tenant_id: int) -> None:
    """Raise InvalidRequest for an id that no tenant can have."""
    if tenant_id < 1:
        raise InvalidRequest("tenant_id", "must be 1 to 2147483647", "TENANT_ID_OUT_OF_RANGE")


def check_request_id(text: str) -> UUID:
    """Return the request's id. Raises InvalidRequest if it is not a UUID in its 36-character form."""
    if was_not_utf8(text):
        raise InvalidRequest("request_id", "is not UTF-8", "TEXT_NOT_UTF8")
    if _UUID.match(text):
        return UUID(text)
    raise InvalidRequest("request_id", "must be a UUID in its 36-character text form", "REQUEST_ID_MALFORMED")


def check_ack_level(level: int) -> AckLevel:
    """Return the level; unset is COMMITTED. Raises InvalidRequest for a number without a meaning."""
    try:
        return max(AckLevel(level), AckLevel.COMMITTED)
    except ValueError:
        text = f"{level} has no meaning; use one of {[known.value for known in AckLevel]}"
        raise InvalidRequest("ack_level", text, "ACK_LEVEL_UNKNOWN") from None


def check_count(field: str, count: int, encoded_bytes: int, most: int = MAX_ITEMS) -> None:
    """Raise InvalidRequest for a batch without items, or with too many, or too large as encoded."""
    if count == 0:
        raise InvalidRequest(field, f"has no items; send 1 to {most}", "BATCH_EMPTY")
    if count > most:
        raise InvalidRequest(field, f"has {count} items; send at most {most}", "BATCH_TOO_LARGE")
    if encoded_bytes > MAX_ENCODED_BYTES:
        message = f"takes {encoded_bytes} bytes encoded; send at most {MAX_ENCODED_BYTES}"
        raise InvalidRequest(field, message, "BATCH_TOO_LARGE")


def checked(draft: Draft, request: Request, now: datetime) -> WriteBatch:
    """Return the batch with every wrong item refused and every repeated identity superseded by its last item.

    Raises InvalidRequest for columns that do not fit each other, and for a batch of more than 64 MiB decoded."""
    if draft.form is Form.COLUMNS:
        _check_columns(draft)
    size = _decoded_bytes(draft)
    if size > MAX_DECODED_BYTES:
        message = f"takes {size} bytes decoded; send at most {MAX_DECODED_BYTES}"
        raise InvalidRequest(draft.form.value, message, "BATCH_TOO_LARGE")
    batch = _batch(draft, request, size)
    for item, (part, flaw) in draft.flaws.items():
        batch.refuse(np.array([item]), flaw.reason, part, np.array([item]), flaw.message)
    _refuse_texts(batch, draft)
    if not batch.deletes:
        _refuse_values(batch, draft)
    _refuse_times(batch, now)
    supersede(batch)
    return batch


def _batch(draft: Draft, request: Request, size: int) -> WriteBatch:
    keyed = request.tenant.identity is EntityIdentity.KEYED
    hash_key = request.tenant.entity_hash_key
    ids = [_entity_id(hash_key, str(key)) for key in draft.entities] if keyed else draft.entities
    return WriteBatch(
        tenant=request.tenant,
        request_id=request.request_id,
        digest=request.digest,
        form=draft.form,
        entity_keys=[str(key) for key in draft.entities] if keyed else [""] * len(draft.entities),
        entity_ids=np.array(ids, np.int64),
        attribute_keys=draft.attribute_keys,
        asset_types=draft.asset_types,
        source_types=draft.source_types,
        entity_indexes=draft.entity_indexes,
        attribute_indexes=draft.attribute_indexes,
        asset_type_indexes=draft.asset_type_indexes,
        source_type_indexes=draft.source_type_indexes,
        event_times_us=draft.event_times_us,
        value_types=draft.value_types.astype(np.int8),
        values=draft.values,
        value_places=places_of(draft.value_types, draft.values),
        deletions=np.zeros(len(draft.value_types), np.int8) if draft.deletions is None else draft.deletions,
        states=np.full(len(draft.value_types), ItemState.STORED, np.int8),
        refusals=[],
        size_bytes=size,
        traceparent=request.traceparent,
    )


def _check_columns(draft: Draft) -> None:
    count = len(draft.value_types)
    for name, column in (
        ("entity_indexes", draft.entity_indexes),
        ("attribute_indexes", draft.attribute_indexes),
        ("event_times_us", draft.event_times_us),
        ("source_type_indexes", draft.source_type_indexes),
    ):
        if len(column) != count:
            _mismatch(name, len(column), f"value_types has {count}")
    if draft.asset_types and len(draft.asset_types) != len(draft.entities):
        _mismatch("asset_types", len(draft.asset_types), f"the dictionary of entities has {len(draft.entities)}")
    # Types without a meaning are refused by item, later.
    known = draft.value_types[(draft.value_types >= FIRST_TYPE) & (draft.value_types <= LAST_TYPE)]
    counts = np.bincount(known, minlength=LAST_TYPE + 1).tolist()
    for kind in ValueType:
        given, expected = len(draft.values.get(kind, ())), counts[kind]
        if given != expected:
            _mismatch(f"{kind.name.lower()}_values", given, f"value_types says {expected}")
    _check_range("entity_indexes", draft.entity_indexes, len(draft.entities) - 1)
    _check_range("attribute_indexes", draft.attribute_indexes, len(draft.attribute_keys) - 1)
    _check_range("source_type_indexes", draft.source_type_indexes, len(draft.source_types))
    _check_distinct(
        "entity_keys" if draft.entities and isinstance(draft.entities[0], str) else "entity_ids", draft.entities
    )
    _check_distinct("attribute_keys", draft.attribute_keys)


def _mismatch(column: str, length: int, against: str) -> None:
    raise InvalidRequest(f"columns.{column}", f"has {length} elements, but {against}", "COLUMN_LENGTH_MISMATCH")


def _check_range(column: str, indexes: Integers, greatest: int) -> None:
    if len(indexes) and (indexes.min() < 0 or indexes.max() > greatest):
        item = int(np.flatnonzero((indexes < 0) | (indexes > greatest))[0])
        message = f"is {indexes[item]}; an index here is 0 to {greatest}"
        raise InvalidRequest(f"columns.{column}[{item}]", message, "INDEX_OUT_OF_RANGE")


def _check_distinct(column: str, dictionary: Sequence[str] | Sequence[int]) -> None:
    if len(set(dictionary)) == len(dictionary):
        return
    seen: set[object] = set()
    for place, entry in enumerate(dictionary):
        if entry in seen:
            message = "stands in the dictionary twice; name each entry once and point to it"
            raise InvalidRequest(f"columns.{column}[{place}]", message, "DICTIONARY_NOT_DISTINCT")
        seen.add(entry)


def _decoded_bytes(draft: Draft) -> int:
    entities = _lengths(draft.entities)[draft.entity_indexes].sum()
    attributes = _lengths(draft.attribute_keys)[draft.attribute_indexes].sum()
    octets = sum(
        len(value)
        for kind in (ValueType.STRING, ValueType.BYTES)
        for value in cast("Sequence[str | bytes]", draft.values.get(kind, ()))
    )
    return int(entities + attributes) + octets + ITEM_BYTES * len(draft.value_types)


def _lengths(texts: Sequence[str] | Sequence[int]) -> Integers:
    return np.array([len(text) if isinstance(text, str) else 8 for text in texts], np.int64)


def text_flaw(text: str, least: int, most: int) -> Flaw | None:
    """Return what is wrong with a text that must be `least` to `most` bytes of UTF-8 without NUL, or None."""
    if "\0" in text:
        if was_not_utf8(text):
            return Flaw("TEXT_NOT_UTF8", "is not UTF-8; send other octets as bytes_value")
        return Flaw("TEXT_HAS_NUL", "contains the character NUL, which PostgreSQL cannot store in a text")
    # Four bytes a character at most: most texts need no encoding to be known as short enough.
    if len(text) < least or (len(text) * 4 > most and len(text.encode()) > most):
        return Flaw("TEXT_LENGTH", f"must be {least} to {most} bytes long")
    return None


def _text_flaws(texts: Sequence[str], least: int, most: int) -> Iterable[tuple[int, Flaw | None]]:
    """Return the place and the flaw of each text that may have one; nothing is looked at one by one if all are good."""
    if not texts:
        return ()
    joined = "".join(texts)
    lengths = [len(text) for text in texts]
    widest = 1 if joined.isascii() else 4
    if "\0" not in joined and min(lengths) >= least and max(lengths) * widest <= most:
        return ()
    return enumerate(text_flaw(text, least, most) for text in texts)


def _refuse(batch: WriteBatch, items: Integers, part: Part, places: Integers, flaw: Flaw) -> None:
    # What is refused for one reason is not refused for another: the first counts.
    fresh = batch.states[items] == ItemState.STORED
    batch.refuse(items[fresh], flaw.reason, part, places[fresh], flaw.message)


def _by_flaw(found: Iterable[tuple[int, Flaw | None]]) -> Iterator[tuple[Flaw, Integers]]:
    # However many places are wrong, the flaws are few; items are then looked up once a flaw, not once a place.
    places: dict[Flaw, list[int]] = {}
    for place, flaw in found:
        if flaw is not None:
            places.setdefault(flaw, []).append(place)
    for flaw, wrong in places.items():
        yield flaw, np.array(wrong, np.int64)


def _refuse_entries(
    batch: WriteBatch, part: Part, indexes: Integers, found: Iterable[tuple[int, Flaw | None]], first: int = 0
) -> None:
    for flaw, places in _by_flaw(found):
        items = np.flatnonzero(np.isin(indexes, places + first))
        _refuse(batch, items, part, indexes[items] - first, flaw)


def _refuse_texts(batch: WriteBatch, draft: Draft) -> None:
    if batch.tenant.identity is EntityIdentity.KEYED:
        found = _text_flaws(batch.entity_keys, 1, MAX_KEY_BYTES)
        _refuse_entries(batch, Part.ENTITY_KEY, draft.entity_indexes, found)
    elif len(batch.entity_ids) and batch.entity_ids.min() < 0:
        found = enumerate(_number_flaw(number) for number in batch.entity_ids.tolist())
        _refuse_entries(batch, Part.ENTITY_ID, draft.entity_indexes, found)
    # Without an attribute key a delete is of the whole entity.
    least = 0 if batch.deletes else 1
    found = _text_flaws(draft.attribute_keys, least, MAX_KEY_BYTES)
    _refuse_entries(batch, Part.ATTRIBUTE_KEY, draft.attribute_indexes, found)
    for part, texts, indexes, most in (
        (Part.SOURCE_TYPE, draft.source_types, draft.source_type_indexes, MAX_SOURCE_TYPE_BYTES),
        (Part.ASSET_TYPE, draft.asset_types, draft.asset_type_indexes, MAX_ASSET_TYPE_BYTES),
    ):
        # The asset type of an entity may be empty: no item points to it.
        _refuse_entries(batch, part, indexes, _text_flaws(texts, 1, most), first=1)


def _number_flaw(number: int) -> Flaw | None:
    if 0 <= number <= MAX_ENTITY_ID:
        return None
    return Flaw("ENTITY_ID_OUT_OF_RANGE", f"must be 0 to {MAX_ENTITY_ID}")


def _refuse_values(batch: WriteBatch, draft: Draft) -> None:
    kinds = draft.value_types
    if kinds.min() < FIRST_TYPE or kinds.max() > LAST_TYPE:
        unknown = np.flatnonzero((kinds < FIRST_TYPE) | (kinds > LAST_TYPE))
        flaw = Flaw("VALUE_TYPE_UNKNOWN", f"must be one of {', '.join(kind.name for kind in ValueType)}")
        _refuse(batch, unknown, Part.VALUE, unknown, flaw)
    doubles = np.asarray(draft.values.get(ValueType.DOUBLE, ()), np.float64)
    places = np.flatnonzero(~np.isfinite(doubles))
    if len(places):
        flaw = Flaw(
            "VALUE_NOT_FINITE", "is NaN or an infinity, which no comparison or sum survives; leave the item out"
        )
        _refuse(batch, draft.places_of(ValueType.DOUBLE)[places], Part.DOUBLE, places, flaw)
    texts = cast("Sequence[str]", draft.values.get(ValueType.STRING, ()))
    _refuse_column(batch, draft, ValueType.STRING, Part.STRING, _text_flaws(texts, 0, MAX_VALUE_BYTES))
    octets = cast("Sequence[bytes]", draft.values.get(ValueType.BYTES, ()))
    _refuse_column(batch, draft, ValueType.BYTES, Part.BYTES, enumerate(_octets_flaw(value) for value in octets))


def _refuse_column(
    batch: WriteBatch, draft: Draft, kind: ValueType, part: Part, found: Iterable[tuple[int, Flaw | None]]
) -> None:
    for flaw, places in _by_flaw(found):
        _refuse(batch, draft.places_of(kind)[places], part, places, flaw)


def _octets_flaw(value: bytes) -> Flaw | None:
    return Flaw("VALUE_TOO_LONG", f"must be at most {MAX_VALUE_BYTES} bytes") if len(value) > MAX_VALUE_BYTES else None


def _refuse_times(batch: WriteBatch, now: datetime) -> None:
    latest = (now + AHEAD - EPOCH) // timedelta(microseconds=1)
    times = batch.event_times_us
    if batch.deletes:  # what hides more than one observation has no time of its own
        times = np.where(batch.deletions > Deletion.OBSERVATION, 0, times)
    if times.min() >= 0 and times.max() <= latest:
        return
    outside = np.flatnonzero((times < 0) | (times > latest))
    _refuse(batch, outside, Part.EVENT_TIME, outside, Flaw("EVENT_TIME_OUT_OF_RANGE", "must be 1970 to one day ahead"))


def supersede(batch: WriteBatch) -> None:
    """Mark every item that a later one of the same entity, attribute and event time stands in for."""
    rows = batch.stored()
    if len(rows) < 2:
        return
    owners = batch.entity_indexes[rows] * max(len(batch.attribute_keys), 1) + batch.attribute_indexes[rows]
    times = batch.event_times_us[rows]
    if _ascends(owners, times):
        return
    # Stable: among items of one identity the order of delivery stays, and all but the last give way.
    order = np.lexsort((times, owners))
    owners, times = owners[order], times[order]
    same = (owners[1:] == owners[:-1]) & (times[1:] == times[:-1])
    if same.any():
        batch.states[rows[order[:-1][same]]] = ItemState.SUPERSEDED


def _ascends(owners: Integers, times: Integers) -> bool:
    # Most senders go entity by entity: then no two are the same, and nothing needs sorting to know it.
    steps = owners[1:] - owners[:-1]
    return bool(((steps > 0) | ((steps == 0) & (times[1:] > times[:-1]))).all())
