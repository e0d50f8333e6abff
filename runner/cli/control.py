"""`backfill retry`, `pause`, `resume`, `cancel`: an operator's word, each one SQL function."""

from __future__ import annotations

import click

from runner.cli.common import confirm, count, installed_task, open_session, yes_option
from runner.cli.output import note
from runner.errors import ExitCode, UsageError


@click.command()
@click.argument("task")
@click.option(
    "--class", "error_class", metavar="CLASS", help="Only rows that failed for this cause."
)
@click.option("--key", "keys", metavar="KEY", multiple=True, help="Only this row; may be repeated.")
@yes_option
@click.pass_context
def retry(
    ctx: click.Context, task: str, error_class: str | None, keys: tuple[str, ...], yes: bool
) -> int:
    """Make failed rows ready again, with their attempts forgiven.

    A run takes them up: one that is under way, or the next.
    """
    with open_session(ctx) as session:
        installed_task(session, task)
        causes = session.call("failure_causes", task=task)
        failed = sum(c["rows"] for c in causes if error_class in (None, c["error_class"]))
        if not failed:
            kind = f" of class {error_class}" if error_class else ""
            others = ", ".join(cause["error_class"] for cause in causes)
            note(f"no row of {task} has failed{kind}" + (f"; classes: {others}" if others else ""))
            return ExitCode.DONE
        some = (
            f"up to {count(min(len(keys), failed), 'failed row')}"
            if keys
            else count(failed, "failed row")
        )
        if not confirm(f"try {some} of {task} again?", yes):
            return ExitCode.CANCELLED
        reopened = session.one(
            "retry", task=task, error_class=error_class, keys=list(keys) or None
        )["reopened"]
        click.echo(
            f"{count(reopened, 'row')} of {task} {'is' if reopened == 1 else 'are'} ready again"
        )
        if keys and reopened < len(set(keys)):
            note(f"{count(len(set(keys)) - reopened, 'key')} had no failed row")
        if reopened and not session.call("live_runs", task=task):
            note(f"next: backfill run {task}")
    return ExitCode.DONE


@click.command()
@click.argument("task")
@click.option("--reason", metavar="TEXT", help="Why, for everybody who asks.")
@click.pass_context
def pause(ctx: click.Context, task: str, reason: str | None) -> int:
    """Pause a task: no process on any host takes another row from its next claim on."""
    with open_session(ctx) as session:
        installed_task(session, task)
        session.call("pause", task=task, reason=reason)
    click.echo(f"{task} is paused; what processes hold is finished. next: backfill resume {task}")
    return ExitCode.DONE


@click.command()
@click.argument("task")
@click.pass_context
def resume(ctx: click.Context, task: str) -> int:
    """Take a pause back: waiting processes go on within seconds."""
    with open_session(ctx) as session:
        paused = installed_task(session, task)["paused_at"] is not None
        session.call("resume", task=task)
        waiting = session.one("progress", task=task)["processes"]
    if not paused:
        click.echo(f"{task} was not paused")
    elif waiting:
        click.echo(f"{task} goes on with {count(waiting, 'process', 'processes')}")
    else:
        click.echo(f"{task} is no longer paused; no process is running. next: backfill run {task}")
    return ExitCode.DONE


@click.command()
@click.argument("what", metavar="RUN_ID|TASK")
@click.pass_context
def cancel(ctx: click.Context, what: str) -> int:
    """Stop a run, or every run of a task.

    Its processes stop at their next claim and finish what they hold; what was done stays done.
    """
    with open_session(ctx) as session:
        if what.isdecimal():
            runs = [int(what)]
            if runs[0] >= 2**63:
                raise UsageError(f"there is no run {what}; list runs with: backfill status")
        else:
            installed_task(session, what)
            runs = [found["run"] for found in session.call("live_runs", task=what)]
        if not runs:
            note(f"{what} has no run to cancel")
        for run in runs:
            status = session.one("cancel", run=run)["status"]
            words = "is over" if status == "ended" else "is stopping; see: backfill status"
            click.echo(f"run {run} {words}")
    return ExitCode.DONE
