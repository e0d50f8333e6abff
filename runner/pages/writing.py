"""Writes a page to where it was asked for, all of it or nothing."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from runner.errors import BackfillError, UsageError


def check_target(path: Path) -> None:
    """Raise `UsageError` where a file can't be written to, before anything is done for it."""
    target = path.resolve()
    if target.exists() and not target.is_file():
        what = "a folder" if target.is_dir() else "no regular file"
        raise UsageError(f"can't write {path}: it is {what}; name a file")
    if not target.parent.is_dir():
        raise UsageError(f"can't write {path}: there is no folder {path.parent}; create it")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise UsageError(f"can't write {path}: no right to create files in {path.parent}")


def write_page(path: Path, text: str) -> int:
    """Replace the file at once, or leave it as it was; the bytes written.

    A new file gets the rights that any other would, a replaced one keeps its own. Raises
    `BackfillError` where the system refuses.
    """
    target, data = path.resolve(), text.encode()
    temporary = None
    try:
        number, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(number, "wb") as file:
            os.fchmod(file.fileno(), _rights(target))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(target)
    except OSError as error:
        raise BackfillError(f"can't write {path}: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            # gone already if it took its place
            with suppress(FileNotFoundError):
                Path(temporary).unlink()
    return len(data)


def _rights(target: Path) -> int:
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask
