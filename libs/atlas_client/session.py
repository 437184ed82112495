"""A thread of calls that never sees less than it saw or wrote before, whichever copy answers."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\Aa1\.([0-9]{1,3})\.([0-9a-f]{1,16})\Z")
# Tokens of a form that this release does not know share this place, which comes after every epoch.
_UNKNOWN = 256


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
    """Carries tokens from write to read and from read to read: the greatest of each epoch.

    For one tenant or many. Another process goes on with it by way of `tokens`. After a failover, tokens of the epoch
    before are kept beside the new one until it is known that their writes survived: see `earlier`.
    """

    def __init__(self, *tokens: str) -> None:
        self._tokens: dict[int, str] = {}
        for token in tokens:
            self.saw(token)

    @property
    def token(self) -> str:
        """Return the token that the next read must cover; empty at first."""
        return self._tokens[max(self._tokens)] if self._tokens else ""

    @property
    def earlier(self) -> tuple[str, ...]:
        """Return the tokens of earlier epochs, oldest first, of which no read has shown yet that they survived.

        Reads of the client look after them: each is asked of the primary once, which confirms it or says TOKEN_LOST.
        """
        return self.tokens[:-1]

    @property
    def tokens(self) -> tuple[str, ...]:
        """Return all that the session stands for, oldest epoch first; `Session(*tokens)` goes on with it."""
        return tuple(self._tokens[epoch] for epoch in sorted(self._tokens))

    def saw(self, token: str, *, covering: str = "") -> None:
        """Take note of the token of a write or a read; empty and older ones change nothing.

        `covering` is the token that the read was asked to cover: of an earlier epoch, it is known to have survived.
        """
        if token:
            epoch = _epoch(token)
            self._tokens[epoch] = later(self._tokens.get(epoch, ""), token)
        if covering and covering != self.token:
            self.confirmed(covering)

    def confirmed(self, token: str) -> None:
        """Take note that what an earlier epoch's token stands for survived, unless more was written there since."""
        if self._tokens.get(_epoch(token)) == token != self.token:
            del self._tokens[_epoch(token)]

    def merge(self, other: Session) -> None:
        """Take over all that another session wrote and saw. The other one stays as it is."""
        for token in other.tokens:
            self.saw(token)

    def forget(self) -> None:
        """Drop all tokens: what a TOKEN_LOST asks for, once the caller has dealt with the loss."""
        self._tokens.clear()


def _epoch(token: str) -> int:
    match = _TOKEN.match(token)
    return _UNKNOWN if match is None else int(match[1])
