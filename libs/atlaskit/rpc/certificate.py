"""Where a certificate of freshness meets the contract."""

from __future__ import annotations

from typing import TypeVar

from atlas.freshness.v1.freshness_pb2 import Freshness

from atlaskit.errors import AtlasError

E = TypeVar("E", bound=AtlasError)


def certified(error: E, freshness: Freshness) -> E:
    """Return the error with a certificate, which then goes into the details of its status and into initial metadata."""
    vars(error)["certificate"] = freshness
    return error


def freshness_of(error: BaseException) -> Freshness | None:
    """Return the certificate that an error carries in its attribute `certificate`, or None."""
    carried = getattr(error, "certificate", None)
    return carried if isinstance(carried, Freshness) else None
