"""A thread of calls that never sees less than it saw or wrote before."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\Aa1\.([0-9]{1,3})\.([0-9a-f]{1,16})\Z")


def later(one: str, other: str) -> str:
    """Return the token that covers more: of the newer epoch, then at the greater position.

    Positions of two epochs do not compare, and the newer epoch is the one that goes on. Of a form that this release
    does not know, `other` is taken, being what came last.
    """
    if not (one and other):
        return one or other
    first, second = _TOKEN.match(one), _TOKEN.match(other)
    if first is None or second is None:
        return other
    return max((one, first), (other, second), key=lambda token: (int(token[1][1]), int(token[1][2], 16)))[0]


class Session:
    """Carries the newest token from write to read and from read to read.

    For one tenant or many. Another process goes on with it by way of `token`.
    """

    def __init__(self, token: str = "") -> None:
        self._token = token

    @property
    def token(self) -> str:
        """Return the token that the next read must cover; empty at first."""
        return self._token

    def saw(self, token: str) -> None:
        """Take note of the token of a write or a read; empty and older ones change nothing."""
        self._token = later(self._token, token)

    def forget(self) -> None:
        """Drop the token: what a TOKEN_LOST asks for, once the caller has dealt with the loss."""
        self._token = ""
