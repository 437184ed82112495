"""Who calls, and for which tenant, as metadata of every call."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Final, TypeAlias

Metadata: TypeAlias = tuple[tuple[str, str], ...]

_NAME: Final = re.compile(r"\A[!-~]{1,64}\Z")


def metadata_of(caller: str, tenant: int | None) -> Metadata:
    """Return the metadata that state it; an empty caller and no tenant state nothing. Raises ValueError."""
    if caller and not _NAME.match(caller):
        raise ValueError(f"caller {caller!r} must be 1 to 64 printable characters of ASCII without spaces")
    if tenant is not None and not 1 <= tenant < 2**31:
        raise ValueError(f"tenant {tenant} must be 1 to 2147483647")
    said = (("x-atlas-caller", caller),) if caller else ()
    return said if tenant is None else (*said, ("x-atlas-tenant", str(tenant)))


class Identified:
    """The methods of a stub, each called with these metadata."""

    def __init__(self, stub: object, metadata: Metadata) -> None:
        self._stub = stub
        self._metadata = metadata

    def __getattr__(self, method: str) -> Any:
        return partial(getattr(self._stub, method), metadata=self._metadata)
