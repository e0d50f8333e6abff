"""A local folder: crashes, full disks, links that lead elsewhere, and locks."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runner.errors import Permanent, Retry
from runner.storage import Storage, shard
from tests.storage.places import FolderPlace
from tests.storage.samples import digest_of, path_of, put, read, some_bytes

DATA = b"not really a picture"
HOUR = timedelta(hours=1)
ROOT = str(Path(__file__).parents[2])

STUCK = """
import io, sys
from runner.storage import open_storage
from tests.storage.samples import digest_of, put

class Stuck(io.BytesIO):
    rounds = 0

    def read(self, size=-1):
        if self.tell() == 0:
            self.rounds += 1
        elif self.rounds == 2:  # the second reading is the one that writes
            print("half-way", flush=True)
            sys.stdin.read()
        return super().read(min(size, 500_000))

data = bytes(1_000_000)
with open_storage(sys.argv[1]) as storage:
    put(storage, data, file=Stuck(data))
"""


@contextmanager
def half_written(place: FolderPlace) -> Iterator[subprocess.Popen[str]]:
    """A process that has written half of an object of a million zeros."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", STUCK, place.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ROOT},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "half-way\n"
        yield process
        process.kill()


def leftovers(place: FolderPlace) -> list[Path]:
    """Temporary files below the folder."""
    return list(place.root.rglob("*.part"))


def test_killed_in_the_middle(in_folder: Storage, folder: FolderPlace) -> None:
    """A writer that is killed half-way leaves nothing that can be seen, and nothing in the way."""
    data = bytes(1_000_000)
    with half_written(folder) as process:
        assert not in_folder.exists(path_of(data))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert len(leftovers(folder)) == 1
    assert list(in_folder.list()) == []
    assert not in_folder.exists(path_of(data))
    assert put(in_folder, data).created
    assert read(in_folder, path_of(data)) == data


def test_tidying_up(in_folder: Storage, folder: FolderPlace) -> None:
    """What a killed writer left is removed once it is old, and nothing else is."""
    with half_written(folder):
        pass
    put(in_folder, DATA)
    assert in_folder.tidy(datetime.now(UTC) - HOUR) == 0
    (left,) = leftovers(folder)
    os.utime(left, (0, 0))
    assert in_folder.tidy(datetime.now(UTC) - HOUR) == 1
    assert folder.files() == {path_of(DATA): DATA}


FULL = """
import resource, signal, sys
from runner.errors import Permanent
from runner.storage import open_storage
from tests.storage.samples import put
with open_storage(sys.argv[1]) as storage:
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    put(storage, b"fits")
    try:
        put(storage, bytes(200_000))
    except Permanent as error:
        print(error.code, error)
"""


