"""The job `keeper`."""

import os
import sys

from atlas_keeper import job


def main() -> int:
    """Do the duties once and return the exit status."""
    return job.main(sys.argv[1:], os.environ)


if __name__ == "__main__":
    sys.exit(main())
