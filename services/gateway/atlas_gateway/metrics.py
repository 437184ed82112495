"""How long requests take, by route, method and status: whatever a caller sends, the values of each are few."""

from __future__ import annotations

import time
from typing import Final

from atlaskit.telemetry.measures import REQUEST_DURATION
from atlaskit.telemetry.metrics import histogram
from opentelemetry.metrics import Meter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER: Final = "_OTHER"  # OpenTelemetry's word for every other method
NO_ROUTE: Final = ""  # nothing answers at such a path
HEALTH: Final = frozenset({"/healthz", "/readyz"})


def measured(app: ASGIApp, meter: Meter) -> ASGIApp:
    """Return the application with the time of each of its HTTP requests measured, those of health left out."""
    durations = histogram(meter, REQUEST_DURATION)

    async def measuring(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        begun, status = time.monotonic(), 500  # of a request that ended without an answer

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            return await app(scope, receive, sending)
        finally:
            labels = labels_of(scope, status)
            if labels["http.route"] not in HEALTH:
                durations.record(time.monotonic() - begun, labels)

    return measuring


def labels_of(scope: Scope, status: int) -> dict[str, str]:
    """Return the labels of a request that was routed: the route's own path, not the one that was asked for."""
    method = scope["method"]
    return {
        "http.request.method": method if method in METHODS else OTHER,
        "http.route": getattr(scope.get("route"), "path", NO_ROUTE),
        "http.response.status_code": str(status),
    }
