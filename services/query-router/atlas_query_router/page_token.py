"""Page tokens: where the next page begins, which copy it comes from, and how far that copy must have come."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass, replace
from hashlib import blake2b

from atlaskit.errors import InvalidRequest
from atlaskit.freshness.requirement import Requirement
from atlaskit.model import Source
from atlaskit.position import Lsn, Token
from atlaskit.selection.searches import Cursor

MAC_BYTES = 16
MAX_TEXT = 32_768


@dataclass(frozen=True, slots=True)
class Page:
    """The place after a page. `at_least` None: the page before proved no position, so there is none to keep."""

    source: Source
    at_least: Token | None
    cursor: Cursor

    def pinned(self, requirement: Requirement) -> Requirement:
        """Return the requirement for the next page: from the same copy, and not behind the page before."""
        newest = [token for token in (self.at_least, requirement.at_least) if token is not None]
        at_least = max(newest, key=lambda token: (token.epoch, token.lsn), default=None)
        away = requirement.sources[0] is not self.source
        return replace(requirement, sources=(self.source,), at_least=at_least, pinned_away=away)


def after(source: Source, epoch: int | None, lsn: Lsn | None, cursor: Cursor) -> Page:
    """Return the place after a page that proved this position."""
    if epoch is None or lsn is None:
        return Page(source, None, cursor)
    # OLAP covers a token only strictly beyond it, and positions of beats rise strictly: one less admits the same beat.
    return Page(source, Token(epoch, Lsn(lsn.bytes - 1) if source is Source.OLAP else lsn), cursor)


class PageTokens:
    """Writes and reads page tokens, which bear a seal: one that was changed, or belongs to another request, is refused.

    All routers of a deployment need the same key, or a page fetched from another one is refused.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def write(self, page: Page, request: bytes) -> str:
        """Return the token. `request` is what must not change between pages."""
        at_least = None if page.at_least is None else str(page.at_least)
        payload = json.dumps([page.source.value, at_least, page.cursor], separators=(",", ":")).encode()
        return urlsafe_b64encode(self._seal(payload, request) + payload).decode().rstrip("=")

    def read(self, text: str, request: bytes) -> Page:
        """Return the place that a token names. Raises InvalidRequest."""
        try:
            sealed = urlsafe_b64decode(text + "=" * (-len(text) % 4)) if len(text) <= MAX_TEXT else b""
        except (ValueError, Base64Error):
            sealed = b""
        seal, payload = sealed[:MAC_BYTES], sealed[MAC_BYTES:]
        if not hmac.compare_digest(seal, self._seal(payload, request)):
            raise InvalidRequest(
                "page_token", "is not one of this request; repeat the other fields unchanged", "PAGE_TOKEN_INVALID"
            )
        source, at_least, cursor = json.loads(payload)
        token = None if at_least is None else Token.parse(at_least, "page_token")
        return Page(Source(source), token, tuple(cursor))

    def _seal(self, payload: bytes, request: bytes) -> bytes:
        digest = blake2b(request, digest_size=32).digest()
        return blake2b(digest + payload, digest_size=MAC_BYTES, key=self._key).digest()
