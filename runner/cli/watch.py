"""`backfill watch TASK`: new and changed rows are noted by triggers, and done before all others."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from runner.cli.common import installed_task, open_session
from runner.cli.output import note
from runner.database.files import statement
from runner.errors import BackfillError, ExitCode, UsageError

if TYPE_CHECKING:
    from runner.database.session import Session

TRIES = 20
PAUSE_S = 0.5
"""A try waits for a table's lock for three seconds at most; then others have a turn."""


@click.command()
@click.argument("task")
@click.option("--off", is_flag=True, help="Watch no longer: take the triggers off again.")
@click.pass_context
def watch(ctx: click.Context, task: str, off: bool) -> int:
    """Do a task's new and changed rows first, as they come.

    Puts triggers on the tables that the task reads. They note new rows, and rows whose inputs
    changed; a run takes these before all others, and with --follow it stays for them:

    \b
    backfill watch TASK
    backfill run TASK --follow
    """
    with open_session(ctx) as session:
        installed = installed_task(session, task)
        if not off and not session.call("watches", task=task):
            _declare(session, task, installed["binding"])
        number = _told(session, task, statement("unwatch") if off else statement("watch"))
        tables = session.call("watches", task=task)
    if off:
        click.echo(f"{task} is watched no longer" if number else f"{task} was not watched")
        return ExitCode.DONE
    for table in tables:
        columns = ", ".join(table["columns"])
        click.echo(f"{task} does new rows of {table['relation']} first, and changes of {columns}")
    note(f"next: backfill run {task} --follow")
    return ExitCode.DONE


def _declare(session: Session, name: str, binding: Mapping[str, str]) -> None:
    from runner.database.inputs import declare
    from runner.registry import all_tasks

    task = all_tasks().get(name)
    if task is None or not task.inputs:
        raise UsageError(
            f"nobody has said which columns {name} reads; say it in psql, for example: "
            f"select backfill.declare_inputs('{name}', 'public.images', 'id', '{{url}}')"
        )
    declare(session, task, binding)


def _told(session: Session, task: str, call: str) -> int:
    """Say it to the database, again where a table was in use; the number of tables."""
    import psycopg

    for _ in range(TRIES):
        try:
            (row,) = session.execute(call, {"task": task}, once=True)
        except psycopg.errors.LockNotAvailable:
            time.sleep(PAUSE_S)
        else:
            return int(row["tables"])
    raise BackfillError(
        f"a table that {task} reads was in use all the time; pg_stat_activity says by whom, "
        "and a later try may have more luck"
    )
