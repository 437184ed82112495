"""The process `ingest`."""

import sys

from atlaskit.rpc.process import run

from atlas_ingest.app import SERVICE, running
from atlas_ingest.settings import Settings


def main() -> int:
    """Run the service until it is told to stop and return its exit status."""
    return run(SERVICE, Settings, running)


if __name__ == "__main__":
    sys.exit(main())
