"""Recognises a running server by its postmaster.pid, and never mistakes another process for it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PidFile:
    """What a server wrote into its postmaster.pid; `ready` when it takes connections."""

    pid: int
    ready: bool


def read_pid_file(pgdata: Path) -> PidFile | None:
    """The contents of the pid file in `pgdata`, or None where there is none or it is cut off."""
    try:
        lines = (pgdata / "postmaster.pid").read_text(errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        pid = int(lines[0])
    except (IndexError, ValueError):
        return None
    # A single-user server writes its pid negated.
    return PidFile(abs(pid), ready=len(lines) > 7 and lines[7].strip() == "ready")


def running_pid(pgdata: Path) -> int | None:
    """The process id of the server of `pgdata` where one runs.

    A pid file may be left from a crash, and its number may since have gone to somebody else.
    """
    written = read_pid_file(pgdata)
    if written is None or not is_server_of(pgdata, written.pid):
        return None
    return written.pid


def is_server_of(pgdata: Path, pid: int) -> bool:
    """Whether process `pid` is alive (a zombie is not) and the PostgreSQL server of `pgdata`."""
    has_proc = Path("/proc/self/cwd").exists()
    return _is_server_by_proc(pgdata, pid) if has_proc else is_server_by_ps(pgdata, pid)


def _is_server_by_proc(pgdata: Path, pid: int) -> bool:
    """A server's working folder is its data folder; so may be a shell's, hence its name too."""
    process = Path("/proc", str(pid))
    try:
        named = (process / "comm").read_text().strip() == "postgres"
        return named and (process / "cwd").samefile(pgdata)
    except OSError:
        return False


def is_server_by_ps(pgdata: Path, pid: int) -> bool:
    """The same by the command line, which is all that macOS shows of another process."""
    done = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    program, _, arguments = done.stdout.strip().partition(" -D ")
    return program.endswith("/postgres") and arguments.startswith(f"{pgdata} ")


def disown(pgdata: Path) -> None:
    """Make a stale pid file harmless where its number belongs to an unrelated live process.

    PostgreSQL would refuse to start. Removing the file would lose its other guard, the shared
    memory of backends that outlived their server; so the number is replaced by ours, which
    PostgreSQL knows as its parent's or, by PG_GRANDPARENT_PID, grandparent's and passes over.
    Call this only where `running_pid` is None.
    """
    path = pgdata / "postmaster.pid"
    try:
        # The folder may belong to an account that we, being root, do not trust with links.
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    with os.fdopen(descriptor, "r+", errors="replace") as file:
        if os.fstat(file.fileno()).st_nlink != 1:
            raise OSError(f"{path} has more than one name")
        rest = file.read().split("\n", 1)
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n{rest[1] if len(rest) > 1 else ''}")
