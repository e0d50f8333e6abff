"""`backfill tasks`: which tasks there are, here and in the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from runner.cli.common import conninfo, json_option, open_session
from runner.cli.output import emit_json, note, table
from runner.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from runner.contract import Task


@click.command()
@json_option
@click.pass_context
def tasks(ctx: click.Context, as_json: bool) -> int:
    """List the tasks: those whose code is here, and those installed in the database.

    \b
    installed   in the database, at the version of the code here
    paused      installed, and paused by somebody
    outdated    the database and the code here are at different versions
    available   its code is here; install it with: backfill migrate TASK
    no code     in the database, but its code is not here
    broken      its code can't be loaded
    """
    from runner.registry import all_tasks, broken

    known = all_tasks()
    in_database = _installed(ctx)
    rows = list(_rows(known, in_database or {}))
    rows += [
        {"task": origin, "version": None, "installed": None, "state": "broken", "summary": why}
        for origin, why in broken().items()
    ]
    if as_json:
        emit_json(rows)
        return ExitCode.DONE
    table(rows, ["task", "version", "installed", "state", "summary"])
    if in_database is None:
        note("no database given, so what is installed is not known; see: backfill tasks --help")
    return ExitCode.DONE


def _installed(ctx: click.Context) -> dict[str, dict[str, Any]] | None:
    """The database's tasks by name; None where no database is named at all."""
    from runner.database.migrate import installed

    try:
        target = conninfo(ctx)
    except UsageError:
        return None
    if not installed(target):
        return {}
    with open_session(ctx) as session:
        return {row["name"]: row for row in session.call("tasks")}


def _rows(
    known: Mapping[str, Task], installed: Mapping[str, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    for name in sorted({*known, *installed}):
        task, row = known.get(name), installed.get(name)
        yield {
            "task": name,
            "version": task.version if task else None,
            "installed": row["version"] if row else None,
            "state": _state(task, row),
            "summary": task.summary if task else row["summary"] if row else "",
        }


def _state(task: Task | None, row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "available"
    if task is None:
        return "no code"
    if row["paused_at"] is not None:
        return "paused"
    return "installed" if row["version"] == task.version else "outdated"
