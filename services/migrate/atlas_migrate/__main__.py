"""The job `migrate`."""

import os
import sys

from atlas_migrate import job


def main() -> int:
    """Do the steps once and return the exit status."""
    return job.main(sys.argv[1:], os.environ)


if __name__ == "__main__":
    sys.exit(main())
