"""What a transaction of ingest is told, and what it says."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

from atlaskit.batch import WriteBatch
from atlaskit.postgres.errors import Conflict
from atlaskit.postgres.ledger import Ledger

MAX_TRACEPARENTS = 64

# Tenant and request.
RequestKey: TypeAlias = tuple[int, UUID]
# The digest of a request, and its encoded answer.
StoredAnswer: TypeAlias = tuple[bytes, bytes]


class Touched(NamedTuple):
    """What a transaction is about to touch.

    `erases` names the tenants that it writes to: True where it deletes a whole entity, or changes the type of one
    that has promoted attributes; that waits until it is alone. `requests` are those whose stored answers it wants to
    know."""

    erases: Mapping[int, bool]
    requests: Sequence[RequestKey]


NOTHING = Touched({}, ())


class RequestTaken(Conflict):
    """Another transaction stored one of the requests first; the next attempt finds its answer."""


class EntitiesChanged(Conflict):
    """Somebody updated an entity of a slot that this transaction relied on; the next attempt looks entities up."""


class CatalogueChanged(Conflict):
    """An attribute was promoted or demoted meanwhile; the next attempt knows of it."""


class AloneNeeded(Conflict):
    """Entities of these tenants change their type, which no write may miss; the next attempt has the locks alone."""

    def __init__(self, tenants: Collection[int]) -> None:
        super().__init__(f"entities of tenants {sorted(tenants)} change their type")
        self.tenants = frozenset(tenants)


@dataclass(slots=True)
class Transaction:
    """An open transaction: the ledger to enter its rows in, its time, and requests.

    `found` are the answers that were stored before it opened; `answers` are stored with it, by key. `numbers` are those
    of its tenants' slots as it opened (`known_entities`); it is committed only if those in `relied` stand at its end,
    and all of `catalogues` (`hot_catalogue`).
    """

    began: datetime
    found: Mapping[RequestKey, StoredAnswer]
    numbers: Mapping[int, int] = field(default_factory=dict)
    catalogues: Mapping[int, int] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)
    answers: Mapping[RequestKey, StoredAnswer] = field(default_factory=dict)
    relied: Mapping[int, int] = field(default_factory=dict)


def traces_of(batches: Sequence[WriteBatch]) -> list[str]:
    """Return the traceparents of the requests that are sampled, as many as a transaction carries."""
    return [batch.traceparent for batch in batches if batch.traceparent][:MAX_TRACEPARENTS]
