"""Which batches a load has behind it, in a small file, so that a run that was cut off goes on where it was."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import TracebackType

SAVE_EVERY = 0.5  # seconds; what is lost with a killed run is asked for again under the same request id
FORM = 1


class LedgerFault(Exception):
    """The file of a load cannot be read or written; the text says what to do."""


class Ledger:
    """The request ids that were acknowledged. Ids hold the tenant's creation, so another platform's never match.

    A context manager: what is not yet saved is saved at its exit, also after an error. Without a path nothing is kept.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._done: set[str] = set()
        self._unsaved = False
        self._saved_at = time.monotonic()

    def __enter__(self) -> Ledger:
        if self._path is not None and self._path.exists():
            try:
                content = json.loads(self._path.read_text())
                if content["form"] != FORM:
                    raise ValueError(f"form {content['form']} is not {FORM}")
                self._done = set(content["done"])
            except (OSError, ValueError, KeyError, TypeError) as wrong:
                raise LedgerFault(
                    f"{self._path}: cannot be read ({wrong}); remove it to load everything again"
                ) from wrong
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._unsaved:
            self._save()

    def __contains__(self, request_id: object) -> bool:
        return request_id in self._done

    def mark(self, request_id: str) -> None:
        """Take note that this batch is stored. Raises LedgerFault when the file cannot be written."""
        self._done.add(request_id)
        self._unsaved = True
        if time.monotonic() - self._saved_at >= SAVE_EVERY:
            self._save()

    def _save(self) -> None:
        if self._path is not None:
            partial = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                partial.write_text(json.dumps({"form": FORM, "done": sorted(self._done)}))
                partial.replace(self._path)  # in one step: a reader sees the old file or the new one
            except OSError as wrong:
                raise LedgerFault(
                    f"{self._path}: cannot be written ({wrong}); name another with --resume-file"
                ) from wrong
        self._unsaved = False
        self._saved_at = time.monotonic()
