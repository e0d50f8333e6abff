"""A command for tests: it writes down what it was told, and ends as it is told to.

`notes.py FILE [exit CODE | hang | until FILE]`
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any


def told(path: Path) -> list[dict[str, Any]]:
    """What a command wrote down, one object for each time that it was run."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main() -> int:
    """Write a line, as one write, and end."""
    path, *how = sys.argv[1:]
    ours = {name: value for name, value in os.environ.items() if name.startswith("BACKFILL_")}
    line = json.dumps({"message": json.load(sys.stdin), "environment": ours})
    with Path(path).open("a") as file:
        file.write(line + "\n")
    if how[:1] == ["hang"]:
        time.sleep(600)
    while how[:1] == ["until"] and not Path(how[1]).exists():
        time.sleep(0.01)
    if how[:1] == ["exit"]:
        print("it is a holiday\n")
        return int(how[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
