"""Real runner processes: the sample task in a database, `backfill` as a process, and a proxy."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from runner.contract import Compute
from runner.database import migrate
from runner.database.session import Session
from runner.loop.process import Limits, Process
from tests import sample
from tests.plugins.database import Database, DatabaseTemplate, NewDatabase
from tests.plugins.proxy import Proxy
from tests.plugins.waiting import wait_until

ENDED_S = 60.0


class SampleDatabase:
    """A database with the sample task, and what tests ask it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection = self._connect()

    def close(self) -> None:
        """Close the test's own connection."""
        self.connection.close()

    def reconnect(self) -> None:
        """Connect anew, after the server was restarted."""
        self.connection.close()
        self.connection = self._connect()

    def _connect(self) -> psycopg.Connection[dict[str, Any]]:
        return psycopg.connect(
            self.url, autocommit=True, row_factory=dict_row, prepare_threshold=None
        )

    def all(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """The rows of a query."""
        return self.connection.execute(query.encode(), parameters or None).fetchall()

    def one(self, query: str, *parameters: Any) -> Any:
        """The only value of a query."""
        (row,) = self.all(query, *parameters)
        return next(iter(row.values()))

    def do(self, statement: str, *parameters: Any) -> None:
        """Execute a statement."""
        self.connection.execute(statement.encode(), parameters or None)

    def items(self, **behaviours: int) -> None:
        """Add so many items of each behaviour, in this order."""
        first = self.one("select coalesce(max(id), 0) from item") + 1
        for behaviour, number in behaviours.items():
            sample.add(self.connection, first, first + number - 1, behaviour)
            first += number

    def states(self) -> dict[str, int]:
        """How many jobs there are in each state."""
        rows = self.all("select state, count(*) as n from backfill.job group by state")
        return {row["state"]: row["n"] for row in rows}

    def writes(self) -> dict[int, int]:
        """How many items were written how often."""
        rows = self.all("select writes, count(*) as n from item group by writes")
        return {row["writes"]: row["n"] for row in rows}

    def done(self) -> int:
        """Rows finished so far, from the runners' counters."""
        return int(self.one("select done from backfill.progress where task = 'sample'"))

    def live(self) -> list[int]:
        """Process ids of live runners."""
        return [r["pid"] for r in self.all("select pid from backfill.runner where status = 'live'")]

    def failure(self, key: int) -> dict[str, Any]:
        """The row of `failures` for this item."""
        (row,) = self.all("select * from backfill.failures where key = %s", str(key))
        return row

    def assert_each_written_once(self) -> None:
        """Every item has its result, was written exactly once, and no job is left unfinished."""
        assert self.writes() == {1: self.one("select count(*) from item")}
        assert self.states() == {"ok": self.one("select count(*) from item")}

    def start(self, **options: Any) -> int:
        """Start a run as the command would; its number."""
        given: dict[str, Any] = {
            "where": None, "limit": None, "retry_failed": False, "batch_size": None,
            "delay_ms": None, **options,
        }  # fmt: skip
        with Session(self.url, name="test") as session:
            row = session.one("start", task="sample", options=Jsonb({}), source="cli", **given)
        return int(row["run"])

    def process(
        self,
        run: int,
        compute: Compute,
        *,
        stop: threading.Event | None = None,
        url: str | None = None,
        **limits: Any,
    ) -> Process:
        """A runner in this process, with whatever computation."""
        limits.setdefault("threads", 4)
        limits.setdefault("grace", 5.0)
        stop = stop or threading.Event()
        return Process(url or self.url, sample.task, run, compute, Limits(**limits), stop)


def result_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The right result of a row."""
    return {"text": f"result of {row['input']}", "version": sample.task.version}


def _install(url: str) -> None:
    migrate.upgrade(url, [], {})
    with psycopg.connect(url, autocommit=True) as connection:
        sample.install(connection)


@pytest.fixture
def sampled(
    database_template: DatabaseTemplate, new_database: NewDatabase
) -> Iterator[SampleDatabase]:
    """A database with the sample task and no items."""
    database: Database = new_database(template=database_template("sample", _install))
    found = SampleDatabase(database.url)
    yield found
    found.close()


@contextmanager
def sampled_on(url: str) -> Iterator[SampleDatabase]:
    """The same in an empty database of a server of the test's own."""
    _install(url)
    found = SampleDatabase(url)
    try:
        yield found
    finally:
        found.close()


# --- the command as a process ---------------------------------------------------------------------


@dataclass
class Command:
    """A `backfill` process; what it prints goes to files, so that it never waits for a reader."""

    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def out(self) -> str:
        """What it printed on stdout so far."""
        return (self.folder / "out").read_text()

    @property
    def err(self) -> str:
        """What it printed on stderr so far."""
        return (self.folder / "err").read_text()

    @property
    def json(self) -> dict[str, Any]:
        """Its stdout as one JSON object."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    def ended(self, seconds: float = ENDED_S) -> int:
        """Its exit code, once it has ended."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not over after {seconds:g} s; it said: {self.err}") from None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def children(self) -> list[int]:
        """Process ids of its children."""
        tasks = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        if tasks.exists():
            return [int(pid) for pid in tasks.read_text().split()]
        found = subprocess.run(["pgrep", "-P", str(self.pid)], capture_output=True, text=True)
        return [int(pid) for pid in found.stdout.split()]

    def until(self, condition: Callable[[], object], seconds: float = 30.0) -> None:
        """Return once this is so; fail at once where the process ends before."""
        held = False

        def settled() -> bool:
            # kept, since what was so for a moment need not be so when it is asked for again
            nonlocal held
            held = bool(condition())
            return held or self.process.poll() is not None

        wait_until(settled, seconds=seconds)
        assert held or condition(), f"ended with {self.process.returncode} before: {self.err}"

    def says(self, words: str, seconds: float = 30.0) -> None:
        """Return once it has said this on stderr."""
        self.until(lambda: words in self.err, seconds)


