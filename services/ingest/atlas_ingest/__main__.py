"""The process `ingest`."""

import sys

from atlaskit.rpc.process import run

from atlas_ingest.app import SERVICE, running
from atlas_ingest.settings import Settings

if __name__ == "__main__":
    sys.exit(run(SERVICE, Settings, running))
