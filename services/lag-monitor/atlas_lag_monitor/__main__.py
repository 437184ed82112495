"""Run the lag monitor: `python -m atlas_lag_monitor`."""

import asyncio
import sys

from atlaskit.rpc.process import run

from atlas_lag_monitor.app import running
from atlas_lag_monitor.settings import Settings


def main() -> int:
    """Run the service until it is told to stop and return its exit status."""
    return run("lag-monitor", Settings, running, loop_factory=asyncio.new_event_loop)


if __name__ == "__main__":
    sys.exit(main())