class StartCommand(Protocol):
    """Starts `backfill` with these arguments; it is killed when the test ends."""

    def __call__(
        self, url: str, *arguments: str, tasks: str = "tests.sample:task", **environment: str
    ) -> Command: ...


@dataclass
class _Started:
    commands: list[Command] = field(default_factory=list)

    def end(self) -> None:
        for command in self.commands:
            for pid in [*command.children(), command.pid]:
                if command.process.poll() is None or pid != command.pid:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGCONT)
                        os.kill(pid, signal.SIGKILL)
            command.process.wait()


@pytest.fixture
def command(tmp_path: Path) -> Iterator[StartCommand]:
    """See `StartCommand`."""
    started = _Started()

    def start(
        url: str, *arguments: str, tasks: str = "tests.sample:task", **environment: str
    ) -> Command:
        folder = tmp_path / f"command-{len(started.commands)}"
        folder.mkdir()
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "runner", *arguments],
                env={**environment_for(url, tasks), **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        started.commands.append(Command(process, folder))
        return started.commands[-1]

    yield start
    started.end()


class StartRun(Protocol):
    """Starts `backfill run sample`; rows' first attempts are noted in a folder of the test's."""

    def __call__(
        self, database: SampleDatabase, *arguments: str, url: str | None = None, **more: str
    ) -> Command: ...


@pytest.fixture
def run_sample(command: StartCommand, tmp_path: Path) -> StartRun:
    """See `StartRun`; `folder` / "go" lets rows go on that wait."""

    def start(
        database: SampleDatabase, *arguments: str, url: str | None = None, **more: str
    ) -> Command:
        (tmp_path / "rows").mkdir(exist_ok=True)
        # a join takes the run's own options, so it can't be given one
        folder = () if "--join" in arguments else ("--folder", str(tmp_path / "rows"))
        return command(url or database.url, "run", "sample", *folder, *arguments, **more)

    return start


@pytest.fixture
def let_go(tmp_path: Path) -> Callable[[], None]:
    """Lets rows that wait go on."""

    def go() -> None:
        (tmp_path / "rows" / "go").touch()

    return go


def environment_for(url: str, tasks: str) -> dict[str, str]:
    """This process's environment with that database and those tasks, and no other database."""
    root = str(Path(__file__).parents[2])
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "DATABASE_URL"))}
    return {**kept, "DATABASE_URL": url, "BACKFILL_TASKS": tasks, "PYTHONPATH": root}


# --- between the processes and the server ---------------------------------------------------------


@contextmanager
def proxied(url: str, *, pooled: bool = False) -> Iterator[Proxy]:
    """A TCP proxy before this database; see `Proxy`."""
    with Proxy(url, pooled=pooled) as proxy:
        yield proxy
