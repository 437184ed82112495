"""Ports of the stack: given ones are checked, others chosen free and remembered in the data directory."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from atlas_local.errors import PortTaken

HOST = "127.0.0.1"
# Below the range from which systems take the ports of outgoing connections (32768 on Linux, 49152 on macOS).
RANGE = range(20_000, 32_000)
_ATTEMPTS = 200


def is_free(port: int) -> bool:
    """Whether this machine lets us listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def assign(
    names: Sequence[str],
    given: Mapping[str, int],
    remembered: Mapping[str, int],
    free: Callable[[int], bool],
    draw: Callable[[], int],
) -> dict[str, int]:
    """Return a port for each name: the given one, else the remembered one if free, else a drawn one that is free.

    Raises PortTaken for a given port that is not free, and when 200 draws found none."""
    ports: dict[str, int] = {}
    for name in names:
        if (asked := given.get(name)) is not None:
            if not free(asked):
                raise PortTaken(name, asked)
            ports[name] = asked
    used = set(ports.values())
    for name in names:
        if name not in ports:
            candidates = [remembered[name]] if name in remembered else []
            candidates += [draw() for _ in range(_ATTEMPTS)]
            port = next((port for port in candidates if port not in used and free(port)), None)
            if port is None:
                raise PortTaken(name, candidates[-1])
            ports[name] = port
            used.add(port)
    return ports


def assign_in(directory: Path, names: Sequence[str], given: Mapping[str, int]) -> dict[str, int]:
    """Return a port for each name and remember them in the data directory for its next start."""
    file = directory / "ports.json"
    remembered = json.loads(file.read_text("utf-8")) if file.exists() else {}
    ports = assign(names, given, remembered, is_free, lambda: random.choice(RANGE))
    file.write_text(json.dumps(ports, indent=2), "utf-8")
    return ports
