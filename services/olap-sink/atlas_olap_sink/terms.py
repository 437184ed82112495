"""Texts of dictionary ids: from memory, else from the primary. An unknown id is waited for, never skipped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import TypeAlias

import numpy as np
from atlaskit.cdc.fields import Int64s
from atlaskit.errors import Unavailable
from atlaskit.postgres.terms import TermId, TermKind

Ask: TypeAlias = Callable[[TermKind, Collection[TermId]], Awaitable[Mapping[TermId, str]]]

MAX_ASKED = 5_000  # ids in one question to the primary


class TermMissing(Unavailable):
    """The primary does not know an id that a row uses: it is behind (a failover?), so ask again."""

    reason = "TERM_MISSING"


class Terms:
    """Remembers up to `limit` texts of each dictionary; those learned first go first. An id of 0 is the empty text."""

    def __init__(self, ask: Ask, limit: int) -> None:
        self._ask = ask
        self._limit = limit
        self._known: dict[TermKind, dict[int, str]] = {kind: {} for kind in TermKind}

    def learn(self, kind: TermKind, terms: Iterable[tuple[TermId, str]]) -> None:
        """Remember committed terms."""
        known = self._known[kind]
        known.update((_packed(tenant, number), text) for (tenant, number), text in terms)
        for oldest in list(known)[: max(0, len(known) - self._limit)]:
            del known[oldest]

    def forget(self) -> None:
        """Forget every text: the ids may mean others now."""
        for known in self._known.values():
            known.clear()

    async def texts(self, kind: TermKind, tenants: Int64s, ids: Int64s) -> list[str]:
        """Return the text of each id, in order. Raises Unavailable (or TermMissing) if one cannot be had now."""
        if kind is TermKind.SOURCE_TYPE:
            tenants = np.zeros_like(ids)
        distinct, inverse = np.unique(tenants << 32 | ids, return_inverse=True)
        wanted: list[int] = distinct.tolist()
        found = {packed: text for packed in wanted if (text := self._known[kind].get(packed)) is not None}
        missing = [packed for packed in wanted if packed & 0xFFFFFFFF and packed not in found]
        found.update(await self._fetch(kind, missing))
        texts = [found[packed] if packed & 0xFFFFFFFF else "" for packed in wanted]
        return [texts[place] for place in inverse.tolist()]

    async def _fetch(self, kind: TermKind, missing: list[int]) -> dict[int, str]:
        fetched: dict[int, str] = {}
        for first in range(0, len(missing), MAX_ASKED):
            asked = [(packed >> 32, packed & 0xFFFFFFFF) for packed in missing[first : first + MAX_ASKED]]
            found = await self._ask(kind, asked)
            if unknown := [term for term in asked if term not in found]:
                raise TermMissing(f"{kind.value}: the primary does not know (tenant, id) {unknown[:3]} yet")
            fetched.update((_packed(*term), text) for term, text in found.items())
        self.learn(kind, (((packed >> 32, packed & 0xFFFFFFFF), text) for packed, text in fetched.items()))
        return fetched


def _packed(tenant: int, number: int) -> int:
    return tenant << 32 | number
