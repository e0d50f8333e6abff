"""`backfill verify`: a task's verification queries, in a READ ONLY transaction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from runner.cli.common import (
    application_name,
    conninfo,
    count,
    installed_task,
    json_option,
    open_session,
    script,
)
from runner.cli.output import emit_json, heading, table
from runner.errors import BackfillError, ExitCode, UsageError


@click.command()
@click.argument("task")
@json_option
@click.pass_context
def verify(ctx: click.Context, task: str, as_json: bool) -> int:
    """Check TASK's results in the database.

    Runs the queries of sql/tasks/TASK/verify in one READ ONLY transaction and prints what they
    return. A column `ok` that is false in any row is a failed check, and the exit code is 1.
    """
    scripts = verification_scripts(task)
    with open_session(ctx) as session:
        installed_task(session, task)
    found = _run(ctx, scripts)
    failed = [row for _, _, rows in found for row in rows if row.get("ok") is False]
    if as_json:
        emit_json(
            {
                "task": task,
                "ok": not failed,
                "queries": [{"name": n, "heading": h, "rows": rows} for n, h, rows in found],
            }
        )
    else:
        for place, (_, title, rows) in enumerate(found):
            heading(("\n" if place else "") + title)
            table(rows, list(rows[0]) if rows else [])
    if failed:
        first = failed[0]
        what = first.get("name") or next(iter(first.values()))
        detail = f" ({first['detail']})" if first.get("detail") else ""
        raise BackfillError(f"{task}: {count(len(failed), 'check')} failed: {what}{detail}")
    return ExitCode.DONE


def verification_scripts(task: str) -> list[Path]:
    """The task's verification queries, in order of their names. Raises `UsageError` for none."""
    from runner.database.files import sql_folder
    from runner.registry import find

    known = find(task)
    scripts = sorted((sql_folder() / "tasks" / known.name / "verify").glob("*.sql"))
    if not scripts:
        raise UsageError(f"{task} has no verification queries")
    return scripts


def _run(ctx: click.Context, scripts: list[Path]) -> list[tuple[str, str, list[dict[str, Any]]]]:
    from runner.database.session import connect

    found = []
    with connect(conninfo(ctx), name=application_name(ctx), autocommit=False) as connection:
        connection.execute("set transaction isolation level repeatable read read only")
        for path in scripts:
            title, query = script(path)
            rows = connection.execute(query).fetchall()
            found.append((path.stem, title, rows))
    return found
