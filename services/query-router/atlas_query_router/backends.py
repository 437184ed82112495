"""What every copy is to the router: a place that answers a question and says what its answer covers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from atlaskit.clock import BootInstant
from atlaskit.freshness.proofs import Proof
from atlaskit.model import Source, Tenant, entity_id_of, shards_of
from atlaskit.position import Token
from atlaskit.rpc.deadline import Deadline

from atlas_query_router.position_watch import Reached, Shards
from atlas_query_router.questions import Question, Rows


@dataclass(frozen=True, slots=True)
class Call:
    """What goes with a question through every attempt to answer it. `received` precedes everything read for it.

    `others`: further tenants that a question about several names.
    """

    tenant: Tenant
    received: BootInstant
    deadline: Deadline
    want_session_token: bool = False
    others: tuple[Tenant, ...] = ()

    def within(self, deadline: Deadline) -> Call:
        """Return the same with another deadline."""
        return Call(self.tenant, self.received, deadline, self.want_session_token, self.others)

    @property
    def tenant_ids(self) -> tuple[int, ...]:
        """Return every tenant."""
        return (self.tenant.tenant_id, *(tenant.tenant_id for tenant in self.others))

    @property
    def shards(self) -> Shards:
        """Return every shard that may hold rows of the tenants."""
        every = {shard for one in (self.tenant, *self.others) for shard in shards_of(one.tenant_id, one.spread)}
        return tuple(sorted(every))


@dataclass(frozen=True, slots=True)
class Reply:
    """One attempt. Without a `proof` its staleness is unknown. `answered` False: the data were not even asked for.

    `slotted`: attributes whose current values were read from slots."""

    proof: Proof | None
    answered: bool
    rows: Rows = None
    session_token: Token | None = None
    slotted: tuple[str, ...] = ()


class Backend(Protocol):
    """One copy."""

    @property
    def source(self) -> Source:
        """Return which copy it is."""
        ...

    async def read(self, question: Question, call: Call, worth: Callable[[Proof | None], bool]) -> Reply:
        """Answer the question, with what the answer is proven to cover.

        Where the proof is known before the data are read and is not `worth` it, they are not read. Cancelled, the
        statement is cancelled at the store. Raises Unavailable, DeadlinePassed or Overloaded.
        """
        ...

    async def look(self, limit: timedelta) -> Reached:
        """Return how far the copy has come now, for all who wait for it; takes at most `limit`. Raises AtlasError."""
        ...


def entity_number(tenant: Tenant, entity: int | str) -> int:
    """Return the platform's number of an entity that is named by key or by number."""
    return entity if isinstance(entity, int) else entity_id_of(tenant.entity_hash_key, entity)
