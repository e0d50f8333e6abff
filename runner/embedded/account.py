"""The account that PostgreSQL runs under: ours, or an unprivileged one where we are root."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from runner.errors import BackfillError

# `postgres` comes last: it may own the files of a server that matters.
CANDIDATES = ("nobody", "daemon", "postgres")


@dataclass(frozen=True, slots=True)
class Account:
    """A user to run PostgreSQL as; `switch` says that it is not the user we are."""

    name: str
    uid: int
    gid: int
    switch: bool

    def popen(
        self, command: Sequence[str | Path], *, output: IO[bytes] | int
    ) -> subprocess.Popen[bytes]:
        """Start `command` as this account, in a session of its own, with a bare environment.

        Output goes to a file: a pipe held by a server that outlives us would hang our caller.
        The environment is bare since it may hold secrets that this account should not see, and
        PG* variables that would steer the server.
        """
        identity: dict[str, Any] = {}
        if self.switch:
            identity = {"user": self.uid, "group": self.gid, "extra_groups": []}
        try:
            return subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env=_environment(),
                umask=0o077,
                start_new_session=True,
                **identity,
            )
        except OSError as error:
            raise BackfillError(
                f"can't run {command[0]} as {self.name}: {error.strerror or error}"
            ) from error

    def succeeds(self, command: Sequence[str | Path]) -> bool:
        """Whether `command` can be run by this account and exits with 0."""
        try:
            process = self.popen(command, output=subprocess.DEVNULL)
        except BackfillError:
            return False
        return process.wait() == 0

    def can_enter(self, folder: Path) -> bool:
        """Whether this account can pass through `folder` and all that is above it."""
        return not self.switch or self.succeeds(["/bin/sh", "-c", 'cd "$1"', "sh", folder])

    def give(self, path: Path) -> None:
        """Make this account the owner of `path` (not of what is in it)."""
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def server_account() -> Account:
    """Who PostgreSQL runs as: the current user, or an unprivileged account where that is root.

    PostgreSQL refuses to run as root.
    """
    uid = os.geteuid()
    if uid != 0:
        return Account(_name_of(uid), uid, os.getegid(), switch=False)
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid, switch=True)
    raise BackfillError(
        "postgresql can't run as root, and none of the accounts "
        f"{', '.join(CANDIDATES)} exists: run this as another user"
    )


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _environment() -> dict[str, str]:
    kept = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    # PG_GRANDPARENT_PID: see `postmaster.disown`.
    return environment | {
        "LC_ALL": "C",
        "PATH": os.defpath,
        "PG_GRANDPARENT_PID": str(os.getpid()),
        "TZ": "UTC",
    }
