"""The two classes of reads, and backends that keep them apart: each class has connections of its own at every store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import StrEnum

from atlaskit.clickhouse.tenancy import reading_for
from atlaskit.freshness.proofs import Proof
from atlaskit.model import Source
from atlaskit.selection.searches import EntitySearch

from atlas_query_router.backends import Backend, Call, Reply
from atlas_query_router.position_watch import Reached
from atlas_query_router.questions import (
    EntityQuestion,
    HistoryQuestion,
    ListQuestion,
    PositionQuestion,
    Question,
)
from atlas_query_router.tenant_gate import TenantGate


class QueryClass(StrEnum):
    """What a read is like: answered from some rows of some entities, or from many rows of many."""

    OPERATIONAL = "operational"
    ANALYTICAL = "analytical"


_OPERATIONAL = (EntityQuestion, ListQuestion, EntitySearch, HistoryQuestion, PositionQuestion)


def class_of(question: Question) -> QueryClass:
    """Return the class; what nobody has called operational is analytical, and cannot starve those that are."""
    return QueryClass.OPERATIONAL if isinstance(question, _OPERATIONAL) else QueryClass.ANALYTICAL


class ClassedBackend:
    """One source over several sets of connections, one a class; each tenant has limits for each class.

    Asking how far a copy has come costs a tenant nothing: it is bounded where it is waited for.
    """

    def __init__(self, backends: Mapping[QueryClass, Backend], gate: TenantGate) -> None:
        self._backends = backends
        self._gate = gate
        self.source: Source = backends[QueryClass.OPERATIONAL].source

    async def read(self, question: Question, call: Call, worth: Callable[[Proof | None], bool]) -> Reply:
        """Read on the connections of the question's class. Raises TenantBusy besides what a backend raises."""
        chosen = class_of(question)
        with reading_for(call.tenant_ids):
            if isinstance(question, PositionQuestion):
                return await self._backends[chosen].read(question, call, worth)
            async with self._gate.place(chosen, call.tenant.tenant_id, call.deadline):
                return await self._backends[chosen].read(question, call, worth)

    async def look(self, limit: timedelta) -> Reached:
        """Return what a read would be proven to cover now."""
        return await self._backends[QueryClass.OPERATIONAL].look(limit)
