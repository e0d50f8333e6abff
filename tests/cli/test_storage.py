"""`backfill storage gc`: what nobody keeps is deleted, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from botocore.loaders import create_loader

from runner.cli import storage_collect
from runner.cli.storage import LEAST_AGE
from runner.database import migrate
from runner.database.session import Session
from runner.errors import ExitCode
from runner.storage.bucket import RENEWED_AFTER
from tests.cli.conftest import Backfill, Ended
from tests.engine.roles import login
from tests.plugins.database import Database, DatabaseTemplate, NewDatabase
from tests.storage.places import BucketPlace, FolderPlace, Place
from tests.storage.samples import path_of, some_bytes
from tests.storage.service import Service, emulator

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
KEPT, ORPHAN, YOUNG = b"kept", b"orphan", b"young"

TASK = """
create table public.{task}_file (path text primary key);
create function backfill.keeps_{task}(p_paths text[]) returns setof text
language sql stable set search_path = pg_catalog, pg_temp as
    'select f.path from public.{task}_file f where f.path = any (p_paths)';
select backfill.register_task('{task}', 1, 'Stores files.');
"""


class Collecting:
    """`backfill storage gc` on a place and a database with a task `pictures` that stores files."""

    def __init__(self, backfill: Backfill, database: Database, place: Place) -> None:
        self._backfill = backfill.use(database)
        self.url = database.url
        self.connection: psycopg.Connection[Any] = database.connect(autocommit=True)
        self.place = place

    def __call__(self, *arguments: str, answer: str = "") -> Ended:
        """Call it."""
        return self._backfill("storage", "gc", *where(self.place), *arguments, answer=answer)

    def plant(self, *objects: bytes, age: timedelta = 2 * DAY) -> None:
        """Store objects, so long ago."""
        for data in objects:
            self.place.plant(path_of(data), data, age=age)

    def keep(self, *objects: bytes, task: str = "pictures") -> None:
        """Commit rows that refer to these objects."""
        rows = f"insert into public.{task}_file select unnest(%s::text[])"
        self.connection.execute(rows.encode(), [[path_of(data) for data in objects]])

    def stored(self) -> set[bytes]:
        """The contents of all files that are there."""
        return set(self.place.files().values())

    def usual(self) -> None:
        """An old object that is kept, an old one that isn't, and a young one that isn't yet."""
        self.plant(KEPT, ORPHAN)
        self.plant(YOUNG, age=HOUR)
        self.keep(KEPT)


def where(place: Place) -> list[str]:
    """The options that name the place."""
    endpoint = place.options.get("endpoint_url")
    return ["--storage", place.url, *(["--endpoint-url", endpoint] if endpoint else [])]


def _install(url: str) -> None:
    migrate.upgrade(url, [], {})
    with psycopg.connect(url) as connection:
        connection.execute(TASK.format(task="pictures").encode())


@pytest.fixture
def database(database_template: DatabaseTemplate, new_database: NewDatabase) -> Database:
    """A database with a task that stores files."""
    return new_database(template=database_template("storing", _install))


@pytest.fixture(scope="module")
def proxy() -> Iterator[Service]:
    """A proxy before an S3 emulator; the SDK has no settings but these, and doesn't wait."""
    with emulator() as url, pytest.MonkeyPatch.context() as patch:
        for name in ("PROFILE", "REGION", "DEFAULT_REGION", "ENDPOINT_URL", "ENDPOINT_URL_S3"):
            patch.delenv(f"AWS_{name}", raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIDNOTREALNOTREAL00")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "notreal/notreal+notreal/notreal+notreal0")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setattr("botocore.session.create_loader", lru_cache(create_loader))
        patch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _seconds: None))
        service = Service(url)
        with service.running():
            yield service


@pytest.fixture
def bucket(proxy: Service) -> Iterator[BucketPlace]:
    """A prefix in an empty bucket."""
    proxy.reset()
    name = f"test-{uuid4().hex}"
    proxy.create(name)
    url = f"s3://{name}/pictures"
    yield BucketPlace(url, {"endpoint_url": proxy.url}, service=proxy, bucket=name)
    proxy.reset()


@pytest.fixture
def folder(tmp_path: Path) -> FolderPlace:
    """A folder that is there."""
    (tmp_path / "pictures").mkdir()
    return FolderPlace(str(tmp_path / "pictures"))


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest) -> Place:
    """Every kind of place."""
    found: Place = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def gc(backfill: Backfill, database: Database, place: Place) -> Collecting:
    """See `Collecting`; on every kind of place."""
    return Collecting(backfill, database, place)


