"""A local folder as storage."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from runner.errors import Permanent, Retry
from runner.storage.content import check_content, check_media_type, hash_of
from runner.storage.contract import PROBE, Listed, Storage, Stored
from runner.storage.folder_errors import folder_outcomes
from runner.storage.paths import check_prefix, digest_of, is_object_path, is_shard, object_path
from runner.storage.shard import TEMPORARY, Shard, open_folder, sync


class FolderStorage(Storage):
    """Objects in folders of two levels below `root`.

    With `create` a root that is missing is made, though not the folder above it: a mount point
    that isn't mounted should be noticed. The root is held open, so a volume can't be exchanged
    under a running process. Raises `Permanent` (`storage_denied`, `storage_missing`, `bad_path`).
    """

    def __init__(self, root: Path, *, create: bool) -> None:
        self.name = f"storage folder {root}"
        with folder_outcomes(self.name):
            if create:
                root.mkdir(exist_ok=True)
            self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def put(
        self, file: IO[bytes], digest: str, size: int, content_type: str, suffix: str
    ) -> Stored:
        """See `Storage`; a folder keeps no content type, the suffix has to do."""
        path = object_path(digest, suffix)
        check_media_type(content_type)
        check_content(file, digest, size)
        with self._outcomes(), self._shard(path, create=True) as shard:
            return Stored(path, shard.put(file, _name(path), digest))

    def exists(self, path: str) -> bool:
        """See `Storage`."""
        digest_of(path)
        with self._outcomes():
            try:
                with self._shard(path) as shard:
                    return shard.status(_name(path)) is not None
            except FileNotFoundError:
                return False

    def read(self, path: str) -> IO[bytes]:
        """See `Storage`."""
        digest = digest_of(path)
        with self._outcomes():
            file = self._open(path)
            try:
                found, _ = hash_of(file)
                if found != digest:
                    raise Permanent(
                        f"{path} is damaged: its SHA-256 differs", code="object_damaged"
                    )
            except BaseException:
                file.close()
                raise
            return file

    def _open(self, path: str) -> IO[bytes]:
        try:
            with self._shard(path) as shard:
                return shard.open(_name(path))
        except FileNotFoundError as error:
            raise Permanent(f"there is no object {path}", code="object_missing") from error

    def delete(self, path: str, *, before: datetime | None = None) -> bool:
        """See `Storage`."""
        digest_of(path)
        with self._outcomes():
            try:
                with self._shard(path) as shard:
                    return shard.remove(_name(path), before)
            except FileNotFoundError:
                return False

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """See `Storage`."""
        check_prefix(prefix)
        for place, names in self._files(prefix):
            paths = [
                p for n in names if is_object_path(p := f"{place}/{n}") and p.startswith(prefix)
            ]
            if paths:
                with self._outcomes():
                    found = self._listed(place, paths)
                yield from found

    def tidy(self, before: datetime) -> int:
        """See `Storage`."""
        removed = 0
        for place, names in self._files(""):
            left = [name for name in names if name.startswith(".") and name.endswith(TEMPORARY)]
            if left:
                with self._outcomes(), self._shard(f"{place}/") as shard:
                    removed += sum(shard.remove(name, before) for name in left)
        return removed

    def check(self, *, writable: bool) -> None:
        """See `Storage`."""
        with folder_outcomes(self.name):
            with open_folder(".", self._root) as own:
                os.listdir(own)  # noqa: PTH208 - pathlib takes no descriptor
            if writable:
                flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                os.close(os.open(PROBE, flags, dir_fd=self._root))
                with suppress(FileNotFoundError):  # another process is trying the same
                    os.unlink(PROBE, dir_fd=self._root)

    def close(self) -> None:
        """See `Storage`."""
        os.close(self._root)

    @contextmanager
    def _outcomes(self) -> Iterator[None]:
        try:
            with folder_outcomes(self.name):
                yield
        except (Permanent, Retry) as error:
            if str(error).startswith(self.name):
                raise
            raise type(error)(f"{self.name}: {error}", code=error.code) from error

    @contextmanager
    def _shard(self, path: str, *, create: bool = False) -> Iterator[Shard]:
        """The folder that an object with this path is in."""
        with (
            open_folder(path[:2], self._root, create=create) as upper,
            open_folder(path[3:5], upper, create=create) as lower,
        ):
            yield Shard(lower)
            if create:
                # After the rename, from the lowest, and whoever made them: the first writes the
                # journal and the others find nothing to do, while a writer that was killed may
                # have left all three undone.
                for folder in (lower, upper, self._root):
                    sync(folder)

    def _files(self, prefix: str) -> Iterator[tuple[str, Sequence[str]]]:
        """Each folder of objects that can have paths with this prefix, and the files' names."""
        for upper in self._shards(None, prefix[:2]):
            for lower in self._shards(upper, prefix[3:5]):
                yield f"{upper}/{lower}", self._names(upper, lower)

    def _shards(self, upper: str | None, beginning: str) -> Sequence[str]:
        names = self._names(upper)
        return [name for name in names if is_shard(name) and name.startswith(beginning)]

    def _names(self, upper: str | None = None, lower: str | None = None) -> Sequence[str]:
        """Sorted names in the root, an upper or a lower folder; none where it isn't a folder."""
        with self._outcomes():
            try:
                with (
                    # A descriptor of its own: reading names moves a position that threads share.
                    open_folder(upper or ".", self._root) as outer,
                    open_folder(lower or ".", outer) as inner,
                ):
                    return sorted(os.listdir(inner))  # noqa: PTH208 - pathlib takes no descriptor
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                    return []
                raise

    def _listed(self, place: str, paths: Sequence[str]) -> Sequence[Listed]:
        found = []
        with self._shard(f"{place}/") as shard:
            for path in paths:
                status = shard.status(_name(path))
                if status is not None:
                    modified = datetime.fromtimestamp(status.st_mtime, UTC)
                    found.append(Listed(path, status.st_size, modified))
        return found


def _name(path: str) -> str:
    return path[6:]
