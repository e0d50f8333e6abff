"""Where embedded servers keep their files, and how those folders are kept from other users."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path

from runner.embedded.account import Account
from runner.errors import BackfillError

# Bytes in sockaddr_un.sun_path less the closing NUL: 104 on macOS and the BSDs, 108 on Linux.
SOCKET_PATH_MAX = 103
SOCKET_NAME = ".s.PGSQL.5432"


def default_data_dir() -> Path:
    """The data folder of `backfill embedded` and of the demo.

    `$BACKFILL_EMBEDDED_DIR`, else the user's data folder, else (no usable home) a folder of the
    user's own below the temporary one. Root's lies outside of /root, which the account that
    PostgreSQL runs under could not enter.
    """
    named = os.environ.get("BACKFILL_EMBEDDED_DIR")
    return Path(named).expanduser().absolute() if named else support_dir() / "embedded"


def support_dir() -> Path:
    """The folder that holds what embedded servers leave behind for this user."""
    wanted = _system_dir() if os.geteuid() == 0 else _user_dir()
    if wanted is not None and _can_be_made(wanted):
        return wanted
    fallback = Path(tempfile.gettempdir()) / f"pgbackfill-{os.geteuid()}"
    # Anyone can make a folder of this name below /tmp.
    own_folder(fallback, 0o711 if os.geteuid() == 0 else 0o700)
    return fallback


def _system_dir() -> Path:
    return Path("/var/db/pgbackfill" if sys.platform == "darwin" else "/var/lib/pgbackfill")


def _user_dir() -> Path | None:
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if not home.is_dir():
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "pgbackfill"
    data_home = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return (data_home if data_home.is_absolute() else home / ".local" / "share") / "pgbackfill"


def _can_be_made(folder: Path) -> bool:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def own_folder(folder: Path, mode: int) -> None:
    """Make `folder` with `mode`, or see that it is ours alone to write and give it that mode."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise BackfillError(
                f"{folder} is not a folder of the current user: "
                "use another one (BACKFILL_EMBEDDED_DIR) or run this as its owner"
            )
        folder.chmod(mode)
    except OSError as error:
        raise BackfillError(
            f"can't use folder {folder}: {error.strerror}; "
            "name another one with BACKFILL_EMBEDDED_DIR"
        ) from error


def socket_dir(data_dir: Path, account: Account) -> Path:
    """The folder of a server's socket: below its data, or in /tmp where that path won't do.

    It won't where it is too long, or has a comma, which separates hosts in a connection string.
    The choice is kept in the data folder, so that a server's URL survives a restart.
    """
    beside = data_dir / "s"
    if _fits(beside):
        _private(beside, account)
        return beside
    note = data_dir / "socket-dir"
    if note.exists():
        noted = Path(note.read_text().strip())
        if _is_private(noted, account):
            return noted
    for parent in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108
        made = _temporary(parent, account)
        if made is not None:
            note.write_text(f"{made}\n")
            return made
    raise BackfillError(f"found no folder short enough for the socket of {data_dir}: set TMPDIR")


def noted_socket_dir(data_dir: Path) -> Path:
    """The folder that `socket_dir` chose for `data_dir`; makes nothing."""
    note = data_dir / "socket-dir"
    if _fits(data_dir / "s") or not note.exists():
        return data_dir / "s"
    return Path(note.read_text().strip())


def _fits(folder: Path) -> bool:
    return "," not in str(folder) and len(os.fsencode(folder / SOCKET_NAME)) <= SOCKET_PATH_MAX


def _temporary(parent: Path, account: Account) -> Path | None:
    try:
        made = Path(tempfile.mkdtemp(prefix="pgbackfill-", dir=parent))
    except OSError:
        return None
    if _fits(made) and account.can_enter(parent):
        account.give(made)
        return made
    made.rmdir()
    return None


def _private(folder: Path, account: Account) -> None:
    if not folder.exists():
        folder.mkdir(mode=0o700)
        account.give(folder)
    elif not _is_private(folder, account):
        raise BackfillError(f"{folder} should be a folder that only {account.name} can enter")


def _is_private(folder: Path, account: Account) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == account.uid
    return ours and stat.S_IMODE(found.st_mode) == 0o700
