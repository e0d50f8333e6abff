"""Installing, upgrading and removing the schema, by alembic.

One branch for the engine and one for each task. A task's branch binds to the application's
tables, whose names it takes from `--set name=value`, from what was given before, or from the
task's defaults.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, LiteralString

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from psycopg import errors
from sqlalchemy.exc import DBAPIError

from runner.contract import Task
from runner.database import failures, inputs
from runner.database.conninfo import describe
from runner.database.files import migrations_folder
from runner.database.session import connect
from runner.errors import BackfillError, UsageError

log = logging.getLogger(__name__)

LOCK_ATTEMPTS = 40
LOCK_PAUSE_S = 3.0
"""A migration that waits for a lock makes everybody behind it wait, so it gives up soon and tries
again, for about four minutes in all."""

Names = Mapping[str, str]
"""Names of the application's tables and columns: what `--set` takes."""


def installed(conninfo: str) -> dict[str, dict[str, str]]:
    """The installed tasks' bindings by task name; empty where the engine is not installed."""
    with connect(conninfo, name="backfill migrate") as connection:
        row = connection.execute(
            "select to_regclass('backfill.task') is not null as there"
        ).fetchone()
        if row is None or not row["there"]:
            return {}
        rows = connection.execute(
            "select name, binding from backfill.task order by name"
        ).fetchall()
    return {row["name"]: dict(row["binding"]) for row in rows}


def bindings(
    tasks: Sequence[Task], given: Names, before: Mapping[str, Names]
) -> dict[str, dict[str, str]]:
    """Each task's names: its defaults, then what was given before, then what is given now.

    Beside a name `key`, `key_type` may be given: the column's SQL type, where no database can be
    asked. Raises `UsageError` for a name that none of the tasks has.
    """
    names = {name for task in tasks for name in task.binding}
    for name in given:
        if not _belongs(name, names):
            whose = ", ".join(task.name for task in tasks) or "the engine"
            raise UsageError(
                f"--set {name}=... is not a name of {whose}; "
                f"known: {', '.join(sorted(names)) or 'none'}"
            )
    return {
        task.name: {
            **task.binding,
            **before.get(task.name, {}),
            **{name: value for name, value in given.items() if _belongs(name, task.binding)},
        }
        for task in tasks
    }


def _belongs(name: str, names: Mapping[str, str] | set[str]) -> bool:
    return name in names or (name.endswith("_type") and name.removesuffix("_type") in names)


def _config(tasks: Sequence[Task], names: Mapping[str, Names]) -> Config:
    """Alembic's settings, for revisions of the engine and of these tasks."""
    folder = migrations_folder()
    places = [folder / "engine"]
    places += [task.migrations for task in tasks if task.migrations is not None]
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(dict.fromkeys(map(str, places))))
    config.attributes["bindings"] = names
    return config


@contextmanager
def _engine_connection(conninfo: str) -> Iterator[sqlalchemy.Connection]:
    """SQLAlchemy's connection over ours: one place decides how connections are made."""
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(
            conninfo,
            prepare_threshold=None,
            application_name="backfill migrate",
            connect_timeout=10,
        ),
        poolclass=sqlalchemy.pool.NullPool,
    )
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def _raw(connection: sqlalchemy.Connection) -> psycopg.Connection[Any]:
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)  # noqa: S101 - the creator above made it
    return raw


def _online(conninfo: str, config: Config, step: Callable[[Config], None]) -> None:
    """Run an alembic command, again where a lock was not to be had; finished revisions stay."""
    connect(conninfo, name="backfill migrate").close()
    busy = None
    for attempt in range(1, LOCK_ATTEMPTS + 1):
        busy = _attempt(conninfo, config, step)
        if busy is None:
            return
        log.warning("%s; trying again (%d of %d)", busy, attempt, LOCK_ATTEMPTS)
        time.sleep(LOCK_PAUSE_S)
    raise BackfillError(
        f"{busy}, and was at each of {LOCK_ATTEMPTS} tries; "
        "find the session in pg_stat_activity, then run the same command again"
    )


