"""Run the gateway: `python -m atlas_gateway`."""

import sys

from atlaskit.rpc.process import run

from atlas_gateway.app import running
from atlas_gateway.settings import Settings

if __name__ == "__main__":
    sys.exit(run("gateway", Settings, running))
