"""A database with the engine and the sample task, and the engine's functions as methods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from runner.database import migrate
from tests import sample
from tests.plugins.database import Database, DatabaseTemplate, database_of
from tests.plugins.pgbouncer import PgBouncer
from tests.plugins.waiting import wait_until

Connection = psycopg.Connection[dict[str, Any]]
Row = dict[str, Any]

_numbers = count(1)

FINISHED = ("ok", "nothing_found", "skipped", "failed")


@dataclass
class Engine:
    """Calls of the engine's functions, each in a transaction of its own on `connection`.

    A method's `on` is another connection to call on, whose transaction is the test's to end.
    """

    database: Database
    connection: Connection = field(init=False)
    _threads: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self.connection = self.connect()
        self._threads = ThreadPoolExecutor()

    def close(self) -> None:
        """Wait for what `meanwhile` began."""
        self.database.close()
        self._threads.shutdown()

    def connect(self, *, autocommit: bool = True, conninfo: str | None = None) -> Connection:
        """Another connection; closed when the test ends.

        For a session of its own, with a pooler too, `conninfo` is the database's `direct`.
        """
        conninfo = conninfo or self.database.url
        # what waits for ever should fail and not hang; the pooler sees to that for its own sessions
        own = not self.database.pooled or conninfo == self.database.direct
        timeout: dict[str, Any] = {"options": "-c statement_timeout=30s"} if own else {}
        connection: Connection = psycopg.connect(
            conninfo,
            autocommit=autocommit,
            row_factory=dict_row,
            prepare_threshold=None,
            application_name=f"engine test {next(_numbers)}",
            **timeout,
        )
        self.database.connections.append(connection)
        return connection

    def meanwhile(self, call: Callable[..., Any], *arguments: Any, **options: Any) -> Future[Any]:
        """Run a call on a thread of its own."""
        return self._threads.submit(call, *arguments, **options)

    def blocked(self, connection: Connection) -> None:
        """Return when this session waits for a lock."""
        # not by its process id: a pooler makes one up
        query = """
            select exists (select from pg_stat_activity where application_name = %s
                and datname = current_database() and wait_event_type = 'Lock')"""
        name = connection.info.parameter_status("application_name")
        wait_until(lambda: self.value(query, name))

    # --- plain SQL ----------------------------------------------------------------------------

    def rows(self, query: str, *parameters: Any, on: Connection | None = None) -> list[Row]:
        """What a query returns."""
        cursor = (on or self.connection).execute(query.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def one(self, query: str, *parameters: Any, on: Connection | None = None) -> Row:
        """The only row that a query returns."""
        (row,) = self.rows(query, *parameters, on=on)
        return row

    def value(self, query: str, *parameters: Any, on: Connection | None = None) -> Any:
        """The only column of the only row."""
        (value,) = self.one(query, *parameters, on=on).values()
        return value

    def column(self, query: str, *parameters: Any) -> list[Any]:
        """The only column of all rows."""
        return [value for row in self.rows(query, *parameters) for value in row.values()]

    # --- the sample task ----------------------------------------------------------------------

    def add(self, first: int, last: int | None = None) -> None:
        """Add items with these keys, the last one included."""
        sample.add(self.connection, first, last or first)

    def job(self, key: object) -> Row:
        """A job of the sample task."""
        return self.one("select * from backfill.job where task = 'sample' and key = %s", str(key))

    def states(self, task: str = "sample") -> dict[str, int]:
        """Jobs in each state."""
        return {
            row["state"]: row["count"]
            for row in self.rows(
                "select state, count(*) from backfill.job where task = %s group by state", task
            )
        }

    def keys(self, state: str, task: str = "sample") -> list[str]:
        """Keys of the jobs in a state."""
        query = "select key from backfill.job where task = %s and state = %s order by id"
        return self.column(query, task, state)

    def progress(self, task: str = "sample") -> Row:
        """The task's row of the view."""
        return self.one("select * from backfill.progress where task = %s", task)

    def events(self, action: str) -> list[Row]:
        """The audit's rows of this action, the oldest first."""
        return self.rows("select * from backfill.event where action = %s order by id", action)

    # --- the state machine --------------------------------------------------------------------

    def start(
        self,
        task: str = "sample",
        *,
        where: str | None = None,
        limit: int | None = None,
        retry_failed: bool = False,
        on: Connection | None = None,
    ) -> int:
        """Start a run; its number."""
        query = "select backfill.start(%s, '{}', %s, %s, %s, p_source => 'cli')"
        return int(self.value(query, task, where, limit, retry_failed, on=on))

    def join(
        self,
        run: int,
        *,
        version: int = 1,
        direct: bool = False,
        pid: int = 1,
        on: Connection | None = None,
    ) -> int:
        """Join a run as a process; its runner id."""
        query = "select backfill.join_run(%s, %s, 'test', %s, %s)"
        return int(self.value(query, run, version, pid, direct, on=on))

    def discover(self, run: int, chunk: int = 1000, *, on: Connection | None = None) -> Row:
        """Enqueue one chunk."""
        return self.one("select * from backfill.discover(%s, %s)", run, chunk, on=on)

    def sweep(self, run: int, chunk: int = 1000) -> int:
        """Enqueue all that needs work; how many."""
        enqueued = 0
        while (row := self.discover(run, chunk))["state"] == "open":
            enqueued += row["enqueued"]
        assert row["state"] == "ended"
        return enqueued

    def claim(
        self,
        runner: int,
        want: int = 100,
        *,
        after: int = 0,
        due_after: Any = None,
        alone: bool = False,
        on: Connection | None = None,
    ) -> Row:
        """Claim jobs."""
        query = "select * from backfill.claim(%s, %s, %s, %s, %s)"
        return self.one(query, runner, want, after, due_after, alone, on=on)

    def finish(
        self, runner: int, results: Iterable[Mapping[str, Any]], *, on: Connection | None = None
    ) -> Row:
        """Finish jobs with what `outcome` made."""
        return self.one(
            "select * from backfill.finish(%s, %s)", runner, Jsonb(list(results)), on=on
        )

    def release(self, runner: int, keep: Sequence[int] = ()) -> int:
        """Hand jobs back."""
        return int(self.value("select backfill.release(%s, %s::bigint[])", runner, list(keep)))

    def leave(self, runner: int, reason: str = "done") -> None:
        """Say goodbye."""
        self.rows("select backfill.leave(%s, %s)", runner, reason)

    def rescue(self, grace: float = 3.0, *, on: Connection | None = None) -> list[Row]:
        """Give back dead runners' jobs."""
        return self.rows(
            "select * from backfill.rescue(make_interval(secs => %s))", float(grace), on=on
        )

    def silent(self, runner: int, seconds: float) -> None:
        """Let this runner's last heartbeat be so long ago."""
        self.rows(
            "update backfill.runner"
            " set heartbeat_at = clock_timestamp() - make_interval(secs => %s) where id = %s",
            float(seconds),
            runner,
        )

    def at_work(self, items: int = 0, **options: Any) -> tuple[int, int]:
        """A run and a runner of it, with so many new items enqueued."""
        if items:
            first = self.value("select coalesce(max(id), 0) + 1 from item")
            self.add(first, first + items - 1)
        run = self.start(**options)
        runner = self.join(run)
        self.sweep(run)
        return run, runner

    def due(self) -> None:
        """Let all retries be due now."""
        self.rows(
            "update backfill.job j set run_after = clock_timestamp() from ("
            " select id from backfill.job where run_after is not null for update skip locked) d"
            " where j.id = d.id"
        )


