"""`backfill storage`: what is tried out, what goes wrong, and what is shown meanwhile."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.cli import storage_collect, storage_progress
from runner.errors import ExitCode
from tests.cli.conftest import Backfill
from tests.cli.test_storage import (
    KEPT,
    ORPHAN,
    YOUNG,
    Collecting,
    bucket,
    database,
    folder,
    gc_in_bucket,
    gc_in_folder,
    place,
    proxy,
    where,
    while_asking,
)  # fmt: skip
from tests.plugins.loopback import Behaviour, Request
from tests.plugins.terminal import OpenTerminal
from tests.storage.places import BucketPlace, Place
from tests.storage.samples import some_bytes
from tests.storage.service import Fault, Service, failure, says

__all__ = [
    "bucket", "database", "folder", "gc_in_bucket", "gc_in_folder", "place", "proxy",
    "while_asking",
]  # fmt: skip


def test_check(backfill: Backfill, place: Place) -> None:
    """`check` needs no database, leaves nothing behind, and says which storage works."""
    ended = backfill("storage", "check", *where(place))
    name = place.url if isinstance(place, BucketPlace) else f"storage folder {place.url}"
    assert (ended.code, ended.err) == (ExitCode.DONE, "")
    assert ended.out == f"{name}: writing, reading, listing and deleting work\n"
    assert place.files() == {}
    assert backfill("storage", "check", *where(place), "--json").json == {
        "storage": name, "ok": True,
    }  # fmt: skip


def denies_listing(service: Service) -> Fault:
    """Refuse to list, and let other requests pass."""

    def fault(request: Request) -> Behaviour:
        if "list-type=2" in request.target:
            return says(failure(403, "AccessDenied"))(request)
        passes = service.behaviour(request)
        service.fault("GET", fault)
        return passes

    return fault


@pytest.mark.parametrize("right", ["list", "delete"])
def test_check_without_a_right(backfill: Backfill, bucket: BucketPlace, right: str) -> None:
    """Where only gc can't work, `check` fails, and says that writing and reading do work."""
    if right == "list":
        bucket.service.fault("GET", denies_listing(bucket.service))
    else:
        bucket.service.fault("DELETE", says(failure(403, "AccessDenied")))
    ended = backfill("storage", "check", *where(bucket))
    assert (ended.code, ended.out) == (ExitCode.ERROR, "")
    assert ended.err.startswith(
        "backfill: writing and reading work, listing or deleting (for gc) does not: "
        f"{bucket.url}: HTTP 403 AccessDenied: access denied; check the credentials"
    )
    assert len(bucket.files()) == (right == "delete")


def test_check_of_what_can_not_be_written(backfill: Backfill, bucket: BucketPlace) -> None:
    """A storage that can't be written to is a usage error of one line, without secrets."""
    bucket.service.fault("PUT", says(failure(403, "AccessDenied", "AKIDNOTREALNOTREAL00")))
    ended = backfill("storage", "check", *where(bucket))
    assert (ended.code, ended.out) == (ExitCode.USAGE, "")
    (line,) = ended.err.splitlines()
    assert line.startswith(f"backfill: {bucket.url}: HTTP 403 AccessDenied: access denied; check")
    assert "NOTREAL" not in ended.err


def test_no_such_storage(backfill: Backfill, tmp_path: Path) -> None:
    """What is no storage at all, or none is named, is a usage error that says what to give."""
    ended = backfill("storage", "check", "--storage", "ftp://hunter2@host/x")
    assert ended.code == ExitCode.USAGE
    assert "give a folder, file:///srv/pictures or s3://bucket/prefix" in ended.err
    assert "hunter2" not in ended.err
    assert backfill("storage", "gc").code == ExitCode.USAGE
    missing = backfill("storage", "check", "--storage", str(tmp_path / "mount" / "pictures"))
    assert missing.code == ExitCode.USAGE
    assert "or mount what it is on" in missing.err


def test_a_folder_that_is_missing_is_not_made(gc_in_folder: Collecting) -> None:
    """A volume that isn't mounted is noticed."""
    Path(gc_in_folder.place.url).rmdir()
    ended = gc_in_folder("--yes")
    assert ended.code == ExitCode.USAGE
    assert "no such folder; create it, or mount what it is on" in ended.err
    assert not Path(gc_in_folder.place.url).exists()


