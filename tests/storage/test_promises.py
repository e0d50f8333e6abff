"""What every storage promises, whatever it is made of."""

from __future__ import annotations

import io
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import SpooledTemporaryFile

import pytest

from runner.errors import Permanent
from runner.storage import ORPHAN_AGE, Storage
from tests.storage.places import BucketPlace, Place
from tests.storage.samples import digest_of, path_of, put, read, some_bytes

DATA = b"not really a picture"
HOUR = timedelta(hours=1)
ROOT = str(Path(__file__).parents[2])


def test_what_was_put_can_be_read(storage: Storage, place: Place) -> None:
    """An object comes back as it was, from the path that its digest gives."""
    stored = put(storage, DATA)
    assert stored == (path_of(DATA), True)
    assert storage.exists(stored.path)
    assert read(storage, stored.path) == DATA
    assert place.files() == {path_of(DATA): DATA}


def test_putting_again_changes_nothing(storage: Storage, place: Place) -> None:
    """A repeated upload is the same object, and says that it was there."""
    assert put(storage, DATA).created
    assert put(storage, DATA) == (path_of(DATA), False)
    assert place.files() == {path_of(DATA): DATA}


def test_the_position_does_not_matter(storage: Storage) -> None:
    """A file is stored from its beginning, wherever it was read to, and stays open."""
    with SpooledTemporaryFile(max_size=5) as file:
        file.write(DATA)
        assert read(storage, put(storage, DATA, file=file).path) == DATA
        assert not file.closed


def test_an_empty_file(storage: Storage) -> None:
    """A file without a byte is an object like any other."""
    assert read(storage, put(storage, b"").path) == b""


def test_a_suffix_may_be_missing(storage: Storage) -> None:
    """An object may have no suffix."""
    stored = storage.put(io.BytesIO(DATA), digest_of(DATA), len(DATA), "image/png", "")
    assert stored.path == path_of(DATA, "")
    assert read(storage, stored.path) == DATA


@pytest.mark.parametrize(
    "digest,size", [(digest_of(b"other"), len(DATA)), (digest_of(DATA), len(DATA) - 1)]
)
def test_other_bytes_than_said_are_refused(
    storage: Storage, place: Place, digest: str, size: int
) -> None:
    """Nothing is stored under a digest or a size that isn't its own."""
    with pytest.raises(Permanent, match="not stored") as refused:
        storage.put(io.BytesIO(DATA), digest, size, "image/jpeg", ".jpg")
    assert refused.value.code == "wrong_digest"
    assert place.files() == {}


MALFORMED = [
    ("../../etc/passwd", "image/jpeg", ".jpg"),
    (digest_of(DATA).upper(), "image/jpeg", ".jpg"),
    (digest_of(DATA)[:-1], "image/jpeg", ".jpg"),
    (digest_of(DATA), "image/jpeg", "/../../x"),
    (digest_of(DATA), "image/jpeg", ".jpg\n"),
    (digest_of(DATA), "image/jpeg\r\nx-amz-acl: public-read", ".jpg"),
]


def test_malformed_arguments_are_refused(storage: Storage, place: Place) -> None:
    """Digest, media type and suffix can't carry anything else to the storage."""
    for digest, media_type, suffix in MALFORMED:
        with pytest.raises(ValueError, match="not a "):
            storage.put(io.BytesIO(DATA), digest, len(DATA), media_type, suffix)
    assert place.files() == {}


ELSEWHERE = [
    "",
    "/etc/passwd",
    "../secret",
    f"../{path_of(DATA)}",
    f"/{path_of(DATA)}",
    f"{path_of(DATA)}/../../../../secret",
    f"00/00/{digest_of(DATA)}.jpg",
    f"{path_of(DATA)}\0",
    f"{path_of(DATA)}\n",
    path_of(DATA).upper(),
    path_of(DATA).replace("/", "//"),
    ".backfill-check",
]


def test_paths_lead_nowhere_else(storage: Storage) -> None:
    """Only what could be the path of an object is looked for at all."""
    calls: list[Callable[[str], object]] = [storage.exists, storage.read, storage.delete]
    for call, path in itertools.product(calls, ELSEWHERE):
        with pytest.raises(Permanent) as refused:
            call(path)
        assert refused.value.code == "bad_path"


def test_prefixes_lead_nowhere_else(storage: Storage) -> None:
    """Only what objects' paths can begin with is listed."""
    for prefix in ("..", "/", "ab/../", "abc", "ab/cde", "AB", "ab/\n"):
        with pytest.raises(Permanent) as refused:
            list(storage.list(prefix))
        assert refused.value.code == "bad_path"


def test_what_is_not_there(storage: Storage) -> None:
    """A missing object doesn't exist, can't be read, and need not be deleted."""
    path = path_of(DATA)
    assert not storage.exists(path)
    assert not storage.delete(path)
    with pytest.raises(Permanent, match=path) as missing:
        storage.read(path)
    assert missing.value.code == "object_missing"


def test_deleting(storage: Storage, place: Place) -> None:
    """A deleted object is gone, and can be put again."""
    path = put(storage, DATA).path
    assert storage.delete(path)
    assert place.files() == {}
    assert put(storage, DATA).created


