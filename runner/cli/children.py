"""`backfill run TASK --workers N`: the processes of one command, seen from both sides."""

from __future__ import annotations

import importlib.util
import logging
import os
import site
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg

from runner.cli.common import Settings
from runner.cli.hook_options import commands_of
from runner.cli.parent import stop_with
from runner.cli.run_options import RunOptions, threads
from runner.cli.stopping import Stopping, leave_at_once, on_signals
from runner.contract import Task
from runner.database.files import preload
from runner.database.session import Session
from runner.errors import BackfillError, DatabaseUnreachable, ExitCode
from runner.hooks.batches import batch_command
from runner.hooks.commands import environment_of, without_ours
from runner.hooks.moments import after_run, begin, end
from runner.loop.limits import Buckets
from runner.loop.process import RUN_HAS_ENDED, Limits, Process
from runner.loop.relay import Relay
from runner.loop.supervisor import Supervisor
from runner.options import served_settings, settings_of

log = logging.getLogger(__name__)

_CODES = {
    "paused": ExitCode.PAUSED,
    "cancelled": ExitCode.CANCELLED,
    "interrupted": ExitCode.INTERRUPTED,
}


def limits(task: Task, options: RunOptions) -> Limits:
    """How long a process of this command stays."""
    return Limits(
        threads(task, options),
        options.max_duration,
        options.grace,
        options.exit_on_pause,
        options.child is not None,
        options.patience,
        options.follow,
    )


# --- in the command that the user typed --------------------------------------------------------


class _Run:
    """What the supervisor asks about the run."""

    def __init__(self, session: Session, run: int) -> None:
        self._session = session
        self._run = run

    def joined(self, pid: int) -> bool:
        host = socket.gethostname()
        live = self._session.call("processes", task=None)
        return any((r["run"], r["host"], r["pid"]) == (self._run, host, pid) for r in live)

    def through(self) -> int:
        return int(self._session.one("run_through", run=self._run)["through"])


def work(
    conninfo: str,
    task: Task,
    run: int,
    options: RunOptions,
    output: Settings,
    session: Session,
    stopping: Stopping,
) -> tuple[str, set[int]]:
    """Work for a run with `options.workers` processes; why they left, and their pids.

    Raises `BackfillError` where they could not work.
    """
    supervisor = Supervisor(
        _command(task, run, options, output),
        options.workers,
        _Run(session, run),
        stopping.event,
        Relay(),
        _environment(conninfo, options),
    )
    stopping.at_once.append(supervisor.kill)
    try:
        supervisor.wait()
    finally:
        stopping.at_once.remove(supervisor.kill)
    codes = supervisor.exit_codes
    if ExitCode.UNREACHABLE in codes:
        # they have been patient enough
        _tell_if_gone(conninfo, run)
    found = session.one("run", run=run)
    if found["exit_reason"] != "done":
        _tell_of_errors(codes)
    if stopping.event.is_set() and found["exit_reason"] != "done":
        return "interrupted", supervisor.pids
    by_code = {int(code): reason for reason, code in _CODES.items()}
    reasons = [by_code[code] for code in codes if code in by_code]
    return found["exit_reason"] or (reasons[0] if reasons else "done"), supervisor.pids


def _tell_if_gone(conninfo: str, run: int) -> None:
    with Session(conninfo, name=f"backfill run {run}", patience=0) as session:
        session.one("run", run=run)


def _tell_of_errors(codes: list[int]) -> None:
    if ExitCode.UNREACHABLE in codes:
        raise DatabaseUnreachable("the runner processes lost the database; see above")
    broken = [code for code in codes if code in (ExitCode.ERROR, ExitCode.USAGE)]
    if broken:
        raise BackfillError(
            f"{len(broken)} of {len(codes)} runner processes stopped with an error; see above"
        )


def _command(task: Task, run: int, options: RunOptions, output: Settings) -> list[str]:
    # -P: a folder or file named runner where the user happens to be is not this program
    command = [sys.executable, "-P", "-m", "runner", "--log-format", output.log_format]
    if output.verbose:
        command.append("--verbose")
    command += ["run", task.name, "--join", str(run), "--child", str(os.getpid())]
    command += ["--threads", str(threads(task, options))]
    command += ["--grace", f"{options.grace}s", "--patience", f"{options.patience}s"]
    if options.max_duration is not None:
        command += ["--max-duration", f"{options.max_duration}s"]
    if options.exit_on_pause:
        command.append("--exit-on-pause")
    if options.follow:
        command.append("--follow")
    return command


def _environment(conninfo: str, options: RunOptions) -> dict[str, str]:
    """The children's environment.

    Of the hooks, children run the one after a batch; the others are this process's.
    """
    hooks = {"after_batch": options.after_batch, "hook_timeout": f"{options.hook_timeout}s"}
    return child_environment(conninfo, environment_of(hooks))


def child_environment(conninfo: str, hooks: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with the database in it, since an argument would show in `ps`.

    `hooks` are the variables of those that the child is to run.
    """
    environment = {**without_ours(), **hooks}
    if conninfo:
        environment["DATABASE_URL"] = conninfo
    found = importlib.util.find_spec("runner")
    if found is not None and found.origin is not None:
        root = str(Path(found.origin).parents[1])
        if root not in (*site.getsitepackages(), site.getusersitepackages()):
            # run from a checkout, perhaps by -m from the folder that -P keeps out
            before = environment.get("PYTHONPATH")
            environment["PYTHONPATH"] = f"{root}{os.pathsep}{before}" if before else root
    return environment


# --- in each process ---------------------------------------------------------------------------


def _limits_at(task: Task, options: RunOptions, run: Mapping[str, Any]) -> Limits:
    """How long a child stays at this run."""
    return replace(limits(task, options), new_rows_only=run["standing"])


def work_as_child(conninfo: str, task: Task, options: RunOptions) -> ExitCode:
    """Work for the run that the command above started; why it left, as an exit code."""
    # one that does new rows stays for weeks
    preload()
    run, commands = options.join or 0, commands_of(options)
    with on_signals() as stopping, ExitStack() as hooks:
        stop_with(options.child, stopping.event)
        with Session(
            conninfo,
            name=f"backfill run {run}",
            patience=options.patience,
            stop=stopping.event,
            persistent=True,
        ) as session:
            found = session.one("run_options", run=run)
            if found["status"] == "ended":
                after_run(session, commands, task.name, run)
                return ExitCode.DONE
            begin(session, commands, task.name, run, stopping.event)
        limiter = Buckets(conninfo, name=f"backfill run {run}", patience=options.patience)
        known = served_settings if found["served"] else settings_of
        opened = task.opened(known(task, found["options"]), limiter)
        compute = opened.__enter__()
        on_batch = hooks.enter_context(batch_command(commands, task.name, run))
        try:
            process = Process(
                conninfo, task, run, compute, _limits_at(task, options, found),
                stopping.event, limiter, on_batch,
            )  # fmt: skip
        except psycopg.Error as error:
            if error.sqlstate == RUN_HAS_ENDED:
                return ExitCode.DONE
            raise
        code = _CODES.get(process.work(), ExitCode.DONE)
        hooks.close()
        end(conninfo, commands, task.name, run)
        if process.still_computing:
            sys.stdout.flush()
            leave_at_once(code)
        opened.__exit__(None, None, None)
        limiter.close()
        return code