def outcome(job: Mapping[str, Any], kind: str = "ok", **more: Any) -> Row:
    """An element for `finish`: this claimed job came to this end."""
    row = job.get("input") or {}
    result = None
    if kind == "ok":
        result = {"text": f"result of {row.get('input')}", "version": 1}
    word = None if kind == "ok" else "test"
    return {
        "id": job["id"], "attempt": job["attempt"], "outcome": kind, "revision": job["revision"],
        "result": result, "error_class": word, "error_message": word, "counts": True, "ms": 1,
        "spend": 0, **more,
    }  # fmt: skip


def install(url: str) -> None:
    """The engine and the sample task, without rows."""
    migrate.upgrade(url, [], {})
    with psycopg.connect(url, autocommit=True) as connection:
        sample.install(connection)


# --- databases that are used again ------------------------------------------------------------

# children first: nothing cascades while triggers are off
TABLES = (
    "attempt_error", "runner_recent", "runner_minute", "run_figure", "run_meter", "reservation",
    "job", "runner", "run", "sweep_group", "sweep", "tally", "task_budget", "guard_reading",
    "guard", "task", "event", "rate_limit", "effect", "price", "spend_month", "spend_day",
    "arrival", "input", "login_session", "token", "login_failure", "delivery", "webhook",
    "run_batch", "run_command", "seat", "worker", "tick", "schedule", "task_window", "request_key",
)  # fmt: skip

