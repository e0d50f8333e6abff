"""Real workers: `backfill worker` as a process, for the sample task."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest
from psycopg.types.json import Jsonb

from tests.plugins.processes import Command, SampleDatabase, StartCommand


class StartWorker(Protocol):
    """Starts `backfill worker` with these arguments; it is killed when the test ends."""

    def __call__(self, url: str, *arguments: str, **more: str) -> Command: ...


class Ask(Protocol):
    """Starts a run of the sample task for workers; its number."""

    def __call__(self, database: SampleDatabase, **options: object) -> int: ...


@pytest.fixture
def worker(command: StartCommand) -> StartWorker:
    """See `StartWorker`."""

    def start(url: str, *arguments: str, **more: str) -> Command:
        return command(url, "worker", *arguments, **more)

    return start


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Folder in which first attempts are noted; with a file `go`, rows that wait go on."""
    folder = tmp_path / "rows"
    folder.mkdir()
    return folder


@pytest.fixture
def ask(rows: Path) -> Ask:
    """See `Ask`."""

    def start(database: SampleDatabase, **options: object) -> int:
        given = Jsonb({"folder": str(rows), **options})
        return int(database.one("select backfill.start('sample', %s)", given))

    return start


def ended(database: SampleDatabase, run: int) -> str | None:
    """Why a run ended; None: it has not."""
    reason: str | None = database.one("select exit_reason from backfill.run where id = %s", run)
    return reason


def ready(database: SampleDatabase, command: Command, number: int = 1) -> None:
    """Return when so many workers are there."""
    query = "select count(*) from backfill.worker where status = 'live'"
    command.until(lambda: database.one(query) >= number)
