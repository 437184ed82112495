"""A place in the order of commits, as a number, as text and as a token."""

from __future__ import annotations

import re
from dataclasses import dataclass

from atlaskit.errors import InvalidRequest

_LSN = re.compile(r"\A([0-9A-F]{1,8})/([0-9A-F]{1,8})\Z", re.IGNORECASE)
_TOKEN = re.compile(r"\Aa1\.([0-9]{1,3})\.([0-9a-f]{1,16})\Z")


@dataclass(frozen=True, slots=True, order=True)
class Lsn:
    """A position in PostgreSQL's write-ahead log, in bytes from its start."""

    bytes: int

    @classmethod
    def parse(cls, text: str) -> Lsn:
        """Return the position that PostgreSQL writes as `16/B374D848`. Raises ValueError for anything else."""
        match = _LSN.match(text)
        if match is None:
            raise ValueError(f"not a position in a write-ahead log: {text!r}")
        return cls(int(match[1], 16) << 32 | int(match[2], 16))

    def __str__(self) -> str:
        return f"{self.bytes >> 32:X}/{self.bytes & 0xFFFFFFFF:X}"


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """One PostgreSQL cluster on one timeline."""

    system_identifier: int
    timeline: int


@dataclass(frozen=True, slots=True)
class Token:
    """A position within a source epoch: what a write returns and a read can ask for. Epochs do not compare."""

    epoch: int
    lsn: Lsn

    def __str__(self) -> str:
        return f"a1.{self.epoch}.{self.lsn.bytes:x}"

    @classmethod
    def parse(cls, text: str, field: str) -> Token:
        """Return the token that was written as `text`. Raises InvalidRequest naming `field`."""
        match = _TOKEN.match(text)
        if match is None or not 1 <= int(match[1]) <= 255 or int(match[2], 16) == 0:
            raise InvalidRequest(
                field, "is not a token of Atlas; pass one back exactly as it was received", "TOKEN_MALFORMED"
            )
        return cls(int(match[1]), Lsn(int(match[2], 16)))
