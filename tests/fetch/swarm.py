"""Downloads URLs again and again in 16 threads, and prints what the whole process needed.

    python -m tests.fetch.swarm <URL> ...

All names stand for 127.0.0.1. Prints JSON: `outcomes`, how often each; `peak_mb`, the most memory
that was resident; `files`, how many more descriptors were open than before at most, and
`files_left` after.
"""

from __future__ import annotations

import json
import re
import resource
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runner.errors import Permanent, Retry
from runner.fetch import Client, Limits

THREADS = 16
ROUNDS = 8


def ended(client: Client, url: str) -> tuple[str, int]:
    """How a download ended (`ok` or the error's code), and how many files were open then."""
    try:
        with client.get(url):
            return "ok", open_files()
    except (Permanent, Retry) as error:
        return error.code, open_files()


def open_files() -> int:
    """Descriptors of this process."""
    return len(list(Path("/dev/fd").iterdir()))


def peak() -> int:
    """The most memory that was resident, bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage() on Linux begins with what the process had that started this one
        (kilobytes,) = re.findall(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
        return int(kilobytes) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(urls: list[str]) -> None:
    """Each URL once a round, all of them at once."""
    limits = Limits(max_bytes=10_000_000, total_s=60.0)
    before = open_files()
    with (
        Client(limits=limits, resolve=lambda *_: ["127.0.0.1"]) as client,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        ends = list(pool.map(lambda url: ended(client, url), urls * ROUNDS))
    told = {
        "outcomes": Counter(code for code, _ in ends),
        "peak_mb": round(peak() / 1e6),
        "files": max(files for _, files in ends) - before,
        "files_left": open_files() - before,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1:])
