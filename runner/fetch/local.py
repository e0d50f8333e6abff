"""A row's file below the base folder, opened with the same care as a download."""

from __future__ import annotations

import stat
from pathlib import Path

from runner.errors import Permanent
from runner.fetch.body import check_size
from runner.fetch.download import Download
from runner.fetch.urls import redact


def open_local(path: Path, url: str, max_bytes: int) -> Download:
    """The file; raises `Permanent` (`file_not_found`, `file_unreadable`, `too_large`, `empty`)."""
    what = redact(url)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise Permanent(f"{what}: not a file below the base folder", code="file_not_found")
        check_size(status.st_size, max_bytes)
        if not status.st_size:
            raise Permanent(f"{what}: the file is empty (0 bytes)", code="empty")
        return Download(path.open("rb"), status.st_size, what)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Permanent(f"{what}: no such file below the base folder", code="file_not_found") from (
            error
        )
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise Permanent(f"{what}: can't read the file ({reason})", code="file_unreadable") from (
            error
        )
