"""The command line: `backfill`."""

from runner.cli.group import main

__all__ = ["main"]
