"""The command line called in this process, and a database with the sample application."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from runner.cli import main
from runner.database import migrate
from runner.database.files import sql_folder
from runner.registry import all_tasks, find
from tests.image_signals.payments import install_with_uuids as install_image_signals
from tests.plugins.database import Database, DatabaseTemplate, NewDatabase
from tests.vehicle_images.vehicles_install import install as install_vehicle_images


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed on stdout, as JSON."""
        return json.loads(self.out)


class Backfill:
    """Calls `backfill` in this process, with the test's database in DATABASE_URL."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def use(self, database: Database) -> Backfill:
        """Call it on this database from now on."""
        self._monkeypatch.setenv("DATABASE_URL", database.url)
        return self

    def __call__(self, *arguments: str, answer: str = "") -> Ended:
        """Run a command; `answer` is what stdin holds."""
        self._capsys.readouterr()
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        code = main(arguments)
        captured = self._capsys.readouterr()
        return Ended(code, captured.out, captured.err)


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No `.env` and no database of the developer's own; logging is put back afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    for name in ("DATABASE_URL", "BACKFILL_TASKS", "PGHOST", "PGPORT", "PGDATABASE", "PGUSER",
                 "PGSERVICE", "PGHOSTADDR"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    root = logging.getLogger()
    handlers, levels = root.handlers[:], (root.level, logging.getLogger("runner").level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    logging.getLogger("runner").setLevel(levels[1])


@pytest.fixture
def backfill(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Backfill:
    """See `Backfill`; no database is set."""
    return Backfill(monkeypatch, capsys)


def create_application(url: str) -> None:
    """The sample application's table, before any backfill."""
    with psycopg.connect(url) as connection:
        connection.execute((sql_folder() / "demo" / "application.sql").read_bytes())


def install(url: str) -> None:
    """The application, the engine and quality_score."""
    create_application(url)
    migrate.upgrade(url, [find("quality_score")], {})


def install_face_index(url: str) -> None:
    """The demo's albums, without pictures, and the task for them."""
    with psycopg.connect(url) as connection:
        connection.execute((sql_folder() / "demo" / "album.sql").read_bytes())
    migrate.upgrade(url, [find("face_index")], {}, known=list(all_tasks().values()))


def install_everything(url: str) -> None:
    """The applications, payments, vehicles, the engine and every built-in task."""
    install(url)
    install_image_signals(url)
    install_vehicle_images(url)
    install_face_index(url)


@pytest.fixture
def complete(database_template: DatabaseTemplate, new_database: NewDatabase) -> Database:
    """A database with every built-in task installed."""
    return new_database(template=database_template("complete", install_everything))


@pytest.fixture
def application(database_template: DatabaseTemplate, new_database: NewDatabase) -> Database:
    """A database with the sample application alone."""
    return new_database(template=database_template("application", create_application))


@pytest.fixture
def installed(database_template: DatabaseTemplate, new_database: NewDatabase) -> Database:
    """A database with the sample application and quality_score installed for it."""
    return new_database(template=database_template("installed", install))


class Work:
    """Does a run's work by hand, with the functions that a process calls."""

    def __init__(self, database: Database) -> None:
        self.connection: psycopg.Connection[dict[str, Any]] = psycopg.connect(
            database.url, autocommit=True, row_factory=dict_row
        )
        database.connections.append(self.connection)

    def one(self, query: str, *parameters: Any) -> Any:
        """The only value that a query returns."""
        (row,) = self.connection.execute(query, parameters).fetchall()
        return next(iter(row.values()))

    def images(self, count: int) -> list[str]:
        """Adds images to the application; their keys."""
        rows = self.connection.execute(
            "insert into public.images (url, source_type)"
            " select format('https://pictures.test/%%s.jpg', n), 'url'"
            " from generate_series(1, %s) n returning id::text",
            [count],
        )
        return [row["id"] for row in rows]

    def start(self, *, pid: int = 4711) -> tuple[int, int]:
        """A run with one process; their numbers."""
        run = self.one("select backfill.start('quality_score', p_source => 'cli')")
        runner = self.one("select backfill.join_run(%s, 1, 'a-host', %s, true)", run, pid)
        self.one("select row(d.*)::text from backfill.discover(%s) d", run)
        return run, runner

    def claim(self, runner: int, want: int = 100) -> list[dict[str, Any]]:
        """Jobs for that process."""
        jobs: list[dict[str, Any]] = self.one(
            "select jobs from backfill.claim(%s, %s, 0, '-infinity')", runner, want
        )
        return jobs

    def finish(self, runner: int, jobs: list[dict[str, Any]], **outcome: Any) -> None:
        """Finish jobs, all with the same outcome."""
        results = [
            {"id": j["id"], "attempt": j["attempt"], "revision": j["revision"], "ms": 12, **outcome}
            for j in jobs
        ]
        self.one("select accepted from backfill.finish(%s, %s)", runner, Jsonb(results))

    def run(self, *, ok: int = 0, failed: int = 0, error_class: str = "http_404") -> int:
        """A whole run over new images; its number."""
        self.images(ok + failed)
        run, runner = self.start()
        jobs = self.claim(runner, ok + failed)
        if ok:
            score = {"quality_score": 70, "quality_details": {"version": 1}}
            self.finish(runner, jobs[:ok], outcome="ok", result=score)
        if failed:
            message = "https://pictures.test/x.jpg: HTTP 404 (not found)"
            self.finish(
                runner,
                jobs[ok:],
                outcome="failed",
                error_class=error_class,
                error_message=message,
            )
        self.one("select backfill.leave(%s, 'done')", runner)
        return run


@pytest.fixture
def work(installed: Database) -> Work:
    """See `Work`; on the database `installed`."""
    return Work(installed)
