"""What a failure of the file system means for a row."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from runner.errors import Permanent, Retry, RowOutcome

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NOT_A_FOLDER = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST})


@contextmanager
def folder_outcomes(name: str) -> Iterator[None]:
    """Turn errors of the system within the block into `Permanent` or `Retry`."""
    try:
        yield
    except OSError as error:
        raise _outcome(error, name) from error


def _outcome(error: OSError, name: str) -> RowOutcome:
    reason = (error.strerror or type(error).__name__).lower()
    if error.errno in _FULL:
        return Permanent(f"{name}: no room ({reason}); make room or move it", code="storage_full")
    if error.errno in _DENIED:
        return Permanent(
            f"{name}: can't be used ({reason}); let this process's user read and write it",
            code="storage_denied",
        )
    if error.errno == errno.ENOENT:
        return Permanent(
            f"{name}: there is no such folder; create it, or mount what it is on",
            code="storage_missing",
        )
    if error.errno in _NOT_A_FOLDER:
        return Permanent(
            f"{name}: something else stands where it keeps a folder or a file ({reason})",
            code="bad_path",
        )
    return Retry(f"{name}: {reason}", code="storage_io")
