"""Queries that nobody waits for any more are stopped at the server."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, TypeVar

from atlaskit.clickhouse.errors import translated
from atlaskit.errors import AtlasError, DeadlinePassed

T = TypeVar("T")

# A mark of ours and no query id: the embedded engine gives ids of its own. It says nothing of another user's queries.
_STOP: Final = "KILL QUERY WHERE endsWith(Settings['log_comment'], {mark:String}) ASYNC"
_LIMIT: Final = {"max_execution_time": 5}


class Query:
    """One query under a name of its own, from being asked to its end; it may be stopped in between."""

    def __init__(self) -> None:
        self.mark = f"atlas-{uuid.uuid4().hex}"
        self._lock = threading.Lock()
        self._started = False
        self._stopped = False

    @property
    def settings(self) -> dict[str, str]:
        """Return the settings by which the server knows it."""
        return {"log_comment": self.mark}

    def unless_stopped(self, call: Callable[[Any], T]) -> Callable[[Any], T]:
        """Return the call, which does nothing if the query was stopped while it waited for a thread."""

        def guarded(client: Any) -> T:
            with self._lock:
                if self._stopped:
                    raise DeadlinePassed("the query was stopped before it began")
                self._started = True
            return call(client)

        return guarded

    def stop(self) -> bool:
        """Take note that nobody waits for it; True if it is already on its way to the server."""
        with self._lock:
            self._stopped = True
            return self._started


class Stopping:
    """Asks the server to stop queries, one after another on a thread of its own, which a slow query cannot hold.

    At most `most` are on their way; beyond that, as where the server does not answer, queries end by their own limit.
    """

    def __init__(self, most: int) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="clickhouse-stop")
        self._free = threading.BoundedSemaphore(most)

    def ask(self, connected: Callable[[], Any], query: Query) -> None:
        """Have the query stopped; returns at once."""
        if self._free.acquire(blocking=False):
            self._thread.submit(self._ask, connected, query.mark)

    def close(self) -> None:
        """Return once none is on its way."""
        self._thread.shutdown(wait=True)

    def _ask(self, connected: Callable[[], Any], mark: str) -> None:
        try:
            with suppress(AtlasError), translated("stopping a query"):
                connected().command(_STOP, parameters={"mark": mark}, settings=_LIMIT)
        finally:
            self._free.release()
