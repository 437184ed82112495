"""The job `keeper`."""

import os
import sys

from atlas_keeper.job import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
