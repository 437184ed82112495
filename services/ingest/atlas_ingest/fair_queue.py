"""A queue that many tenants share: bounded for all and for each, in order within a tenant, fair between them."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

FORGET_ABOVE = 1024  # tenants without entries whose last turn is remembered


class QueueLimits(NamedTuple):
    """Bounds of the queue; one tenant may hold `tenant_share` (0 to 1) of each of the two."""

    rows: int
    size_bytes: int
    tenant_share: float


@dataclass(slots=True, eq=False)
class Entry(Generic[T]):
    """What one call left in the queue. `arrived` is seconds of whatever clock the owner uses."""

    tenant: int
    rows: int
    size_bytes: int
    arrived: float
    item: T
    queued: bool = field(default=False, init=False)


@dataclass(slots=True)
class _Lane(Generic[T]):
    entries: deque[Entry[T]] = field(default_factory=deque)
    rows: int = 0
    size_bytes: int = 0
    calls: int = 0


class FairQueue(Generic[T]):
    """Gives the entries of a tenant in their order, and to each tenant that has some an equal share of the bytes.

    Start-time fair queueing: an entry's turn is the later of the queue's present turn and the end of the tenant's last
    entry, whose length is its bytes. (Goyal, Vin, Chen: Start-time fair queueing, SIGCOMM 1996.) So a tenant that sends
    fifty times as much as another waits behind itself.
    """

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._lanes: dict[int, _Lane[T]] = {}
        self._ends: dict[int, int] = {}  # tenant -> the turn at which its last entry ends
        self._heads: list[tuple[int, int, int]] = []  # turn, order of arrival, tenant: one for each lane
        self._turn = self._arrivals = 0
        self.rows = self.size_bytes = self.calls = 0

    def refusal(self, tenant: int, rows: int, size_bytes: int) -> str | None:
        """Return why an entry cannot be taken now, as a reason for machines, or None.

        An entry that alone exceeds a bound is taken by a queue (or a tenant's part) that is empty."""
        limits = self._limits
        if self.calls and _over(self.rows + rows, self.size_bytes + size_bytes, limits.rows, limits.size_bytes):
            return "QUEUE_FULL"
        lane, share = self._lanes.get(tenant), limits.tenant_share
        if lane is not None and _over(
            lane.rows + rows, lane.size_bytes + size_bytes, limits.rows * share, limits.size_bytes * share
        ):
            return "TENANT_QUEUE_FULL"
        return None

    def push(self, entry: Entry[T]) -> None:
        """Append the entry to its tenant's lane."""
        lane = self._lanes.get(entry.tenant)
        if lane is None:
            lane = self._lanes[entry.tenant] = _Lane()
            self._enter(entry.tenant)
        lane.entries.append(entry)
        entry.queued = True
        self._count(lane, entry, 1)

    def drop(self, entry: Entry[T]) -> None:
        """Take the entry out if it is still there; what it held is free at once."""
        if not entry.queued:
            return
        lane = self._lanes[entry.tenant]
        entry.queued = False
        self._count(lane, entry, -1)
        # Those that were dropped go when their turn comes, or when they are the greater part.
        if len(lane.entries) > 2 * lane.calls + 16:
            lane.entries = deque(waiting for waiting in lane.entries if waiting.queued)

    def take(self, rows: int, *, whole: bool = False, without: Container[int] = ()) -> list[Entry[T]]:
        """Return entries in their turn, up to `rows` rows of them in sum; the tenants `without` are passed over.

        A first entry that alone is larger is taken too, unless `whole`: then tenants whose next entry does not fit are
        passed over."""
        taken: list[Entry[T]] = []
        passed: list[tuple[int, int, int]] = []
        left = rows
        while self._heads:
            head = heapq.heappop(self._heads)
            entry = self._next(head[2])
            if entry is None:
                continue
            if entry.tenant in without:
                passed.append(head)
                continue
            if entry.rows > left and (taken or whole):
                passed.append(head)
                if whole:
                    continue
                break
            self._take(entry, head[0])
            taken.append(entry)
            left -= entry.rows
        for head in passed:
            heapq.heappush(self._heads, head)
        return taken

    def oldest(self) -> float | None:
        """Return when the entry arrived whose turn is next; None if there is none."""
        while self._heads:
            entry = self._next(self._heads[0][2])
            if entry is not None:
                return entry.arrived
            heapq.heappop(self._heads)
        return None

    def _enter(self, tenant: int) -> None:
        self._arrivals += 1
        heapq.heappush(self._heads, (max(self._turn, self._ends.get(tenant, 0)), self._arrivals, tenant))

    def _next(self, tenant: int) -> Entry[T] | None:
        # A lane without an entry that waits is closed by whoever finds it so.
        lane = self._lanes[tenant]
        while lane.entries and not lane.entries[0].queued:
            lane.entries.popleft()
        if lane.entries:
            return lane.entries[0]
        del self._lanes[tenant]
        return None

    def _take(self, entry: Entry[T], turn: int) -> None:
        lane = self._lanes[entry.tenant]
        lane.entries.popleft()
        entry.queued = False
        self._count(lane, entry, -1)
        self._turn = max(self._turn, turn)
        self._ends[entry.tenant] = turn + entry.size_bytes
        if self._next(entry.tenant) is not None:
            self._enter(entry.tenant)
        if len(self._ends) > len(self._lanes) + FORGET_ABOVE:
            self._ends = {tenant: end for tenant, end in self._ends.items() if end > self._turn}

    def _count(self, lane: _Lane[T], entry: Entry[T], sign: int) -> None:
        lane.calls += sign
        lane.rows += sign * entry.rows
        lane.size_bytes += sign * entry.size_bytes
        self.calls += sign
        self.rows += sign * entry.rows
        self.size_bytes += sign * entry.size_bytes


def _over(rows: int, size_bytes: int, most_rows: float, most_bytes: float) -> bool:
    return rows > most_rows or size_bytes > most_bytes
