"""`backfill menu`: pick a task and what to do with it; what is picked is an ordinary command."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from runner.cli.common import confirm, open_session, settings
from runner.cli.group import can_ask, main
from runner.cli.output import Column, table
from runner.errors import ExitCode, UsageError
from runner.redaction import printable, redact

if TYPE_CHECKING:
    from runner.cli.common import Settings
    from runner.contract import Task
    from runner.database.session import Session

TEST_ROWS = 10
"""Rows of a test run; of each user where the task's limit is per user."""

DRY_RUN = ("--dry-run",)
USER_OPTION = "user_id"
"""The option that a task has if it can be run for one user."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[TASK OPTION]...")
@click.pass_context
def menu(ctx: click.Context, options: tuple[str, ...]) -> int:
    """Pick a task and what to do with it, on a terminal; `backfill` alone does the same.

    It shows the command line of what was picked and runs that very command, so its exit code is
    that command's. After a dry run it asks again.

    An option of the task is given here, and goes on to the command:

    \b
    backfill menu --base-url /srv/pictures
    """
    if not can_ask():
        raise UsageError(
            "the menu needs a terminal to ask on; list the tasks with: backfill tasks, "
            "and see what one would do with: backfill run TASK --dry-run"
        )
    try:
        with open_session(ctx) as session:
            task = _ask_for_task(_installed(session))
        while True:
            asked = _ask_for_action(task)
            if asked is None:
                return ExitCode.CANCELLED
            code = _run(settings(ctx), ["run", task.name, *options, *asked])
            if asked != DRY_RUN or code != ExitCode.DONE:
                return code
    except click.Abort:
        click.echo()  # what is said of it begins on a line of its own
        raise


def arguments(task: Task, action: str, value: str = "") -> tuple[str, ...]:
    """What follows `backfill run TASK` for an action of the menu: dry run, all, one or test.

    `value` is the user for `one`, or a condition where the task knows no users.
    """
    if action == "dry run":
        return DRY_RUN
    if action == "test":
        return "--limit", str(TEST_ROWS)
    if action == "one":
        return "--user-id" if _knows_users(task) else "--where", value
    return () if task.pacing.limit is None else ("--limit", "0")


def _installed(session: Session) -> list[tuple[Task, str]]:
    """The tasks that can be run here, each with whether there is anything to do."""
    from runner.registry import all_tasks

    known = all_tasks()
    rows = [row for row in session.call("tasks") if row["name"] in known]
    if not rows:
        raise UsageError(
            "no task is installed; see which there are with: backfill tasks, "
            "and install one with: backfill migrate TASK"
        )
    return [(known[row["name"]], _state(session, known[row["name"]], row)) for row in rows]


def _state(session: Session, task: Task, row: Mapping[str, Any]) -> str:
    import psycopg

    from runner.database.failures import first_line, is_connection_lost
    from runner.options import settings_of

    if row["paused_at"] is not None:
        return f"paused by {row['paused_by']}"
    if row["version"] != task.version:
        return f"outdated; run: backfill migrate {task.name}"
    where = None if task.condition is None else task.condition(settings_of(task, {}))
    try:
        found = session.one("anything", task=task.name, where=where, retry_failed=False)
    except psycopg.Error as error:
        if is_connection_lost(error):
            raise
        # one task's view, broken by a change of the application, is in no other task's way
        return f"can't tell: {first_line(error)}"
    return "has rows to do" if found["anything"] else "nothing to do"


def _ask_for_task(tasks: Sequence[tuple[Task, str]]) -> Task:
    rows = [
        {"number": str(number), "task": task.name, "state": state, "summary": task.summary}
        for number, (task, state) in enumerate(tasks, start=1)
    ]
    if len(tasks) == 1:
        table(rows, ["task", "state", "summary"])
        return tasks[0][0]
    table(rows, [Column("number", " "), "task", "state", "summary"])
    number = _ask_for_number("Which task?", len(tasks))
    return tasks[number - 1][0]


def _ask_for_action(task: Task) -> tuple[str, ...] | None:
    """What to add to the command; None: nothing is to be done."""
    actions = dict(_actions(task))
    click.echo(f"\n{task.name}")
    for number, words in enumerate(actions.values(), start=1):
        click.echo(f"  {number}  {words}")
    number = _ask_for_number("What to do?", len(actions))
    action = list(actions)[number - 1]
    if action == "cancel":
        return None
    if action == "all" and not confirm(f"{task.name}: process everything?", yes=False):
        return None
    return arguments(task, action, _ask_for_one(task) if action == "one" else "")


def _actions(task: Task) -> Iterator[tuple[str, str]]:
    one = "one user" if _knows_users(task) else "the rows that a condition holds for"
    of_each = task.pacing.limit_by and f" of each {task.pacing.limit_by.removesuffix('_id')}"
    yield "dry run", "dry run: see what would be done; nothing is changed"
    yield "all", "process everything"
    yield "one", f"process {one}"
    yield "test", f"test run: {TEST_ROWS} rows{of_each or ''}"
    yield "cancel", "cancel"


def _ask_for_number(question: str, most: int) -> int:
    number: int = click.prompt(question, type=click.IntRange(1, most), prompt_suffix=" ")
    return number


def _ask_for_one(task: Task) -> str:
    question = "User's id" if _knows_users(task) else "Condition, in SQL, on the needs view"
    return str(click.prompt(question, value_proc=_not_blank))


def _not_blank(answer: str) -> str:
    """The answer; blanks are asked about again, since they would stand for everything."""
    if not answer.strip():
        raise click.UsageError("nothing was given")
    return answer.strip()


def _knows_users(task: Task) -> bool:
    return any(option.name == USER_OPTION for option in task.options)


def _run(chosen: Settings, command: Sequence[str]) -> int:
    """Show a command and run it as if it had been typed; its exit code."""
    given = [*_global_options(chosen), *command]
    shown = printable(redact(shlex.join(["backfill", *given])))
    click.echo(f"\n$ {click.style(shown, bold=True)}")
    return main(given)


def _global_options(chosen: Settings) -> Iterator[str]:
    """Those that the menu was called with, since the command is to run under the same."""
    if chosen.database_url is not None:
        yield from ("--database-url", chosen.database_url)
    if chosen.verbose:
        yield "--verbose"
    if chosen.log_format != "text":
        yield from ("--log-format", chosen.log_format)
