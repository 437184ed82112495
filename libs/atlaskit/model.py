"""Tenants, entities and typed values, in the terms of the platform."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from functools import lru_cache
from hashlib import blake2b

SHARD_COUNT = 10
SPREADS = (1, 2, 5, 10)
MAX_ENTITY_ID = 2**63 - 1
DICTIONARY_SHARD = 0
ROW_INDEX_BITS = 17  # of a row version: the place of the row in its transaction


class Source(StrEnum):
    """A copy that may answer a read. The text is what `X-Data-Source` says."""

    PRIMARY = "primary"
    REPLICA = "replica"
    OLAP = "olap"
    LAKE = "lake"


class ValueType(IntEnum):
    """Type of one value; the numbers are those of the contract and of the stored column."""

    INT64 = 1
    UINT64 = 2
    DOUBLE = 3
    BOOL = 4
    STRING = 5
    BYTES = 6


class Deletion(IntEnum):
    """What a stored row hides; the numbers are those of the stored column."""

    NONE = 0
    OBSERVATION = 1
    ATTRIBUTE = 2
    ENTITY = 3


class EntityIdentity(StrEnum):
    """How a tenant names its entities."""

    KEYED = "keyed"
    NUMBERED = "numbered"


@dataclass(frozen=True, slots=True)
class Tenant:
    """A registered tenant. `entity_hash_key` is the secret of its keyed hash; `spread` never changes."""

    tenant_id: int
    name: str
    identity: EntityIdentity
    spread: int
    key_quota: int
    entity_hash_key: bytes
    created_at: datetime


# A Python value of one of the six types; bool before int, since bool is an int.
Scalar = bool | int | float | str | bytes


@dataclass(frozen=True, slots=True)
class TypedValue:
    """One value with its type. INT64 and UINT64 are `int`, DOUBLE `float`, the others as their names say."""

    type: ValueType
    value: Scalar


@dataclass(frozen=True, slots=True)
class Observation:
    """One observed value of one attribute."""

    attribute_key: str
    event_time: datetime
    value: TypedValue
    source_type: str = ""


@dataclass(frozen=True, slots=True)
class EntityState:
    """An entity with values, as read from one copy. `created_at` is None where the copy does not keep it."""

    tenant_id: int
    entity_id: int
    entity_key: str
    asset_type: str
    created_at: datetime | None
    values: tuple[Observation, ...]


def entity_id_of(hash_key: bytes, entity_key: str) -> int:
    """Return the platform's 63-bit number of an entity key: a keyed BLAKE2b hash, the sign bit cleared."""
    digest = blake2b(entity_key.encode(), digest_size=8, key=hash_key).digest()
    return int.from_bytes(digest, "big") & MAX_ENTITY_ID


def shard_of(tenant_id: int, spread: int, entity_id: int) -> int:
    """Return the shard (0 to 9) of an entity: one of the `spread` consecutive shards that its tenant was given."""
    return (tenant_id + _mixed(entity_id) % spread) % SHARD_COUNT


@lru_cache(maxsize=4096)
def shards_of(tenant_id: int, spread: int) -> tuple[int, ...]:
    """Return every shard that can hold rows of a tenant."""
    return tuple(sorted({(tenant_id + step) % SHARD_COUNT for step in range(spread)}))


def _mixed(entity_id: int) -> int:
    # Numbered tenants often count in steps; the finaliser of SplitMix64 spreads any arithmetic progression.
    mixed = (entity_id ^ (entity_id >> 30)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return mixed ^ (mixed >> 31)


@dataclass(frozen=True, slots=True)
class RowVersion:
    """The order of deliveries: 8 bits of epoch, 38 of transaction number, 17 of index in the transaction."""

    epoch: int
    transaction: int
    index: int

    def packed(self) -> int:
        """Return the 63-bit positive number that is stored."""
        return self.epoch << 55 | self.transaction << ROW_INDEX_BITS | self.index

    @classmethod
    def unpacked(cls, number: int) -> RowVersion:
        """Return the parts of a stored number."""
        return cls(number >> 55, number >> ROW_INDEX_BITS & (1 << 38) - 1, number & (1 << ROW_INDEX_BITS) - 1)


MAX_ROWS_PER_TRANSACTION = 1 << ROW_INDEX_BITS