def _attempt(conninfo: str, config: Config, step: Callable[[Config], None]) -> str | None:
    """Run the step once; what stood in its way where it should be tried again."""
    try:
        with _engine_connection(conninfo) as connection:
            raw = _raw(connection)
            if not _alone(raw):
                return "another migration is at work on this database"
            if _value(raw, "select to_regnamespace('backfill') is null"):
                raw.execute("create schema if not exists backfill")
            raw.commit()
            config.attributes["connection"] = connection
            step(config)
    except (psycopg.Error, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(cause, errors.LockNotAvailable):
            return "a table is locked by another session"
        raise _told(cause, conninfo) if isinstance(cause, psycopg.Error) else error from error
    except CommandError as error:
        raise BackfillError(
            f"the database holds a revision that is not here ({error}); install the task's package "
            "or name it in BACKFILL_TASKS, or use a newer pgbackfill"
        ) from error
    return None


def _alone(raw: psycopg.Connection[Any]) -> bool:
    """Whether no other migration is at work; let go of when the connection closes.

    Polled, since a session that waits for a lock holds up the concurrent build of an index that
    the other one may be at. Behind a transaction pooler nobody has a session of his own to hold
    a lock with, and it is left to the DBA.
    """
    direct = _value(raw, "select pg_backend_pid()") == raw.info.backend_pid
    return not direct or bool(
        _value(raw, "select pg_try_advisory_lock(hashtext('pgbackfill migrate'))")
    )


def _value(raw: psycopg.Connection[Any], query: LiteralString) -> Any:
    row = raw.execute(query).fetchone()
    return row[0] if row else None


def _told(cause: psycopg.Error, conninfo: str) -> BackfillError:
    if failures.is_connection_lost(cause):
        return failures.unreachable(cause, describe(conninfo))
    if isinstance(cause, errors.DependentObjectsStillExist):
        # PostgreSQL's own hint is to cascade, which would take somebody else's objects along
        detail = (cause.diag.message_detail or "").splitlines()
        return BackfillError(
            f"{failures.first_line(cause)} ({detail[0] if detail else 'no detail'}); "
            "drop what depends on it first"
        )
    return failures.explain(cause)


def upgrade(
    conninfo: str, tasks: Sequence[Task], given: Names, *, known: Sequence[Task] = ()
) -> None:
    """Bring the engine and these tasks to their newest revision.

    `known` are all tasks whose code is here: the database may hold revisions of theirs too.
    Raises `UsageError` where names are given for a task that is installed with others.
    """
    before = installed(conninfo)
    names = bindings(tasks, given, before)
    everything = _union(tasks, known)
    stamped = current(conninfo, everything) if before else set()
    for task in tasks:
        had = before.get(task.name, {})
        changed = [n for n in given if n in names[task.name] and had.get(n) != given[n]]
        if changed and _revisions(task) & stamped:
            raise UsageError(
                f"{task.name} is installed with {changed[0]}={had.get(changed[0], '')}; to bind it "
                f"anew, take it out first: backfill migrate --down {task.name}"
            )
    config = _config(everything, names)
    targets = ["engine@head", *(f"{task.name}@head" for task in tasks if task.migrations)]
    for target in targets:
        _online(conninfo, config, partial(command.upgrade, revision=target))
    for task in tasks:
        if task.inputs:
            inputs.declare_where_possible(conninfo, task, names[task.name])


def upgrade_sql(tasks: Sequence[Task], given: Names) -> str:
    """The SQL that `upgrade` would run on an empty database, for review; touches no database."""
    names = bindings(tasks, given, {})
    config = _config(tasks, names)
    out = io.StringIO()
    config.output_buffer = out
    heads = ScriptDirectory.from_config(config).get_heads()
    command.upgrade(config, "heads" if len(heads) > 1 else heads[0], sql=True)
    declared = "".join(inputs.declare_sql(task, names[task.name]) for task in tasks)
    return out.getvalue() + declared


def downgrade(conninfo: str, tasks: Sequence[Task], *, known: Sequence[Task] = ()) -> None:
    """Remove these tasks; what they added to the application's tables goes, nothing else.

    Raises `UsageError` where one is not installed, was installed half-way, or not by us.
    """
    there = installed(conninfo)
    everything = _union(tasks, known)
    stamped = current(conninfo, everything)
    for task in tasks:
        if task.name not in there:
            raise UsageError(f"{task.name} is not installed in {describe(conninfo)}")
        if task.migrations is None:
            raise UsageError(_by_hand(task.name))
        if not _revisions(task) & stamped:
            raise UsageError(
                f"{task.name} is installed half-way; finish it first: backfill migrate {task.name}"
            )
    config = _config(everything, bindings(tasks, {}, there))
    for task in tasks:
        _online(conninfo, config, partial(command.downgrade, revision=f"{task.name}@base"))


def uninstall(conninfo: str, tasks: Sequence[Task]) -> None:
    """Remove everything: these tasks, the engine, alembic's table and the schema.

    `tasks` are all whose code is here. Raises `UsageError`, before anything is removed, where
    a task is installed whose code is not.
    """
    there = installed(conninfo)
    known = [task for task in tasks if task.name in there]
    for name in sorted(set(there) - {task.name for task in known if task.migrations}):
        raise UsageError(_by_hand(name))
    downgrade(conninfo, known, known=tasks)
    _online(conninfo, _config([], {}), partial(command.downgrade, revision="engine@base"))
    with connect(conninfo, name="backfill migrate") as connection:
        connection.execute("drop table if exists backfill.alembic_version")
        try:
            connection.execute("drop schema backfill")
        except errors.DependentObjectsStillExist as error:
            raise _told(error, conninfo) from error


def current(conninfo: str, tasks: Sequence[Task] = ()) -> set[str]:
    """The revisions that the database is at; `tasks` are those whose code is here.

    Alembic stamps a task's revision in the place of the engine's that it depends on, so the
    engine's is added here again.
    """
    with _engine_connection(conninfo) as connection:
        context = MigrationContext.configure(
            connection,
            opts={"version_table": "alembic_version", "version_table_schema": "backfill"},
        )
        stamped = context.get_current_heads()
    script = ScriptDirectory.from_config(_config(tasks, {}))
    implied: set[str] = set()
    for revision in stamped:
        try:
            implied |= {found.revision for found in script.get_all_current((revision,))}
        except CommandError:
            log.debug("revision %s belongs to a task whose code is not here", revision)
    return set(stamped) | implied


def heads(tasks: Sequence[Task]) -> set[str]:
    """The newest revisions there are for the engine and these tasks."""
    return set(ScriptDirectory.from_config(_config(tasks, {})).get_heads())


def by_branch(revisions: set[str], tasks: Sequence[Task]) -> dict[str, str]:
    """Revisions by the name of their branch (`engine`, or the task's), in order of names."""
    script = ScriptDirectory.from_config(_config(tasks, {}))
    found: dict[str, str] = {}
    for revision in sorted(revisions):
        try:
            step = script.get_revision(revision)
        except CommandError:
            continue
        for label in step.branch_labels:
            found[label] = revision
    return found


def _union(tasks: Sequence[Task], known: Sequence[Task]) -> list[Task]:
    named = {task.name: task for task in known} | {task.name: task for task in tasks}
    return list(named.values())


def _revisions(task: Task) -> set[str]:
    """The task's own revisions, without the engine's."""

    def walk(tasks: Sequence[Task]) -> set[str]:
        script = ScriptDirectory.from_config(_config(tasks, {}))
        return {found.revision for found in script.walk_revisions()}

    return walk([task]) - walk([])


def _by_hand(name: str) -> str:
    return (
        f"task {name} is installed but its migrations are not here; install its package or name it "
        f"in BACKFILL_TASKS, or, if it was made by hand, drop its view backfill.needs_{name} and "
        f"its function backfill.apply_{name}, then: select backfill.unregister_task('{name}')"
    )