def test_a_full_disk(folder: FolderPlace) -> None:
    """An object that doesn't fit fails for good, says why, and leaves nothing behind."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", FULL, folder.url],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ROOT},
    )
    assert done.stdout.startswith(f"storage_full storage folder {folder.url}: no room"), done
    assert folder.files() == {path_of(b"fits"): b"fits"}


@pytest.mark.parametrize(
    "number,kind,code",
    [
        (errno.ENOSPC, Permanent, "storage_full"),
        (errno.EDQUOT, Permanent, "storage_full"),
        (errno.EROFS, Permanent, "storage_denied"),
        (errno.EIO, Retry, "storage_io"),
        (errno.ESTALE, Retry, "storage_io"),
    ],
)
def test_errors_of_the_system(
    in_folder: Storage,
    folder: FolderPlace,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[Permanent] | type[Retry],
    code: str,
) -> None:
    """An error is for good or worth another attempt, in one line, and the object isn't there."""

    def fail(_file: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("runner.storage.shard.os.fsync", fail)
        with pytest.raises(kind) as failed:
            put(in_folder, DATA)
    assert isinstance(failed.value, Permanent | Retry)
    assert failed.value.code == code
    assert "\n" not in str(failed.value)
    assert folder.files() == {}


def test_what_reads_back_differently_is_not_stored(
    in_folder: Storage, folder: FolderPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that the disk got wrong never becomes visible, and is worth another attempt."""

    def wrong(source: Any, target: Any, _length: int) -> None:
        target.write(source.read()[::-1])

    with monkeypatch.context() as patch:
        patch.setattr("runner.storage.shard.shutil.copyfileobj", wrong)
        with pytest.raises(Retry) as failed:
            put(in_folder, DATA)
    assert failed.value.code == "storage_mismatch"
    assert folder.files() == {}
    assert put(in_folder, DATA).created


@pytest.mark.parametrize("length", [2, 5])
def test_folders_that_are_links(
    in_folder: Storage, folder: FolderPlace, tmp_path: Path, length: int
) -> None:
    """A symbolic link in place of a folder is not followed, whatever is asked for."""
    outside = tmp_path / "outside"
    inner = outside / path_of(DATA)[length + 1 :]
    inner.parent.mkdir(parents=True)
    inner.write_bytes(DATA)
    link = folder.root / path_of(DATA)[:length]
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    for call in (in_folder.exists, in_folder.read, in_folder.delete):
        with pytest.raises(Permanent) as refused:
            call(path_of(DATA))
        assert refused.value.code == "bad_path"
    with pytest.raises(Permanent):
        put(in_folder, DATA)
    assert list(in_folder.list()) == []
    assert [file for file in outside.rglob("*") if file.is_file()] == [inner]


def test_objects_that_are_links(in_folder: Storage, folder: FolderPlace, tmp_path: Path) -> None:
    """A symbolic link in place of an object is no object."""
    outside = tmp_path / "outside"
    outside.write_bytes(DATA)
    link = folder.root / path_of(DATA)
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    assert not in_folder.exists(path_of(DATA))
    assert list(in_folder.list()) == []
    with pytest.raises(Permanent) as refused:
        in_folder.read(path_of(DATA))
    assert refused.value.code == "bad_path"
    assert not in_folder.delete(path_of(DATA))
    assert link.is_symlink()


def test_pipes_are_not_waited_for(in_folder: Storage, folder: FolderPlace) -> None:
    """A named pipe or a folder in place of an object is refused at once."""
    place = folder.root / path_of(DATA)
    place.parent.mkdir(parents=True)
    os.mkfifo(place)
    with pytest.raises(Permanent, match="not a regular file"):
        in_folder.read(path_of(DATA))
    place.unlink()
    place.mkdir()
    with pytest.raises(Permanent, match="not a regular file"):
        put(in_folder, DATA)


def test_modes_are_as_the_user_has_set_them(in_folder: Storage, folder: FolderPlace) -> None:
    """Who may read an object is up to the umask, as with any other file."""
    before = os.umask(0o027)
    try:
        path = put(in_folder, DATA).path
    finally:
        os.umask(before)
    file = folder.root / path
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o750


def test_exactly_one_creates(in_folder: Storage) -> None:
    """Of threads that put the same objects at once, one says that it created each."""
    for data in some_bytes(10):
        with ThreadPoolExecutor(4) as threads:
            stored = list(threads.map(lambda _, d=data: put(in_folder, d), range(4)))
        assert sum(one.created for one in stored) == 1


def test_an_orphan_that_is_put_again_stays(in_folder: Storage, folder: FolderPlace) -> None:
    """Whoever collects orphans and a put at the same moment never lose the object."""
    start = threading.Barrier(2)

    def collect() -> None:
        start.wait()
        in_folder.delete(path_of(DATA), before=datetime.now(UTC) - HOUR)

    for _ in range(50):
        folder.plant(path_of(DATA), DATA, age=25 * HOUR)
        collector = threading.Thread(target=collect)
        collector.start()
        start.wait()
        put(in_folder, DATA)
        collector.join()
        assert in_folder.exists(path_of(DATA))


@contextmanager
def held(place: FolderPlace) -> Iterator[None]:
    """The lock of the folder that `DATA` goes to, held by somebody else."""
    folder = os.open((place.root / path_of(DATA)).parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(folder)


def test_a_lock_that_is_kept(
    in_folder: Storage, folder: FolderPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who keeps a lock is not waited for without an end."""
    put(in_folder, DATA)
    monkeypatch.setattr(shard, "LOCK_WAIT_S", 0.05)
    with held(folder), pytest.raises(Retry, match="keeps it locked") as failed:
        put(in_folder, DATA)
    assert failed.value.code == "storage_timeout"
    assert not put(in_folder, DATA).created


def test_a_lock_that_is_given_back(in_folder: Storage, folder: FolderPlace) -> None:
    """A put waits for its turn."""
    put(in_folder, DATA)
    with ThreadPoolExecutor(1) as threads:
        with held(folder):
            waiting = threads.submit(put, in_folder, DATA)
            with pytest.raises(TimeoutError):
                waiting.result(0.05)
        assert waiting.result(10) == (path_of(DATA), False)


def test_no_locks_at_all(
    in_folder: Storage, folder: FolderPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system without locks will do."""

    def fail(_folder: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("runner.storage.shard.fcntl.flock", fail)
    assert put(in_folder, DATA).created
    assert not put(in_folder, DATA).created
    assert in_folder.delete(path_of(DATA))


def test_nothing_is_left_open(in_folder: Storage) -> None:
    """Files and folders are closed again, also after errors."""
    open_files = Path("/dev/fd")

    def number() -> int:
        return sum(1 for _ in open_files.iterdir())

    put(in_folder, DATA)
    before = number()
    for _ in range(3):
        put(in_folder, DATA)
        read(in_folder, path_of(DATA))
        list(in_folder.list())
        with pytest.raises(Permanent):
            in_folder.read(path_of(b"missing"))
        with pytest.raises(Permanent):
            in_folder.put(io.BytesIO(DATA), digest_of(b"other"), len(DATA), "image/jpeg", ".jpg")
    assert number() == before
