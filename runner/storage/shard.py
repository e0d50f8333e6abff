"""One folder of objects, held open, so that nothing done in it can lead elsewhere."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import IO
from uuid import uuid4

from runner.errors import Permanent, Retry
from runner.storage.content import CHUNK, hash_of

TEMPORARY = ".part"

LOCK_WAIT_S = 10.0
"""Locks are held for as long as reading one file takes; a holder may be stopped, though."""

_LOCK_AGAIN_S = 0.005

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Opening a pipe that somebody put there would wait for its writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_UNSUPPORTED = frozenset(
    {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EBADF}
)


@contextmanager
def open_folder(name: str, parent: int, *, create: bool = False) -> Iterator[int]:
    """A folder within an open one, as a descriptor; a symbolic link is refused (`ELOOP`)."""
    if create:
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
    folder = os.open(name, _FOLDER, dir_fd=parent)
    try:
        yield folder
    finally:
        os.close(folder)


def sync(folder: int) -> None:
    """Make the names in a folder survive a crash, on file systems that can."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


def _lock(folder: int) -> None:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise Retry("another process keeps it locked", code="storage_timeout") from error
            time.sleep(_LOCK_AGAIN_S)
        except OSError as error:
            if error.errno in _UNSUPPORTED:
                return
            raise


class Shard:
    """The files of one folder, given as a descriptor.

    A name appears by a rename of a finished file, under the folder's lock, and goes under that
    lock. The lock ends with the process. Where the file system has no locks (some network mounts)
    two writers of one object both put the same bytes there, and say so.
    """

    def __init__(self, folder: int) -> None:
        self._folder = folder

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # A description of its own, since threads that share one would share its lock.
        own = os.open(".", _FOLDER, dir_fd=self._folder)
        try:
            _lock(own)
            yield
        finally:
            os.close(own)

    def open(self, name: str) -> IO[bytes]:
        """A regular file for reading; raises `FileNotFoundError` where there is none."""
        descriptor = os.open(name, _FILE, dir_fd=self._folder)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return os.fdopen(descriptor, "rb")
        os.close(descriptor)
        raise Permanent(f"{name} is not a regular file", code="bad_path")

    def put(self, file: IO[bytes], name: str, digest: str) -> bool:
        """Store the file under this name unless it is there; whether it was written.

        The name survives a crash once the folder has been given to `sync`.
        """
        with self._locked():
            there = self._holds(name, digest)
        return not there and self._create(file, name, digest)

    def _create(self, file: IO[bytes], name: str, digest: str) -> bool:
        temporary = f".{uuid4().hex}{TEMPORARY}"
        try:
            self._write(file, temporary, digest)
            with self._locked():
                if self._holds(name, digest):
                    return False
                os.rename(temporary, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
                return True
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=self._folder)

    def _holds(self, name: str, digest: str) -> bool:
        """Whether the object is there and whole; then it counts as put now."""
        try:
            file = self.open(name)
        except FileNotFoundError:
            return False
        with file:
            found, _ = hash_of(file)
            if found == digest:
                os.utime(file.fileno())
            return found == digest

    def _write(self, file: IO[bytes], name: str, digest: str) -> None:
        file.seek(0)
        with os.fdopen(os.open(name, _NEW, 0o666, dir_fd=self._folder), "r+b") as new:
            shutil.copyfileobj(file, new, CHUNK)
            new.flush()
            os.fsync(new.fileno())
            found, _ = hash_of(new)
        if found != digest:
            raise Retry("what was written doesn't read back the same", code="storage_mismatch")

    def remove(self, name: str, before: datetime | None) -> bool:
        """Remove a file, with `before` only if put before then; whether it was removed."""
        with self._locked():
            status = self.status(name)
            if status is None or (before is not None and status.st_mtime >= before.timestamp()):
                return False
            os.unlink(name, dir_fd=self._folder)
            return True

    def status(self, name: str) -> os.stat_result | None:
        """What the system knows of a regular file; None where there is none."""
        try:
            status = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return status if stat.S_ISREG(status.st_mode) else None
