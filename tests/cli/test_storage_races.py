"""`backfill storage gc` beside processes that store, commit and delete."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from runner.errors import ExitCode
from tests.cli.test_storage import (
    KEPT,
    ORPHAN,
    YOUNG,
    Collecting,
    bucket,
    database,
    folder,
    gc,
    gc_in_folder,
    place,
    proxy,
    while_asking,
)  # fmt: skip
from tests.storage.samples import path_of, put, some_bytes

__all__ = [
    "bucket", "database", "folder", "gc", "gc_in_folder", "place", "proxy", "while_asking",
]  # fmt: skip


def test_what_is_put_again_meanwhile_stays(
    gc: Collecting, while_asking: Callable[..., None]
) -> None:
    """An object that a process uses anew between the listing and the deletion is left alone."""
    gc.usual()
    gc.plant(b"another")

    def put_again() -> None:
        with gc.place.open() as storage:
            assert not put(storage, ORPHAN).created

    while_asking(put_again, time=2, after=True)
    ended = gc("--yes")
    assert (ended.code, gc.stored()) == (ExitCode.DONE, {KEPT, ORPHAN, YOUNG})
    assert "deleted 1 orphan (7 bytes)" in ended.out
    assert "1 orphan left: stored again, or kept or gone meanwhile" in ended.err


@pytest.mark.parametrize("time, orphans", [(1, 1), (2, 2)])
def test_what_is_committed_meanwhile_stays(
    gc: Collecting, while_asking: Callable[..., None], time: int, orphans: int
) -> None:
    """A row that commits after the listing, or while somebody thinks about the answer, counts."""
    gc.usual()
    gc.plant(b"another")
    while_asking(lambda: gc.keep(ORPHAN), time=time)
    ended = gc(answer="y\n")
    assert (ended.code, gc.stored()) == (ExitCode.DONE, {KEPT, ORPHAN, YOUNG})
    assert f"delete {orphans} orphan" in ended.err


def test_two_at_once(gc: Collecting, while_asking: Callable[..., None]) -> None:
    """What somebody else has deleted meanwhile is no error."""
    gc.usual()

    def delete() -> None:
        with gc.place.open() as storage:
            assert storage.delete(path_of(ORPHAN))

    while_asking(delete, time=2)
    ended = gc("--yes")
    assert (ended.code, gc.stored()) == (ExitCode.DONE, {KEPT, YOUNG})
    assert "1 orphan left" in ended.err


def test_processes_that_use_what_is_being_collected(
    gc_in_folder: Collecting, while_asking: Callable[..., None]
) -> None:
    """Old orphans are used anew by four threads while they are collected: every row that they
    commit has its object.
    """
    gc = gc_in_folder
    objects = list(some_bytes(400))
    gc.plant(KEPT, *objects)
    gc.keep(KEPT)
    begin = threading.Barrier(5)

    def use(some: Sequence[bytes]) -> int:
        with gc.place.open() as storage, psycopg.connect(gc.url, autocommit=True) as connection:
            begin.wait()
            created = 0
            for data in some:
                created += put(storage, data).created
                connection.execute("insert into pictures_file values (%s)", [path_of(data)])
            return created

    with ThreadPoolExecutor() as threads:
        using = [threads.submit(use, objects[n::4]) for n in range(4)]
        while_asking(begin.wait, time=2, after=True)
        codes = {gc("--yes").code}
        while not all(one.done() for one in using):
            codes.add(gc("--yes").code)
        created = [one.result() for one in using]
    assert codes == {ExitCode.DONE}
    assert sum(created) > 0, "nothing was deleted before it was used anew"
    assert gc.stored() == {KEPT, *objects}
