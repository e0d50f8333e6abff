"""`python -m runner.cli`: the same as `backfill`."""

import sys

from runner.cli.group import main

if __name__ == "__main__":
    sys.exit(main())
