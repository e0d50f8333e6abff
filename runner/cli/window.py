"""`backfill window`: hours in which a task may run."""

from __future__ import annotations

import re
from typing import Any

import click

from runner.cli.common import installed_task, json_option, open_session
from runner.cli.output import Column, emit_json, note, table
from runner.errors import ExitCode, UsageError

REFUSED = ("BF014", "22008", "22007", "42501")
"""SQLSTATEs of what whoever sets a window can mend: it, a time of day, a right."""


@click.command()
@click.argument("task", required=False)
@click.argument("hours", required=False, metavar="[FROM-TO]")
@click.option("--tz", "zone", metavar="ZONE", default="UTC", show_default=True, help="Time zone.")
@click.option("--always", is_flag=True, help="Let it run at any hour.")
@json_option
@click.pass_context
def window(
    ctx: click.Context, task: str | None, hours: str | None, zone: str, always: bool, as_json: bool
) -> int:
    """Show in which hours tasks may run, or let TASK run between two times of day only.

    \b
    backfill window quality_score 22:00-06:00 --tz Europe/Berlin
    backfill window quality_score --always

    Outside them its runs wait, and go on by themselves. New rows of a watched task are done at any
    hour.
    """
    if hours is not None and always:
        raise UsageError("--always can't be given with hours")
    if always and task is None:
        raise UsageError("say of which task: backfill window TASK --always")
    with open_session(ctx) as session:
        if task is not None:
            installed_task(session, task)
        if always:
            session.call("clear_window", task=task)
            click.echo(f"{task} may run at any hour")
            return ExitCode.DONE
        if hours is not None:
            _set(session, task, hours, zone)
        rows = session.call("windows", task=task)
    _show(rows, task, as_json)
    return ExitCode.DONE


def _set(session: Any, task: str | None, hours: str, zone: str) -> None:
    import psycopg

    found = re.fullmatch(r"(\d{1,2}:\d{2})\s*-\s*(\d{1,2}:\d{2})", hours.strip())
    if found is None:
        raise UsageError(f"{hours!r} should be two times of day, like 22:00-06:00")
    try:
        session.call("set_window", task=task, opens=found[1], closes=found[2], zone=zone)
    except psycopg.Error as error:
        if error.sqlstate not in REFUSED:
            raise
        hint = f"; {error.diag.message_hint}" if error.diag.message_hint else ""
        raise UsageError(f"{error.diag.message_primary}{hint}") from error


def _show(rows: list[dict[str, Any]], task: str | None, as_json: bool) -> None:
    shown = [{**row, **{end: f"{row[end]:%H:%M}" for end in ("opens", "closes")}} for row in rows]
    if as_json:
        emit_json(shown)
    elif not rows:
        whose = "every task" if task is None else task
        note(f"{whose} may run at any hour; hours are set with: backfill window TASK 22:00-06:00")
    else:
        for row in shown:
            row |= {
                "hours": f"{row['opens']}-{row['closes']}",
                "now": "open" if row["open"] else "closed",
            }
        table(
            shown,
            ["task", "hours", Column("zone", "time zone"), "now", Column("changes_at", "until")],
        )
