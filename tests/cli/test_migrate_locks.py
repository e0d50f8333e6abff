"""What `backfill migrate` promises on a live database: it waits politely, and mends itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
import pytest

from runner.cli import main
from runner.database import migrate, scripts
from runner.errors import ExitCode
from tests.cli.catalog import catalog
from tests.cli.conftest import Backfill
from tests.plugins.database import Database
from tests.plugins.waiting import wait_until

INSTALL = ["migrate", "quality_score"]


@pytest.fixture
def in_background(
    monkeypatch: pytest.MonkeyPatch, application: Database
) -> Iterator[Callable[[list[str]], Future[int]]]:
    """Runs a command beside the test, with short waits for locks; its exit code as a future."""
    monkeypatch.setenv("DATABASE_URL", application.url)
    monkeypatch.setattr(scripts, "LOCK_TIMEOUT", "50ms")
    monkeypatch.setattr(migrate, "LOCK_PAUSE_S", 0.02)
    with ThreadPoolExecutor() as pool:
        yield lambda arguments: pool.submit(main, arguments)


def waiting_for_a_lock(watcher: psycopg.Connection[tuple[int]], query: str) -> int | None:
    """The process id of a migration that waits for a lock with such a query."""
    row = watcher.execute(
        "select pid from pg_stat_activity where application_name = 'backfill migrate'"
        " and wait_event_type = 'Lock' and query ilike %s and datname = current_database()",
        [query],
    ).fetchone()
    return row[0] if row else None


def test_locked_table_is_tried_again(
    in_background: Callable[[list[str]], Future[int]],
    application: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """While somebody holds the table, migrating gives its place in the queue up and tries again."""
    holder = application.connect()
    holder.execute("lock table public.images in access exclusive mode")
    with caplog.at_level(logging.WARNING):
        installing = in_background(INSTALL)
        wait_until(lambda: caplog.text.count("a table is locked by another session") >= 2)
    assert not installing.done()
    holder.rollback()
    assert installing.result() == ExitCode.DONE
    assert main(["migrate", "--check", "quality_score"]) == ExitCode.DONE


def test_lock_that_stays_is_given_up(
    in_background: Callable[[list[str]], Future[int]],
    application: Database,
    backfill: Backfill,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A lock that never goes is given up with one line; what was finished stays."""
    monkeypatch.setattr(migrate, "LOCK_ATTEMPTS", 2)
    holder = application.connect()
    holder.execute("lock table public.images in access exclusive mode")
    ended = backfill(*INSTALL)
    assert ended.code == ExitCode.ERROR
    assert "run the same command again" in ended.err.splitlines()[-1]
    assert "engine_0010" in ended.out
    holder.rollback()
    assert backfill(*INSTALL).code == ExitCode.DONE


def test_readers_never_wait_for_long(
    in_background: Callable[[list[str]], Future[int]], application: Database
) -> None:
    """Behind a migration that waits for the table, the application's readers go on."""
    holder = application.connect()
    holder.execute("select from public.images")
    installing = in_background(INSTALL)
    watcher = application.connect(autocommit=True)
    wait_until(lambda: waiting_for_a_lock(watcher, "%quality_score%"))
    reader = application.connect(autocommit=True, options="-c lock_timeout=5s")
    assert reader.execute("select from public.images").rowcount == 0
    holder.rollback()
    assert installing.result() == ExitCode.DONE


def test_interrupted_index_is_built_anew(
    in_background: Callable[[list[str]], Future[int]],
    application: Database,
    backfill: Backfill,
) -> None:
    """An index whose build was killed is told by doctor, and mended by migrating again."""
    before = catalog(application.url)
    reader = application.connect()
    reader.execute("set transaction isolation level repeatable read")
    reader.execute("select 1")  # its snapshot holds the build up, and nothing else
    installing = in_background(INSTALL)
    watcher = application.connect(autocommit=True)
    wait_until(lambda: waiting_for_a_lock(watcher, "create index concurrently%"))
    pid = waiting_for_a_lock(watcher, "create index concurrently%")
    watcher.execute("select pg_terminate_backend(%s)", [pid])
    assert installing.result() == ExitCode.UNREACHABLE
    reader.rollback()
    invalid = "select indexrelid::regclass::text from pg_index where not indisvalid"
    (name,) = watcher.execute(invalid).fetchall()
    ended = backfill("doctor")
    assert ended.code == ExitCode.ERROR
    assert f"index {name[0]} of images is invalid" in ended.out
    assert "quality_score: installed half-way" in ended.out
    ended = backfill("migrate", "--down", "quality_score", "--yes")
    assert ended.code == ExitCode.USAGE
    assert "finish it first" in ended.err

    assert backfill(*INSTALL).code == ExitCode.DONE
    assert watcher.execute(invalid).fetchall() == []
    assert backfill("doctor").code == ExitCode.DONE
    assert backfill("migrate", "--uninstall", "--yes").code == ExitCode.DONE
    assert catalog(application.url) == before


def test_two_migrations_at_once(
    in_background: Callable[[list[str]], Future[int]],
    application: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of two migrations at a time the second waits for the first, and finds it done."""
    reader = application.connect()
    reader.execute("set transaction isolation level repeatable read")
    reader.execute("select 1")
    first = in_background(INSTALL)
    watcher = application.connect(autocommit=True)
    wait_until(lambda: waiting_for_a_lock(watcher, "create index concurrently%"))
    with caplog.at_level(logging.WARNING):
        second = in_background(INSTALL)
        wait_until(lambda: "another migration is at work" in caplog.text)
    reader.rollback()
    assert (first.result(), second.result()) == (ExitCode.DONE, ExitCode.DONE)
    assert main(["migrate", "--check", "quality_score"]) == ExitCode.DONE
