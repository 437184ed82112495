"""Run the sink: `python -m atlas_olap_sink`."""

from __future__ import annotations

import asyncio
import sys

from atlaskit.rpc.process import run

from atlas_olap_sink.app import SERVICE, running
from atlas_olap_sink.settings import Settings


def main() -> int:
    """Run the service until it is told to stop and return its exit status."""
    return run(SERVICE, Settings, running, loop_factory=asyncio.new_event_loop)


if __name__ == "__main__":
    sys.exit(main())
