"""What a gateway is told at its start."""

from __future__ import annotations

from datetime import timedelta

from atlaskit.config import Address, IdentityMode, ServiceSettings, Span
from pydantic import PositiveInt


class Settings(ServiceSettings):
    """Settings of the gateway, on top of those that every service has. `address` is where HTTP is served."""

    address: Address = "127.0.0.1:8080"
    query_target: str  # the query router, as host:port or dns:///name:port; its absence stops the start
    identity: IdentityMode = IdentityMode.OPTIONAL  # required: a request says who it comes from and for which tenant
    request_timeout: Span = timedelta(seconds=2)  # deadline of a request that names none
    request_timeout_limit: Span = timedelta(seconds=30)  # a longer X-Request-Timeout-Ms is cut to this
    requests_in_flight: PositiveInt = 512  # one more is answered 503 at once
