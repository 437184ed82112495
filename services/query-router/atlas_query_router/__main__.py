"""Run the query router: `python -m atlas_query_router`."""

import sys

from atlaskit.rpc.process import run

from atlas_query_router.app import running
from atlas_query_router.settings import Settings


def main() -> int:
    """Run the service until it is told to stop and return its exit status."""
    return run("query-router", Settings, running)


if __name__ == "__main__":
    sys.exit(main())