@pytest.fixture
def gc_in_folder(backfill: Backfill, database: Database, folder: FolderPlace) -> Collecting:
    """See `Collecting`; in a folder."""
    return Collecting(backfill, database, folder)


@pytest.fixture
def gc_in_bucket(backfill: Backfill, database: Database, bucket: BucketPlace) -> Collecting:
    """See `Collecting`; in a bucket."""
    return Collecting(backfill, database, bucket)


@pytest.fixture
def while_asking(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets something happen just before or after the database is asked for the n-th time."""

    def arrange(happens: Callable[[], object], *, time: int = 1, after: bool = False) -> None:
        asked = 0
        kept = storage_collect.kept

        def wrapped(session: Session, paths: Sequence[str]) -> set[str]:
            nonlocal asked
            asked += 1
            if asked == time and not after:
                happens()
            found = kept(session, paths)
            if asked == time and after:
                happens()
            return found

        monkeypatch.setattr(storage_collect, "kept", wrapped)

    return arrange


# --- what goes and what stays -------------------------------------------------------------------


def test_orphans_are_deleted_and_nothing_else(gc: Collecting) -> None:
    """What is old and kept by no row goes; what is kept, young or somebody else's stays."""
    gc.usual()
    strangers = {"readme.txt": b"theirs", "ab/cd/notes.txt": b"also", "zz/x": b"their own"}
    for name, data in strangers.items():
        gc.place.plant(name, data, age=9 * DAY)
    ended = gc("--yes")
    assert ended.code == ExitCode.DONE, ended.err
    assert gc.stored() == {KEPT, YOUNG, *strangers.values()}
    assert ended.out.splitlines()[-1] == "deleted 1 orphan (6 bytes)"
    assert gc("--yes").out.splitlines()[1:] == [
        "  objects    2 (9 bytes)", "  kept       1 by pictures",
        "  too young  1 to be orphans", "  orphans    0 (0 bytes)",
    ]  # fmt: skip


def test_a_dry_run_changes_nothing(gc: Collecting) -> None:
    """--dry-run lists the orphans with their age, and neither deletes nor writes."""
    gc.usual()
    ended = gc("--dry-run")
    assert ended.code == ExitCode.DONE
    assert gc.stored() == {KEPT, ORPHAN, YOUNG}
    assert [line.split() for line in ended.out.splitlines()[-2:]] == [
        ["path", "size", "age"], [path_of(ORPHAN), "6", "bytes", "2d"],
    ]  # fmt: skip
    if isinstance(gc.place, BucketPlace):
        assert {r.method for r in gc.place.service.requests} == {"GET"}


def test_json(gc_in_folder: Collecting) -> None:
    """--json prints one document with the same figures, before and after."""
    gc = gc_in_folder
    gc.usual()
    figures = {
        "storage": f"storage folder {gc.place.url}", "tasks": ["pictures"], "objects": 3,
        "bytes": 15, "kept": 1, "young": 1, "orphans": 1, "orphan_bytes": 6, "left": 0,
        "half_written": 0, "failures": 0,
    }  # fmt: skip
    before = gc("--dry-run", "--json").json
    assert {**before, **figures, "dry_run": True, "deleted": 0, "deleted_bytes": 0} == before
    assert [(one["path"], one["bytes"]) for one in before["first"]] == [(path_of(ORPHAN), 6)]
    after = gc("--yes", "--json").json
    assert {**after, **figures, "dry_run": False, "deleted": 1, "deleted_bytes": 6} == after


def test_it_asks_first(gc_in_folder: Collecting) -> None:
    """Without --yes it says how much would go and takes no for an answer, and silence too."""
    gc = gc_in_folder
    gc.usual()
    asked = gc(answer="n\n")
    assert (asked.code, gc.stored()) == (ExitCode.CANCELLED, {KEPT, ORPHAN, YOUNG})
    assert "delete 1 orphan (6 bytes)? [y/N]" in asked.err
    assert path_of(ORPHAN) in asked.out
    unasked = gc()
    assert (unasked.code, gc.stored()) == (ExitCode.USAGE, {KEPT, ORPHAN, YOUNG})
    assert "pass --yes" in unasked.err
    assert gc(answer="y\n").code == ExitCode.DONE
    assert gc.stored() == {KEPT, YOUNG}


def test_age_is_a_choice_with_a_limit(gc_in_folder: Collecting) -> None:
    """--older-than moves the line, and not to where a process may still be about to commit."""
    gc = gc_in_folder
    gc.plant(KEPT, ORPHAN, age=3 * HOUR)
    gc.keep(KEPT)
    assert gc("--yes").code == ExitCode.DONE
    assert gc.stored() == {KEPT, ORPHAN}
    refused = gc("--yes", "--older-than", "119m")
    assert (refused.code, gc.stored()) == (ExitCode.USAGE, {KEPT, ORPHAN})
    assert "may belong to a transaction that is still to commit" in refused.err
    assert gc("--yes", "--older-than", "2h").code == ExitCode.DONE
    assert gc.stored() == {KEPT}
    assert LEAST_AGE >= RENEWED_AFTER + HOUR


def test_half_written_files_are_deleted(gc_in_folder: Collecting) -> None:
    """What a killed writer left goes when it is old, whether there are orphans or not."""
    gc = gc_in_folder
    gc.place.plant("ab/cd/.0123.part", b"half of an old one", age=2 * DAY)
    gc.place.plant("ab/cd/.4567.part", b"half of a new one")
    ended = gc("--yes")
    assert (ended.code, gc.stored()) == (ExitCode.DONE, {b"half of a new one"})
    assert "deleted 1 half-written file" in ended.out


def test_thousands_of_objects(gc: Collecting) -> None:
    """Of thousands of objects exactly the orphans go; the first ten are shown."""
    objects = list(some_bytes(2_100))
    kept, orphans = objects[:-150], objects[-150:]
    gc.plant(*objects)
    gc.keep(*kept)
    ended = gc("--yes")
    assert ended.code == ExitCode.DONE, ended.err
    assert gc.stored() == set(kept)
    bytes_of = f"{sum(map(len, orphans)) / 1000:.1f} kB"
    assert ended.out.splitlines()[-2:] == [
        "... and 140 more", f"deleted 150 orphans ({bytes_of})",
    ]  # fmt: skip
    assert ended.out.count(".jpg") == 10


# --- who is asked -------------------------------------------------------------------------------


def test_without_a_task_nothing_is_deleted(gc_in_bucket: Collecting, bucket: BucketPlace) -> None:
    """Where no installed task stores anything nobody could know, so the storage isn't opened."""
    gc = gc_in_bucket
    gc.usual()
    gc.connection.execute("drop function backfill.keeps_pictures(text[])")
    ended = gc("--yes")
    assert (ended.code, gc.stored()) == (ExitCode.USAGE, {KEPT, ORPHAN, YOUNG})
    assert ended.err == (
        "backfill: no installed task keeps objects, so there is nobody to ask what is kept; "
        "nothing was deleted\n"
    )
    assert bucket.service.requests == []


def test_every_task_is_asked(gc: Collecting) -> None:
    """An object that any of the installed tasks keeps stays."""
    gc.usual()
    gc.connection.execute(TASK.format(task="scans").encode())
    gc.plant(b"scanned")
    gc.keep(b"scanned", KEPT, task="scans")
    ended = gc("--yes")
    assert (ended.code, gc.stored()) == (ExitCode.DONE, {KEPT, YOUNG, b"scanned"})
    assert "kept       2 by pictures, scans" in ended.out


def test_a_task_that_can_not_answer(gc_in_folder: Collecting) -> None:
    """Where a task's function fails nothing is deleted, and the error says why."""
    gc = gc_in_folder
    gc.usual()
    gc.connection.execute("drop table public.pictures_file")
    ended = gc("--yes")
    assert (ended.code, gc.stored()) == (ExitCode.ERROR, {KEPT, ORPHAN, YOUNG})
    assert "pictures_file" in ended.err


def test_the_wrong_database(gc: Collecting) -> None:
    """A database that keeps none of the objects would delete them all, so it may delete none."""
    gc.plant(ORPHAN, b"another")
    ended = gc("--yes")
    assert (ended.code, gc.stored()) == (ExitCode.USAGE, {ORPHAN, b"another"})
    assert "keeps none of the 2 objects" in ended.err
    assert "is it the right one?" in gc("--dry-run").err


def test_a_reader_may_collect(
    gc_in_folder: Collecting, monkeypatch: pytest.MonkeyPatch, backfill: Backfill
) -> None:
    """The database need not let it write anything: to be a member of backfill_reader is enough."""
    gc = gc_in_folder
    gc.usual()
    with login(gc.url, "backfill_reader") as conninfo:
        monkeypatch.setenv("DATABASE_URL", conninfo)
        ended = gc("--yes")
    assert (ended.code, gc.stored()) == (ExitCode.DONE, {KEPT, YOUNG}), ended.err