CATALOGUE = """
select md5(string_agg(what, ',' order by what)) from (
    select format('class %s %s %s %s', oid, relname, relacl, reloptions) as what from pg_class
     where relkind <> 't'
    union all select format('attribute %s %s %s', attrelid, attnum, xmin) from pg_attribute
    union all select format('function %s %s', oid, xmin) from pg_proc
    union all select format('rule %s %s', oid, xmin) from pg_rewrite
    union all select format('trigger %s %s', oid, xmin) from pg_trigger
    union all select format('constraint %s %s', oid, xmin) from pg_constraint
    union all select format('schema %s %s', oid, xmin) from pg_namespace
    union all select format('default rights %s %s', oid, xmin) from pg_default_acl
) s
"""


class EngineDatabases:
    """Databases for one test after another, since making one costs more than most tests do.

    One that comes back has its rows put back; where a test changed so much as a column's default
    it is dropped instead.
    """

    def __init__(self, server_url: str, template: str, pooled_by: PgBouncer | None) -> None:
        self._server_url = server_url
        self._template = template
        self._pooled = pooled_by
        self._idle: list[Database] = []
        self._made = 0
        self._catalogue = ""

    def take(self) -> Database:
        """A database as the template is."""
        if self._idle:
            return self._idle.pop()
        self._made += 1
        name = f"{self._template}_copy_{self._made}"
        self._on_server(f"create database {name} template {self._template}")
        database = database_of(self._server_url, name, self._pooled)
        with psycopg.connect(database.direct) as connection:
            self._catalogue = self._look(connection)
        return database

    def give_back(self, database: Database) -> None:
        """Take one back, and keep it if it can be used again."""
        database.close()
        left = self._pooled.left_behind(database.direct) if self._pooled else set()
        with psycopg.connect(database.direct) as connection:
            fit = self._look(connection) == self._catalogue and not left
            if fit:
                self._put_back_rows(connection)
        if fit:
            self._idle.append(Database(database.name, database.url, database.direct))
        else:
            self._on_server(f"drop database {database.name} with (force)")
        assert not left, f"the pooler's sessions were left with {left}"

    def close(self) -> None:
        """Drop what is left."""
        for database in self._idle:
            self._on_server(f"drop database {database.name} with (force)")

    @staticmethod
    def save_rows(url: str) -> None:
        """Let the template hold copies of the rows that every test begins with."""
        with psycopg.connect(url) as connection:
            connection.execute("create schema saved")
            connection.execute("create table saved.dial (value text)")
            for table in TABLES:
                connection.execute(f"create table saved.{table} as table backfill.{table}".encode())

    def _put_back_rows(self, connection: psycopg.Connection[Any]) -> None:
        statements = [
            # the audit lets nobody delete from it while its trigger is on
            "set session_replication_role = replica",
            "delete from item",
            "delete from saved.dial",
            # no copies of these: their columns' type would keep the engine from being removed
            "delete from backfill.pgqueuer",
            "delete from backfill.pgqueuer_log",
        ]
        for table in TABLES:
            statements += [
                f"delete from backfill.{table}",
                f"insert into backfill.{table} overriding system value table saved.{table}",
            ]
        # sent at once: so many answers to wait for take longer than the statements do
        connection.execute(";".join(statements).encode())

    def _look(self, connection: psycopg.Connection[Any]) -> str:
        (found,) = connection.execute(CATALOGUE.encode()).fetchone() or ("",)
        return str(found)

    def _on_server(self, statement: str) -> None:
        with psycopg.connect(self._server_url, autocommit=True) as connection:
            connection.execute(statement.encode())


@pytest.fixture(scope="session")
def engine_databases(
    server_url: str, database_template: DatabaseTemplate, pooled_by: PgBouncer | None
) -> Iterator[EngineDatabases]:
    """See `EngineDatabases`."""

    def build(url: str) -> None:
        install(url)
        EngineDatabases.save_rows(url)

    databases = EngineDatabases(server_url, database_template("engine", build), pooled_by)
    yield databases
    databases.close()


@pytest.fixture
def engine(engine_databases: EngineDatabases) -> Iterator[Engine]:
    """See `Engine`."""
    made = Engine(engine_databases.take())
    yield made
    made.close()
    engine_databases.give_back(made.database)
