"""The working part of `backfill run`: from a run that is there to its summary."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass

import click
import psycopg

from runner.cli import children, summary
from runner.cli.common import Settings
from runner.cli.progress import Display
from runner.cli.run_options import RunOptions
from runner.cli.stopping import Stopping, leave_at_once, on_signals, stdout_apart
from runner.contract import Compute, Task
from runner.database.session import Session
from runner.errors import BackfillError, DatabaseUnreachable, ExitCode, TaskHalted
from runner.hooks.batches import batch_command
from runner.hooks.commands import Commands
from runner.hooks.deliver import deliver_rest, delivering
from runner.hooks.moments import after_run, before_run
from runner.loop.limits import Buckets
from runner.loop.process import Process

LAST_WORDS_S = 5.0
"""How long a stopped command waits for a lost server to hear how its run ended."""

LAST_GRACE = "1 second"
"""Silence after which processes are looked at when all of this command are gone."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one command does for a run; with `compute` in this process, else in children."""

    conninfo: str
    task: Task
    run: int
    options: RunOptions
    output: Settings
    compute: Compute | None
    limiter: Buckets
    commands: Commands

    def do(self) -> ExitCode:
        """Work until the run's end or until told to stop, and print the summary.

        Does not return where threads still compute after the grace: neither the task nor Python
        could shut down cleanly around them.
        """
        with on_signals() as stopping, self._session(stopping) as session:
            pids, still_computing = {os.getpid()}, 0
            try:
                before_run(session, self.commands, self.task.name, self.run, stopping.event)
                with (
                    delivering(session, self.conninfo),
                    stdout_apart(),
                    Display(self.conninfo, self.run, self.task.name, self.options, self.output),
                ):
                    if self.compute is None:
                        reason, pids = children.work(
                            self.conninfo, self.task, self.run, self.options, self.output,
                            session, stopping,
                        )  # fmt: skip
                    else:
                        reason, still_computing = self._here(self.compute, stopping)
            except DatabaseUnreachable:
                raise
            except (BackfillError, psycopg.Error) as error:
                why = "paused" if isinstance(error, TaskHalted) else "error"
                self._end_if_deserted(session, why, pids)
                self._summarise(session, why)
                raise
            self._end_if_deserted(session, reason, pids)
            code = self._summarise(session, reason)
        if still_computing:
            leave_at_once(code)
        return code

    def _session(self, stopping: Stopping) -> Session:
        return Session(
            self.conninfo,
            name=f"backfill run {self.run}",
            patience=self.options.patience,
            stop=stopping.event,
            grace=LAST_WORDS_S,
            persistent=True,
        )

    def _here(self, compute: Compute, stopping: Stopping) -> tuple[str, int]:
        limits = children.limits(self.task, self.options)
        with batch_command(self.commands, self.task.name, self.run) as on_batch:
            process = Process(
                self.conninfo, self.task, self.run, compute, limits, stopping.event, self.limiter,
                on_batch,
            )  # fmt: skip
            return process.work(), process.still_computing

    def _end_if_deserted(self, session: Session, reason: str, pids: set[int]) -> None:
        """End a run that only processes of this command worked for, and they are gone.

        Those that crashed, or never came so far as to join, could not end it, and nobody else may
        be there to give back what they held.
        """
        if self.compute is None:
            session.call("rescue", grace=LAST_GRACE)
        host = socket.gethostname()
        others = [
            found
            for found in session.call("processes", task=self.task.name)
            if found["run"] == self.run and (found["host"] != host or found["pid"] not in pids)
        ]
        if not others:
            session.call("end_run", run=self.run, reason=reason)

    def _summarise(self, session: Session, reason: str) -> ExitCode:
        run = session.one("run", run=self.run)
        # that a limit for each group or a budget left rows over, the database alone may know
        if reason != "done" or run["exit_reason"] not in ("limit", "budget"):
            run["exit_reason"] = reason
        facts = summary.read(session, self.task.name, self.run)
        if self.options.json:
            click.echo(summary.as_json(run, facts))
        else:
            summary.show(run, facts)
        sys.stdout.flush()
        after_run(session, self.commands, self.task.name, self.run)
        deliver_rest(session, self.conninfo)
        return summary.exit_code(run)
