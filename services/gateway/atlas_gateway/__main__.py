"""Run the gateway: `python -m atlas_gateway`."""

import sys

from atlaskit.rpc.process import run

from atlas_gateway.app import running
from atlas_gateway.settings import Settings


def main() -> int:
    """Run the service until it is told to stop and return its exit status."""
    return run("gateway", Settings, running)


if __name__ == "__main__":
    sys.exit(main())