def test_one_that_can_not_be_deleted(gc_in_bucket: Collecting, bucket: BucketPlace) -> None:
    """An object that can't be deleted is told of, and keeps no other from being deleted."""
    gc = gc_in_bucket
    gc.plant(KEPT, *some_bytes(5))
    gc.keep(KEPT)
    bucket.service.fault("DELETE", says(failure(403, "AccessDenied")))
    ended = gc("--yes")
    assert ended.code == ExitCode.ERROR
    assert len(gc.stored()) == 2
    assert "deleted 4 orphans" in ended.out
    assert "1 orphan could not be deleted" in ended.err
    assert "s3:DeleteObject" in ended.err
    assert gc("--yes").code == ExitCode.DONE
    assert gc.stored() == {KEPT}


def test_without_the_right_to_delete(gc_in_bucket: Collecting, bucket: BucketPlace) -> None:
    """Where nothing can be deleted it gives up after some, with the error of the first."""
    gc = gc_in_bucket
    gc.plant(KEPT, *some_bytes(200))
    gc.keep(KEPT)
    bucket.service.fault("DELETE", says(failure(403, "AccessDenied")), times=200)
    ended = gc("--yes")
    assert (ended.code, len(gc.stored())) == (ExitCode.ERROR, 201)
    assert "200 orphans could not be deleted" in ended.err
    tried = len(bucket.service.asked("DELETE"))
    most = storage_collect.MOST_FAILURES
    assert most <= tried < most + storage_collect.THREADS


def test_trouble_while_listing(
    gc_in_bucket: Collecting, bucket: BucketPlace, while_asking: Callable[..., None]
) -> None:
    """A service that fails half-way through the list is one line, and nothing is deleted."""
    gc = gc_in_bucket
    gc.plant(*some_bytes(1_500))
    gc.keep(*list(some_bytes(10)))

    def second_page_fails() -> None:
        bucket.service.fault("GET", says(failure(503, "ServiceUnavailable")), times=3)

    while_asking(second_page_fails)
    ended = gc("--yes")
    assert ended.code == ExitCode.ERROR
    assert ended.err.splitlines() == [
        f"backfill: {bucket.url}: HTTP 503 ServiceUnavailable; it may work again later"
    ]
    assert len(gc.stored()) == 1_500


# --- what is shown ------------------------------------------------------------------------------


def test_long_lists_show_how_far_they_are(
    gc_in_folder: Collecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Now and then a line on stderr says how far it is; stdout is for the result."""
    gc = gc_in_folder
    monkeypatch.setattr(storage_progress, "LINE_EVERY_S", 0.0)
    gc.usual()
    ended = gc("--yes", "--json")
    assert ended.err.splitlines() == [
        "3 objects listed, 1 of them orphans", "1 of 1 orphans deleted",
    ]  # fmt: skip
    assert ended.json["deleted"] == 1


def test_on_a_terminal(gc_in_folder: Collecting, terminal: OpenTerminal) -> None:
    """On a terminal it shows that it looks, asks, and deletes nothing after Ctrl-C."""
    gc = gc_in_folder
    gc.usual()
    shown = terminal(gc.url, "storage", "gc", "--storage", gc.place.url)
    shown.shows("delete 1 orphan (6 bytes)? [y/N]")
    assert "3 objects listed, 1 of them orphans" in shown.text
    shown.process.send_signal(signal.SIGINT)
    assert shown.ended() == ExitCode.INTERRUPTED
    assert gc.stored() == {KEPT, ORPHAN, YOUNG}


def test_gc_beware_of_clocks(gc_in_folder: Collecting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the time here is not that of the database, ages can't be told; nothing is deleted."""
    monkeypatch.setattr("runner.cli.storage.MOST_SKEW_S", -1.0)
    gc_in_folder.usual()
    stored = gc_in_folder.stored()
    ended = gc_in_folder("--yes")
    assert ended.code == ExitCode.ERROR
    assert "the clock here is" in ended.err
    assert gc_in_folder.stored() == stored
    assert "nothing was deleted" in ended.err
