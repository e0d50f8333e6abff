"""`backfill schedule`: when workers start runs by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from runner.cli.common import installed_task, json_option, names_and_values, open_session
from runner.cli.output import emit_json, note, table
from runner.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from runner.contract import Task
    from runner.database.session import Session

NO_SUCH_SCHEDULE = "BF013"
"""SQLSTATE of backfill.set_schedule() and others."""
REFUSED = (NO_SUCH_SCHEDULE, "BF009", "23514", "42501")
"""SQLSTATEs of what whoever sets a schedule can mend: options, a constraint, a right."""


@click.group()
def schedule() -> None:
    """Have workers start runs at certain times.

    Schedules are fired by backfill worker, each time once, however many workers there are.
    """


@schedule.command("add")
@click.argument("task")
@click.argument("cron")
@click.option("--name", help="Its name; one of that name is set anew.  [default: the task's]")
@click.option("--tz", "zone", metavar="ZONE", default="UTC", show_default=True, help="Time zone.")
@click.option("--limit", type=click.IntRange(0), help="Most rows of a run; 0: no limit.")
@click.option("--where", metavar="SQL", help="Only rows for which this holds.")
@click.option("--resume", is_flag=True, help="Take failed rows up again, too.")
@click.option("--batch-size", type=click.IntRange(1), help="Rows claimed at once.")
@click.option("--delay", type=click.IntRange(0), help="Milliseconds between two batches.")
@click.option("--processes", type=click.IntRange(1, 64), help="Processes at a time.  [default: 1]")
@click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="An option of the task.")
@click.pass_context
def add(ctx: click.Context, /, task: str, cron: str, **options: Any) -> int:
    """Start a run of TASK at the times of CRON: minute, hour, day of month, month, day of week.

    \b
    backfill schedule add vehicle_images "*/10 22-6 * * *" --limit 500
    backfill schedule add quality_score "30 2 * * 1" --tz Europe/Berlin

    A sixth field, where there is one, is the second. A time at which a run of the task is still
    live is passed over.
    """
    from psycopg.types.json import Jsonb

    from runner.registry import find
    from runner.worker.cron import Cron

    code = find(task)
    times = Cron(cron, options["zone"])
    stored = _stored(code, options)
    with open_session(ctx) as session:
        installed_task(session, task)
        name = options["name"] or _free_name(session, task)
        with _told():
            session.call(
                "set_schedule",
                name=name, task=task, cron=cron, options=Jsonb(stored), zone=options["zone"],
            )  # fmt: skip
        (row,) = session.call("schedules", name=name, task=None)
    click.echo(f"{name} is set: {task} at {row['cron']} {row['timezone']}")
    _tell_next(times, row["timezone"])
    return ExitCode.DONE


@schedule.command("list")
@click.argument("task", required=False)
@json_option
@click.pass_context
def list_(ctx: click.Context, task: str | None, as_json: bool) -> int:
    """Show the schedules, or those of TASK: when each is due, and what came of the last time.

    In psql: select * from backfill.schedules;
    """
    with open_session(ctx) as session:
        if task is not None:
            installed_task(session, task)
        rows = session.call("schedules", name=None, task=task)
    if as_json:
        emit_json(rows)
    elif not rows:
        note('there is no schedule; for example: backfill schedule add TASK "*/10 22-6 * * *"')
    else:
        columns = ["name", "task", "cron", "timezone", "next_at", "last_at", "last_outcome"]
        table(rows, columns)
        for row in rows:
            for words in (row["note"], row["last_reason"]):
                if words:
                    note(f"{row['name']}: {words}")
    return ExitCode.DONE


@schedule.command("drop")
@click.argument("name")
@click.pass_context
def drop(ctx: click.Context, name: str) -> int:
    """Take the schedule NAME away; its runs stay."""
    with open_session(ctx) as session, _told():
        session.call("drop_schedule", name=name)
    click.echo(f"{name} is dropped")
    return ExitCode.DONE


@schedule.command("enable")
@click.argument("name")
@click.pass_context
def enable(ctx: click.Context, name: str) -> int:
    """Have the schedule NAME fired again, from now on."""
    return _enable(ctx, name, True)


@schedule.command("disable")
@click.argument("name")
@click.pass_context
def disable(ctx: click.Context, name: str) -> int:
    """Don't have the schedule NAME fired until it is enabled again."""
    return _enable(ctx, name, False)


def _enable(ctx: click.Context, name: str, enabled: bool) -> int:
    with open_session(ctx) as session, _told():
        session.call("enable_schedule", name=name, enabled=enabled)
    click.echo(f"{name} is {'enabled' if enabled else 'disabled'}")
    return ExitCode.DONE


def _stored(task: Task, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as the schedule keeps them. Raises `UsageError`."""
    from runner.options import checked, complete, from_text

    known = {option.name: option for option in task.options}
    given = {
        name: from_text(known[name], text) if name in known else text
        for name, text in names_and_values(options["given"]).items()
    }
    settings = checked(task, given)
    # The task's own condition follows from its options, and is made by whoever fires it.
    done = complete(task, settings, limit=options["limit"], where=None)
    of_run = {
        "limit": done.limit,
        "where": options["where"],
        "retry_failed": options["resume"] or None,
        "batch_size": options["batch_size"],
        "delay_ms": options["delay"],
        "processes": options["processes"],
    }
    return {**done.settings, **{name: value for name, value in of_run.items() if value is not None}}


def _free_name(session: Session, task: str) -> str:
    """A name that no schedule has: a second one of a task does not take the first one's place."""
    taken = {row["name"] for row in session.call("schedules", name=None, task=None)}
    names = (task if number == 1 else f"{task}-{number}" for number in count(1))
    return next(name for name in names if name not in taken)


def _tell_next(times: Any, zone: str) -> None:
    at = times.after(datetime.now(UTC))
    if at is None:
        note("it is never due")
        return
    local = at.astimezone(UTC if zone == "UTC" else ZoneInfo(zone))
    note(f"due next at {local:%Y-%m-%d %H:%M:%S %Z}; workers fire it: backfill worker")


@contextmanager
def _told() -> Iterator[None]:
    """What the database refuses in the block for a reason of the user's is a `UsageError`."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate not in REFUSED:
            raise
        said = error.diag
        rule = (said.constraint_name or "").replace("_", " ")
        broken = f"the schedule is refused, since this is the rule: {rule}" if rule else ""
        hint = f"; {said.message_hint}" if said.message_hint else ""
        raise UsageError(f"{broken or said.message_primary}{hint}") from error
