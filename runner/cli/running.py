"""`backfill run TASK`: start a run, or join one, and work for it with one or more processes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
import psycopg
from psycopg.types.json import Jsonb

from runner.cli import summary
from runner.cli.dry_run import blame_where, dry_run
from runner.cli.progress import Display
from runner.cli.run_options import RunOptions, threads
from runner.contract import Task
from runner.database.session import Session
from runner.errors import BackfillError, ExitCode
from runner.loop.process import Limits, Process
from runner.loop.supervisor import Supervisor


def execute(
    conninfo: str, task: Task, options: RunOptions, settings: Mapping[str, Any]
) -> ExitCode:
    """Do what `backfill run` was asked to; its exit code."""
    with (
        _stop_on_signals() as stop,
        Session(conninfo, name=f"backfill {task.name}", stop=stop) as session,
    ):
        if options.child is not None:
            return _work_as_child(conninfo, task, options, session, stop)
        _check_versions(session, task)
        if options.dry_run:
            return dry_run(conninfo, session, task, options)
        if options.join is None and (reason := _paused(session, task)) is not None:
            click.echo(
                f"{task.name} is {reason}; let it go on with: backfill resume {task.name}", err=True
            )
            return ExitCode.PAUSED
        run = options.join or _start(session, task, options, settings)
        display = Display(conninfo, run, task.name, quiet=options.json)
        try:
            _work(conninfo, task, run, options, session, stop)
        finally:
            display.close()
        return _conclude(conninfo, run, options)


def _check_versions(session: Session, task: Task) -> None:
    installed = session.one("task", task=task.name)["version"]
    if installed != task.version:
        older = "older" if installed < task.version else "newer"
        raise BackfillError(
            f"{task.name} is at version {installed} in the database, {older} than version {task.version} "
            f"of this program; "
            + ("run: backfill migrate" if older == "older" else "upgrade pgbackfill here")
        )


def _paused(session: Session, task: Task) -> str | None:
    row = session.one("task", task=task.name)
    if row["paused_at"] is None:
        return None
    return f"paused by {row['paused_by']}" + (
        f": {row['paused_reason']}" if row["paused_reason"] else ""
    )


def _start(session: Session, task: Task, options: RunOptions, settings: Mapping[str, Any]) -> int:
    # Settings that can't work are told before anything is written.
    with task.open(settings):
        pass
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
        raise blame_where(options.where, error) from error
    run = int(row["run"])
    found = session.one("run", run=run)
    about = "" if found["found_exact"] else "about "
    if found["found"] and not options.json:
        click.echo(f"{task.name}: run {run}, {about}{found['found']} rows to do", err=True)
    return run


def _work(
    conninfo: str,
    task: Task,
    run: int,
    options: RunOptions,
    session: Session,
    stop: threading.Event,
) -> None:
    if options.workers == 1:
        settings = session.one("run_options", run=run)["options"]
        limits = Limits(
            threads(task, options), options.max_duration, options.grace, options.exit_on_pause
        )
        with task.open(settings) as compute:
            Process(conninfo, task, run, compute, limits, stop).work()
        return
    supervisor = Supervisor(
        _child_command(task, run, options),
        options.workers,
        lambda: int(session.one("run", run=run)["processed"]),
        stop,
    )
    try:
        supervisor.wait()
    finally:
        # A run whose processes all crashed, or never came so far as to join, is over as well.
        session.call("end_run", run=run, reason="interrupted" if stop.is_set() else "error")
    if ExitCode.ERROR in supervisor.exit_codes or ExitCode.UNREACHABLE in supervisor.exit_codes:
        raise BackfillError(
            f"{task.name}: a runner process stopped with an error; see its message above"
        )


def _child_command(task: Task, run: int, options: RunOptions) -> list[str]:
    command = [
        sys.executable,
        "-m",
        "runner",
        "run",
        task.name,
        "--join",
        str(run),
        "--child",
        str(os.getpid()),
        "--threads",
        str(threads(task, options)),
        "--grace",
        f"{options.grace}s",
    ]
    if options.max_duration is not None:
        command += ["--max-duration", f"{options.max_duration}s"]
    if options.exit_on_pause:
        command.append("--exit-on-pause")
    return command


def _work_as_child(
    conninfo: str, task: Task, options: RunOptions, session: Session, stop: threading.Event
) -> ExitCode:
    found = session.one("run_options", run=options.join)
    if found["status"] == "ended":
        return ExitCode.DONE
    limits = Limits(
        threads(task, options),
        options.max_duration,
        options.grace,
        options.exit_on_pause,
        parent=options.child,
    )
    with task.open(found["options"]) as compute:
        try:
            process = Process(conninfo, task, options.join or 0, compute, limits, stop)
        except psycopg.Error as error:
            if error.sqlstate == "BF004":
                return ExitCode.DONE
            raise
        process.work()
    return ExitCode.DONE


def _conclude(conninfo: str, run: int, options: RunOptions) -> ExitCode:
    with Session(conninfo, name="backfill summary") as session:
        row = session.one("run", run=run)
        if options.json:
            click.echo(summary.as_json(row))
        else:
            failed = session.call(
                "run_failures", run=run, task=row["task"], limit=summary.SHOWN_FAILURES
            )
            progress = session.one("progress", task=row["task"])
            later = progress["ready"] if row["exit_reason"] == "done" else 0
            summary.show(row, failed, later)
    return summary.exit_code(row)


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; the second leaves at once."""
    stop = threading.Event()

    def handle(number: int, _frame: object) -> None:
        if stop.is_set():
            os._exit(int(ExitCode.INTERRUPTED))
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
