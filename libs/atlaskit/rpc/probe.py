"""Ask one server for its health and say it by the exit status: the health check of a container.

`python -m atlaskit.rpc.probe 127.0.0.1:50051 readiness` asks by gRPC, `... http://127.0.0.1:8080/readyz` by HTTP.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Sequence

import grpc
from grpc_health.v1 import health_pb2

SECONDS = 2.0


def serves(address: str, name: str) -> bool:
    """Return whether the server at `host:port` says within two seconds that it serves `name`; "": all of it."""
    with grpc.insecure_channel(address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(health_pb2.HealthCheckRequest(service=name), timeout=SECONDS)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def answers(url: str) -> bool:
    """Return whether an HTTP server answers a GET of this URL within two seconds, and not with an error."""
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310 - the image's own address
            return bool(answer.status < 400)
    except (urllib.error.URLError, OSError):
        return False


def main(arguments: Sequence[str]) -> int:
    """Return 0 if the address serves the name (the second argument; none: the whole server), 1 if not."""
    address, *name = arguments
    healthy = answers(address) if address.startswith("http://") else serves(address, name[0] if name else "")
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
