"""`backfill run TASK`: start a run, or join one, and work for it with one or more processes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import click
import psycopg
from psycopg.types.json import Jsonb

from runner.cli import children, summary
from runner.cli.common import Settings, confirm, installed_task
from runner.cli.cost_words import estimate_lines
from runner.cli.dry_run import dry_run
from runner.cli.forecast import blame_where, forecast
from runner.cli.hook_options import commands_of
from runner.cli.output import note
from runner.cli.run_options import RunOptions, complete
from runner.cli.working import Work
from runner.contract import Task
from runner.database.session import Session
from runner.errors import BackfillError, ExitCode, TaskPaused, UsageError
from runner.hooks.commands import Commands
from runner.hooks.deliver import deliver_rest
from runner.hooks.moments import after_run, begin
from runner.loop.limits import Buckets
from runner.options import served_settings, settings_of

log = logging.getLogger(__name__)


def execute(
    conninfo: str,
    task: Task,
    options: RunOptions,
    settings: Mapping[str, Any],
    output: Settings,
) -> ExitCode:
    """Do what `backfill run` was asked to; its exit code."""
    if options.child is not None:
        return children.work_as_child(conninfo, task, options)
    _check_usage(options)
    commands = commands_of(options)
    if options.join is None:
        options, settings = complete(task, options, settings)
        if options.follow and options.where is not None:
            raise UsageError("--follow takes every row that needs work; it can't have a condition")
    # No patience: a start that was sent twice would be two runs.
    with Session(conninfo, name=f"backfill run {task.name}", patience=0) as session:
        installed = installed_task(session, task.name)
        _check_version(installed, task)
        # an engine that is older than this program is told of now, not after the work
        session.one("webhooks_on")
        if options.dry_run:
            return dry_run(conninfo, task, options, settings)
        if options.join is not None:
            settings = _settings_of(session, task, options.join)
        elif installed["paused_at"] is not None:
            raise TaskPaused(_paused(installed))
        # before the task is set up, which costs more than all the rest of a call from cron
        if options.join is None and not options.follow and not _anything(session, task, options):
            return _done_at_once(conninfo, session, task, options, settings, commands)
        # Settings that can't work are told before anything is written.
        with ExitStack() as task_opened:
            limiter = Buckets(conninfo, name=f"backfill run {task.name}", patience=options.patience)
            task_opened.callback(limiter.close)
            compute = task_opened.enter_context(task.opened(settings, limiter))
            if options.join is None and not _agreed_to_pay(conninfo, task, options, settings):
                return ExitCode.CANCELLED
            if options.workers > 1:
                task_opened.close()
            run = options.join or _start(session, task, options, settings)
            session.close()
            here = compute if options.workers == 1 else None
            return Work(conninfo, task, run, options, output, here, limiter, commands).do()


def _anything(session: Session, task: Task, options: RunOptions) -> bool:
    """Whether there is a row to do, or a job that somebody left behind."""
    try:
        found = session.one(
            "anything", task=task.name, where=options.where, retry_failed=options.resume
        )
    except psycopg.Error as error:
        raise blame_where(options, error) from error
    return bool(found["anything"])


def _done_at_once(
    conninfo: str,
    session: Session,
    task: Task,
    options: RunOptions,
    settings: Mapping[str, Any],
    commands: Commands,
) -> ExitCode:
    """Leave a run for whoever watches whether the schedule is kept, and say the line."""
    run = _start(session, task, options, settings)
    begin(session, commands, task.name, run)
    session.call("end_run", run=run, reason="done")
    after_run(session, commands, task.name, run)
    deliver_rest(session, conninfo)
    found = session.one("run", run=run)
    if options.json:
        click.echo(summary.as_json(found, summary.Facts()))
    else:
        summary.show(found, summary.Facts())
    return ExitCode.DONE


def _agreed_to_pay(
    conninfo: str, task: Task, options: RunOptions, settings: Mapping[str, Any]
) -> bool:
    """Say what paid work is expected to take, and ask; nothing is asked where it is free.

    With --yes nothing is estimated: a sample would be computed that nobody looks at.
    """
    if options.yes or task.expected is None:
        return True
    expected = forecast(conninfo, task, options, settings)
    if expected.cost is None or expected.cost.free:
        return True
    rows = summary.to_do({"found": expected.found, "found_exact": expected.exact})
    note(f"{task.name}: {rows}, expected:")
    for line in estimate_lines(expected.cost, expected.found, expected.seconds):
        note(line)
    return confirm("go ahead?", False)


def _check_usage(options: RunOptions) -> None:
    if options.follow and (options.limit or options.dry_run):
        other = "--limit" if options.limit else "--dry-run"
        raise UsageError(f"--follow stays when all is done, so {other} can't be given with it")
    if options.join is None:
        return
    fixed = ("limit", "where", "resume", "batch_size", "delay", "dry_run")
    values = {name: getattr(options, name) for name in fixed}
    given = [name for name, value in values.items() if value is not None and value is not False]
    if given:
        flags = ", ".join("--" + name.replace("_", "-") for name in given)
        raise UsageError(f"{flags} can't be given with --join: the run has its own already")


def _check_version(installed: Mapping[str, Any], task: Task) -> None:
    version = installed["version"]
    if version < task.version:
        raise BackfillError(
            f"{task.name} is at version {version} in the database, older than version "
            f"{task.version} of this program; run: backfill migrate {task.name}"
        )
    if version > task.version:
        raise BackfillError(
            f"{task.name} is at version {version} in the database, newer than version "
            f"{task.version} of this program; upgrade pgbackfill here"
        )


def _paused(installed: Mapping[str, Any]) -> str:
    why = f": {installed['paused_reason']}" if installed["paused_reason"] else ""
    return (
        f"{installed['name']} is paused by {installed['paused_by']}{why}; "
        f"let it go on with: backfill resume {installed['name']}"
    )


def _settings_of(session: Session, task: Task, run: int) -> dict[str, Any]:
    """The options that a live run of this task was started with."""
    found = session.call("run_options", run=run)
    if not found:
        raise UsageError(f"there is no run {run}; list runs with: backfill status {task.name}")
    (row,) = found
    if row["task"] != task.name:
        raise UsageError(
            f"run {run} is one of {row['task']}; join it with: backfill run {row['task']}"
        )
    if row["status"] == "ended":
        raise UsageError(
            f"run {run} has ended ({row['exit_reason']}); start another: backfill run {task.name}"
        )
    return (served_settings if row["served"] else settings_of)(task, row["options"])


def _start(session: Session, task: Task, options: RunOptions, settings: Mapping[str, Any]) -> int:
    try:
        row = session.one(
            "start",
            task=task.name,
            options=Jsonb(dict(settings)),
            where=options.where,
            limit=options.limit,
            retry_failed=options.resume,
            batch_size=options.batch_size,
            delay_ms=options.delay,
            source="cli",
        )
    except psycopg.Error as error:
        raise blame_where(options, error) from error
    run = int(row["run"])
    found = session.one("run", run=run)
    if found["found"] and not options.json:
        log.info("%s: run %d, %s", task.name, run, summary.to_do(found))
    return run