def test_the_young_are_not_deleted(storage: Storage, place: Place) -> None:
    """With a time given, only what was put before then is deleted."""
    old, young = b"old", b"young"
    place.plant(path_of(old), old, age=25 * HOUR)
    put(storage, young)
    then = datetime.now(UTC) - ORPHAN_AGE
    assert storage.delete(path_of(old), before=then)
    assert not storage.delete(path_of(young), before=then)
    assert place.files() == {path_of(young): young}


def test_putting_makes_young_again(storage: Storage, place: Place) -> None:
    """An old object that is put again is no orphan to anybody who looks at its age."""
    place.plant(path_of(DATA), DATA, age=25 * HOUR)
    assert put(storage, DATA) == (path_of(DATA), False)
    assert not storage.delete(path_of(DATA), before=datetime.now(UTC) - HOUR)
    (listed,) = storage.list()
    assert listed.modified > datetime.now(UTC) - HOUR


def test_listing(storage: Storage) -> None:
    """All objects are listed with size and time, in the order of their paths."""
    put_at = datetime.now(UTC)
    sizes = {put(storage, data).path: len(data) for data in some_bytes(8)}
    found = list(storage.list())
    assert [path for path, _, _ in found] == sorted(sizes)
    assert {path: size for path, size, _ in found} == sizes
    assert all(abs(modified - put_at) < timedelta(minutes=1) for _, _, modified in found)


def test_listing_by_prefix(storage: Storage) -> None:
    """A prefix of any length lists the objects whose paths begin with it."""
    paths = sorted(put(storage, data).path for data in some_bytes(6))
    for length in (1, 3, 5, len(paths[0])):
        prefix = paths[0][:length]
        expected = [path for path in paths if path.startswith(prefix)]
        assert [listed.path for listed in storage.list(prefix)] == expected


def test_strangers_are_not_listed(storage: Storage, place: Place) -> None:
    """Files that somebody else put there are none of the storage's business."""
    path = put(storage, DATA).path
    for stranger in ("readme.txt", "ab/cd/notes.txt", f"00/00/{digest_of(DATA)}.jpg", "zz/x"):
        place.plant(stranger, b"theirs")
    assert [listed.path for listed in storage.list()] == [path]


def test_a_damaged_object_is_noticed_and_mended(storage: Storage, place: Place) -> None:
    """Other bytes at an object's path can't be read as it, and the next put replaces them."""
    for damaged in (DATA[:-1], DATA[:-1] + b"X"):
        place.plant(path_of(DATA), damaged)
        with pytest.raises(Permanent, match="damaged") as refused:
            storage.read(path_of(DATA))
        assert refused.value.code == "object_damaged"
        assert put(storage, DATA).created
        assert read(storage, path_of(DATA)) == DATA


def test_one_object_by_many_threads(storage: Storage, place: Place) -> None:
    """Threads that put the same object at once all succeed, and there is one."""
    with ThreadPoolExecutor(8) as threads:
        stored = list(threads.map(lambda _: put(storage, DATA), range(8)))
    assert {one.path for one in stored} == {path_of(DATA)}
    assert sum(one.created for one in stored) >= 1
    assert place.files() == {path_of(DATA): DATA}


PUTTING = """
import io, json, sys
from runner.storage import open_storage
from tests.storage.samples import put, some_bytes
url, options = sys.argv[1], json.loads(sys.argv[2])
with open_storage(url, **options) as storage:
    print("open", flush=True)
    sys.stdin.readline()
    print(json.dumps([put(storage, data).created for data in some_bytes(8)]))
"""


def test_the_same_objects_by_several_processes(place: Place) -> None:
    """Processes that put the same objects at once all succeed, and each object is there once."""
    number = 2 if isinstance(place, BucketPlace) else 4  # importing the SDK takes a while
    command = [sys.executable, "-P", "-c", PUTTING, place.url, json.dumps(place.options)]
    processes = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env=environment(),
        )
        for _ in range(number)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
    created = [json.loads(process.communicate("go\n", 30)[0]) for process in processes]
    assert [any(by) for by in zip(*created, strict=True)] == [True] * 8
    assert place.files() == {path_of(data): data for data in some_bytes(8)}


BIG = """
import hashlib, json, sys, tempfile, tracemalloc
from runner.storage import open_storage
piece, pieces = bytes(range(256)) * 4096, 32
url, options = sys.argv[1], json.loads(sys.argv[2])
with open_storage(url, **options) as storage, tempfile.TemporaryFile() as file:
    digest = hashlib.sha256()
    for _ in range(pieces):
        file.write(piece)
        digest.update(piece)
    tracemalloc.start()
    path = storage.put(file, digest.hexdigest(), len(piece) * pieces, "image/png", ".png").path
    storage.read(path).close()
print(tracemalloc.get_traced_memory()[1])
"""


def test_memory_is_bounded(place: Place) -> None:
    """Putting and reading 32 MB takes less than 12 MB of memory more."""
    command = [sys.executable, "-P", "-c", BIG, place.url, json.dumps(place.options)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment())
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 12_000_000
    assert [len(data) for data in place.files().values()] == [32 << 20]


def environment() -> dict[str, str]:
    """This process's environment, for a child that imports the checkout."""
    return {**os.environ, "PYTHONPATH": ROOT}
