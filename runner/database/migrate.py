"""Installing, upgrading and removing the schema, by alembic.

One branch for the engine and one for each task. A task's branch binds to the application's
tables, whose names it takes from `--set name=value`, from what was given before, or from the
task's defaults.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import errors
from sqlalchemy.exc import DBAPIError

from runner.contract import Task
from runner.database import failures
from runner.database.conninfo import describe
from runner.database.files import migrations_folder
from runner.database.scripts import LOCK_TIMEOUT
from runner.database.session import connect
from runner.errors import BackfillError, UsageError

log = logging.getLogger(__name__)

LOCK_ATTEMPTS = 40
"""A migration that waits for a lock makes everybody behind it wait, so it gives up soon and tries
again, for about four minutes in all."""


def installed(conninfo: str) -> dict[str, dict[str, str]]:
    """The installed tasks' bindings by task name; empty where the engine is not installed."""
    with connect(conninfo, name="backfill migrate") as connection:
        row = connection.execute("select to_regclass('backfill.task') is not null as there").fetchone()
        if row is None or not row["there"]:
            return {}
        rows = connection.execute("select name, binding from backfill.task order by name").fetchall()
    return {row["name"]: dict(row["binding"]) for row in rows}


def bindings(
    tasks: Sequence[Task], given: Mapping[str, str], before: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """Each task's names: its defaults, then what was given before, then what is given now.

    Raises `UsageError` for a name that none of the tasks has.
    """
    known = {name for task in tasks for name in task.binding}
    known |= {f"{name}_type" for name in known}
    unknown = sorted(set(given) - known)
    if unknown:
        raise UsageError(
            f"--set {unknown[0]}=... is not a name of {', '.join(t.name for t in tasks) or 'the engine'}; "
            f"known: {', '.join(sorted(n for n in known if not n.endswith('_type'))) or 'none'}"
        )
    return {
        task.name: {
            **task.binding,
            **before.get(task.name, {}),
            **{n: v for n, v in given.items() if n.removesuffix("_type") in task.binding},
        }
        for task in tasks
    }


def _config(tasks: Sequence[Task], names: Mapping[str, Mapping[str, str]]) -> Config:
    folder = migrations_folder()
    places = [folder / "engine"]
    places += [task.migrations for task in tasks if task.migrations is not None]
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(str(place) for place in places))
    config.attributes["bindings"] = names
    return config


@contextmanager
def _engine_connection(conninfo: str) -> Iterator[sqlalchemy.Connection]:
    """SQLAlchemy's connection over ours: one place decides how connections are made."""
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(
            conninfo, prepare_threshold=None, application_name="backfill migrate", connect_timeout=10
        ),
        poolclass=sqlalchemy.pool.NullPool,
    )
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.OperationalError) and error.connection_invalidated:
            raise failures.unreachable(error.orig, describe(conninfo)) from error
        raise
    finally:
        engine.dispose()


def _online(conninfo: str, config: Config, step: Any) -> None:
    """Run an alembic command, again where a lock was not to be had; finished revisions stay."""
    connect(conninfo, name="backfill migrate").close()
    for attempt in range(1, LOCK_ATTEMPTS + 1):
        try:
            with _engine_connection(conninfo) as connection:
                raw = connection.connection.driver_connection
                assert isinstance(raw, psycopg.Connection)  # noqa: S101 - the creator above made it
                raw.execute("create schema if not exists backfill")
                raw.commit()
                config.attributes["connection"] = connection
                step(config)
        except (psycopg.Error, DBAPIError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            if not isinstance(cause, errors.LockNotAvailable):
                raise failures.explain(cause) from error if isinstance(cause, psycopg.Error) else error
            log.warning(
                "a table is locked by another session; trying again (%d of %d)", attempt, LOCK_ATTEMPTS
            )
            time.sleep(3)
        else:
            return
    raise BackfillError(
        f"a table stayed locked for {LOCK_ATTEMPTS} tries of {LOCK_TIMEOUT}; "
        "find the session in pg_stat_activity, then run the same command again"
    )


def upgrade(conninfo: str, tasks: Sequence[Task], given: Mapping[str, str]) -> None:
    """Bring the engine and these tasks to their newest revision."""
    config = _config(tasks, bindings(tasks, given, installed(conninfo)))
    targets = ["engine@head", *(f"{task.name}@head" for task in tasks if task.migrations)]
    for target in targets:
        _online(conninfo, config, lambda c, target=target: command.upgrade(c, target))


def upgrade_sql(tasks: Sequence[Task], given: Mapping[str, str]) -> str:
    """The SQL that `upgrade` would run on an empty database, for review; touches no database."""
    config = _config(tasks, bindings(tasks, given, {}))
    out = io.StringIO()
    config.output_buffer = out
    heads = ScriptDirectory.from_config(config).get_heads()
    command.upgrade(config, "heads" if len(heads) > 1 else heads[0], sql=True)
    return out.getvalue()


def downgrade(conninfo: str, tasks: Sequence[Task]) -> None:
    """Remove these tasks; what they added to the application's tables goes, nothing else."""
    config = _config(tasks, bindings(tasks, {}, installed(conninfo)))
    for task in tasks:
        if task.migrations:
            _online(conninfo, config, lambda c, t=task: command.downgrade(c, f"{t.name}@base"))


def uninstall(conninfo: str, tasks: Sequence[Task]) -> None:
    """Remove everything: these tasks, the engine, alembic's table and the schema."""
    there = installed(conninfo)
    known = [task for task in tasks if task.name in there]
    foreign = sorted(set(there) - {task.name for task in known})
    if foreign:
        raise UsageError(
            f"task {foreign[0]} is installed but its code is not; "
            f"remove it first: select backfill.unregister_task('{foreign[0]}')"
        )
    downgrade(conninfo, known)
    config = _config([], {})
    _online(conninfo, config, lambda c: command.downgrade(c, "engine@base"))
    with connect(conninfo, name="backfill migrate") as connection:
        connection.execute("drop table backfill.alembic_version")
        connection.execute("drop schema backfill")


def current(conninfo: str) -> set[str]:
    """The revisions that the database is at."""
    with _engine_connection(conninfo) as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": "alembic_version", "version_table_schema": "backfill"}
        )
        return set(context.get_current_heads())


def heads(tasks: Sequence[Task]) -> set[str]:
    """The newest revisions there are for the engine and these tasks."""
    return set(ScriptDirectory.from_config(_config(tasks, {})).get_heads())
