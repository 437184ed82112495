"""Run a campaign of the simulation: `python -m checker.sim --seed 1 --seconds 240 --out build/check`."""

import sys

from checker.campaign import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
