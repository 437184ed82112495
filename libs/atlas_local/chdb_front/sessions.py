"""Connections that outlive a request, found again by session id: bounded in number and in idle time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from atlas_local.chdb_front.request import Refused, Session

MAX_SESSIONS = 256


@dataclass(slots=True)
class _Kept:
    connection: Any
    busy: bool
    expires: float


class Sessions:
    """The open sessions. One statement at a time runs in each; a second one is refused, as the server does."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    @contextmanager
    def borrow(self, session: Session) -> Iterator[Any]:
        """Lend the session's connection, opened on first use.

        Raises Refused if it is busy, is missing where it must exist, or is one too many.
        """
        kept = self._take(session)
        try:
            yield kept.connection
        finally:
            with self._lock:
                kept.busy = False
                kept.expires = time.monotonic() + session.timeout_seconds

    def close(self) -> None:
        """Close every session's connection."""
        with self._lock:
            for kept in self._kept.values():
                kept.connection.close()
            self._kept.clear()

    def _take(self, session: Session) -> _Kept:
        with self._lock:
            self._drop_expired()
            kept = self._kept.get(session.id)
            if kept is None:
                kept = self._kept[session.id] = self._new(session)
            elif kept.busy:
                raise Refused(373, "SESSION_IS_LOCKED", f"Session {session.id} is locked by a concurrent client")
            kept.busy = True
            return kept

    def _new(self, session: Session) -> _Kept:
        if session.must_exist:
            raise Refused(372, "SESSION_NOT_FOUND", f"Session {session.id} not found")
        if len(self._kept) >= MAX_SESSIONS:
            raise Refused(202, "TOO_MANY_SIMULTANEOUS_QUERIES", f"{MAX_SESSIONS} sessions are open already")
        return _Kept(self._connect(), busy=True, expires=0.0)

    def _drop_expired(self) -> None:
        now = time.monotonic()
        for session_id in [id_ for id_, kept in self._kept.items() if not kept.busy and kept.expires < now]:
            self._kept.pop(session_id).connection.close()
