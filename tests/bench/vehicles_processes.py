"""A run of a task as processes: watched for their memory, and killed now and then."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import psycopg

LOOK_EVERY_S = 0.05
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


@dataclass
class Ran:
    """How a run went; `peaks` is the most memory that was resident in bytes, by process."""

    seconds: float = 0.0
    kills: int = 0
    exit_code: int | None = None
    said: str = ""
    peaks: dict[int, int] = field(default_factory=dict)


def run(
    url: str,
    arguments: Sequence[str],
    log: Path,
    *,
    task: str = "vehicle_images",
    kill_every: float | None = None,
    most_kills: int | None = None,
    patience: float = 3600,
    seed: int = 1,
) -> Ran:
    """`backfill run` of the task with these arguments, to its end; None as exit code: too long.

    With `kill_every`, one of its processes is drawn and killed at each so many seconds, until
    `most_kills` were. `log` takes what the processes say.
    """
    ran, chance = Ran(), Random(seed)
    command = [sys.executable, "-m", "runner", "run", task, *arguments]
    with (
        log.open("wb") as out,
        psycopg.connect(url, autocommit=True) as connection,
        subprocess.Popen(
            command, env={**os.environ, "DATABASE_URL": url}, stdin=subprocess.DEVNULL,
            stdout=out, stderr=subprocess.STDOUT,
        ) as process,
    ):  # fmt: skip
        began = time.monotonic()
        next_kill = began + (kill_every or 0)
        try:
            while process.poll() is None and time.monotonic() - began < patience:
                _measure([process.pid, *children(process.pid)], ran.peaks)
                if (
                    kill_every is not None
                    and time.monotonic() >= next_kill
                    and ran.kills != most_kills
                ):
                    ran.kills += _kill_one(connection, process.pid, chance)
                    next_kill += kill_every
                time.sleep(LOOK_EVERY_S)
            ran.exit_code = process.poll()
        finally:
            if process.poll() is None:
                # its children follow
                process.kill()
        ran.seconds = time.monotonic() - began
    ran.said = log.read_text(errors="replace")
    return ran


def children(pid: int) -> list[int]:
    """Process ids of a process's children, whichever of its threads started them."""
    tasks = Path(f"/proc/{pid}/task")
    try:
        found = [(task / "children").read_text() for task in tasks.iterdir()]
    except OSError:
        if tasks.exists() or Path("/proc/self").exists():
            return []  # it ended just now
        found = [subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout]
    return [int(child) for line in found for child in line.split()]


def _measure(pids: Sequence[int], peaks: dict[int, int]) -> None:
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue  # it ended just now, or the system doesn't tell
        for kilobytes in _PEAK.findall(status):
            # a number may come round again
            peaks[pid] = max(peaks.get(pid, 0), int(kilobytes) * 1024)


def _kill_one(connection: psycopg.Connection[Any], parent: int, chance: Random) -> int:
    """Kill -9 a child, if the one drawn has joined the run; how many were killed."""
    pids = children(parent)
    if not pids:
        return 0
    drawn = chance.choice(sorted(pids))
    # one that is starting has nothing to lose; five of them in a row would end the run
    joined = "select from backfill.runner where status = 'live' and pid = %s"
    if connection.execute(joined, [drawn]).fetchone() is None:
        return 0
    try:
        os.kill(drawn, signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return 1
