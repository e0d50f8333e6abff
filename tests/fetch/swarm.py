"""Downloads URLs again and again in 16 threads, and prints what the whole process needed.

    python -m tests.fetch.swarm <URL> ...

Prints JSON: `outcomes`, how often each, and `peak_mb`, the most memory that was resident.
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


def ended(client: Client, url: str) -> str:
    """How a download ended: `ok` or the error's code."""
    try:
        with client.get(url):
            return "ok"
    except (Permanent, Retry) as error:
        return error.code


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
    with Client(limits=limits) as client, ThreadPoolExecutor(THREADS) as pool:
        outcomes = Counter(pool.map(lambda url: ended(client, url), urls * ROUNDS))
    print(json.dumps({"outcomes": outcomes, "peak_mb": round(peak() / 1e6)}))


if __name__ == "__main__":
    main(sys.argv[1:])
