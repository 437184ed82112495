"""Run the query router: `python -m atlas_query_router`."""

import sys

from atlaskit.rpc.process import run

from atlas_query_router.app import running
from atlas_query_router.settings import Settings

if __name__ == "__main__":
    sys.exit(run("query-router", Settings, running))
