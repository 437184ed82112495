"""When batches had better wait for others and share a transaction: plain rules and their bounds."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from atlas_ingest.fair_queue import QueueLimits


class Limits(NamedTuple):
    """Bounds of the queue and of one group. A group takes at least one batch, however large.

    A small group has less than `gather_rows` rows. While another one is being committed and `gather_calls` calls or
    more are on their way, it waits: until that one is done, it is small no more, or its first batch has waited for
    `gather`. While `gather_calls` calls arrive within `busy`, it also waits until there are as many, at most `linger`:
    sharing a transaction is cheaper than one's own. Of three writers or more, one takes only groups of `express_rows`
    rows, so that small batches do not wait behind large ones. A group of up to `express_rows` rows is committed at once
    if its callers wait `at_once` at least, since nobody can call it off then.

    While a larger group is being committed, the next larger one begins once `second_rows` rows wait or the first of
    them has waited for `hold`: together they cost less a row, and a core is left to small groups.
    """

    queue: QueueLimits = QueueLimits(rows=200_000, size_bytes=256 * 1024 * 1024, tenant_share=0.5)
    queue_age: timedelta = timedelta(seconds=30)
    group_rows: int = 10_000
    gather: timedelta = timedelta(milliseconds=20)
    gather_rows: int = 1_000
    gather_calls: int = 8
    busy: timedelta = timedelta(milliseconds=10)
    linger: timedelta = timedelta(milliseconds=5)
    express_rows: int = 256
    second_rows: int = 3_000
    hold: timedelta = timedelta(milliseconds=50)
    at_once: timedelta = timedelta(seconds=1)
    transaction: timedelta = timedelta(seconds=20)


class Crowd(NamedTuple):
    """Who is there: rows and calls in the queue, calls in transactions, how many of these are of small groups.

    `busy`: calls arrive so fast that the next ones are worth a wait."""

    rows: int
    calls: int
    committing: int
    small: int
    busy: bool


def gathering(limits: Limits, crowd: Crowd, waited: float) -> float:
    """Return the seconds for which a group had better wait for more; 0 to commit it now.

    The group's first batch has `waited` so many seconds. An idle service does not wait at all, nor does one whose next
    group is large."""
    if crowd.rows >= limits.gather_rows:
        return 0.0
    if crowd.small and crowd.calls + crowd.committing >= limits.gather_calls:
        return max(limits.gather.total_seconds() - waited, 0.0)
    if crowd.busy and crowd.calls < limits.gather_calls:
        return max(limits.linger.total_seconds() - waited, 0.0)
    return 0.0


def holding(limits: Limits, rows: int, waited: float) -> float:
    """Return the seconds for which a large group had better wait while another one is being committed; 0 for none.

    So many `rows` wait, the first for so many seconds."""
    return max(limits.hold.total_seconds() - waited, 0.0) if rows < limits.second_rows else 0.0
