"""Reads across tenants: for callers that have a grant for each, looked up at the primary and kept for a while."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import Final, TypeAlias

from atlaskit.errors import NotGranted
from atlaskit.rpc.deadline import Deadline

# Of the tenants asked about, those that the caller may read.
Lookup: TypeAlias = Callable[[str, Collection[int], timedelta], Awaitable[set[int]]]

MOST_KEPT: Final = 10_000  # pairs of caller and tenant


class Grants:
    """Knows who may read several tenants in one question.

    A grant that was seen is believed for at most `age`, so a revoked one ends within it. That there is none is not
    kept: a new one counts at once. A store that does not answer grants nothing.
    """

    def __init__(
        self, lookup: Lookup, age: timedelta, now: Callable[[], float] = time.monotonic, most: int = MOST_KEPT
    ) -> None:
        self._lookup = lookup
        self._age = age.total_seconds()
        self._now = now
        self._most = most
        self._seen: OrderedDict[tuple[str, int], float] = OrderedDict()

    async def check(self, caller: str, tenant_ids: Collection[int], deadline: Deadline) -> None:
        """Return if the caller may read these tenants in one question; an empty caller, which said nothing, may not.

        Raises NotGranted naming the first tenant, in the order asked, that it has no grant for; Unavailable.
        """
        unknown = [tenant_id for tenant_id in dict.fromkeys(tenant_ids) if not self._fresh(caller, tenant_id)]
        if not unknown:
            return
        if not caller:
            raise NotGranted(caller, unknown[0])
        asked = self._now()  # before the answer: the age counts from here
        granted = await self._lookup(caller, unknown, deadline.require("looking up grants"))
        for tenant_id in unknown:
            if tenant_id not in granted:
                raise NotGranted(caller, tenant_id)
        for tenant_id in unknown:
            self._seen[caller, tenant_id] = asked
            self._seen.move_to_end((caller, tenant_id))
        while len(self._seen) > self._most:
            self._seen.popitem(last=False)

    def _fresh(self, caller: str, tenant_id: int) -> bool:
        seen = self._seen.get((caller, tenant_id))
        return seen is not None and self._now() - seen < self._age
