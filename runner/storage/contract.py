"""What a storage promises, whatever it is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime, timedelta
from types import TracebackType
from typing import IO, NamedTuple, Self

ORPHAN_AGE = timedelta(hours=24)
"""Objects younger than this may belong to a transaction that is still to commit.

`put` renews an object that it finds to be there already, at the latest when that is
`bucket.RENEWED_AFTER` old. So whoever collects orphans lists the objects, then asks the database
which paths it knows, and deletes the others with `before` this long ago.
"""

PROBE = ".backfill-check"
"""What `check` writes: one small file, never listed."""


class Stored(NamedTuple):
    """Where an object is; `created` is false where it was there already."""

    path: str
    created: bool


class Listed(NamedTuple):
    """An object in the storage: its size in bytes and when it was last put, in UTC."""

    path: str
    size: int
    modified: datetime


class Storage(ABC):
    """Objects that never change: an object's path is its SHA-256, as in `ab/cd/<sha256>.jpg`.

    Safe for use by several threads, processes and hosts at once. Close it, or use it as a
    context manager. Every method raises `Retry` (`storage_throttled`, which doesn't count against
    the row, `storage_unavailable`, `storage_timeout`, `storage_connection`, `storage_io`,
    `storage_mismatch`) where another attempt may succeed, and `Permanent` (`storage_denied`,
    `storage_missing`, `storage_full`, `storage_refused`, `bad_path`) where it can't.
    """

    name: str
    """What messages call it; without secrets."""

    @abstractmethod
    def put(
        self, file: IO[bytes], digest: str, size: int, content_type: str, suffix: str
    ) -> Stored:
        """Store a whole seekable file, from its beginning whatever its position.

        `digest` is its SHA-256 in lower-case hex, `size` its bytes, `suffix` empty or such as
        ".jpg". It returns once the object has been checked by size and checksum and will survive
        a crash; until then nobody sees it. Raises `Permanent` (`wrong_digest`) where the file is
        not what `digest` and `size` say, `ValueError` where these are malformed.
        """

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Whether there is an object at this path."""

    @abstractmethod
    def read(self, path: str) -> IO[bytes]:
        """The object as a file at its beginning, checked against its digest; the caller closes it.

        Raises `Permanent` (`object_missing`, `object_damaged`).
        """

    @abstractmethod
    def delete(self, path: str, *, before: datetime | None = None) -> bool:
        """Delete an object and say whether it was there; with `before`, only if put before then."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[Listed]:
        """Objects whose paths begin with `prefix`, in the order of their paths.

        Files that `put` didn't write aren't listed. What is put or deleted meanwhile may be
        listed or not.
        """

    @abstractmethod
    def tidy(self, before: datetime) -> int:
        """Remove what writers that were killed before then have left; the number of files."""

    @abstractmethod
    def check(self, *, writable: bool) -> None:
        """Raise what every other method would raise if the storage can't be used at all.

        With `writable` it tries to write; otherwise nothing is changed.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back what the process holds: connections or an open folder."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
