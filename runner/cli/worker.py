"""`backfill worker`: a long-lived process that works for runs that others asked for."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from runner.cli.common import conninfo
from runner.cli.common import settings as global_settings
from runner.cli.durations import Duration
from runner.cli.hook_options import hook_options
from runner.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.cli.common import Settings
    from runner.worker.seat import ChildCommand


@click.command(params=hook_options())
@click.argument("task", nargs=-1)
@click.option(
    "--processes",
    type=click.IntRange(1, 256),
    show_default="one for each CPU",
    help="Processes to have at a time.",
)
@click.option(
    "--slice",
    "slice_s",
    type=Duration(),
    default="1m",
    show_default=True,
    help="How long a run keeps a process while other runs wait for one.",
)
@click.option(
    "--grace",
    type=Duration(),
    default="30s",
    show_default=True,
    help="How long to wait for rows in the works when stopped.",
)
@click.option(
    "--patience",
    type=Duration(),
    default="1h",
    show_default=True,
    help="How long to wait for a database that went away.",
)
@click.option("--once", is_flag=True, help="Do what there is to do now, and leave.")
@click.pass_context
def worker(ctx: click.Context, /, task: Sequence[str], **options: Any) -> int:
    """Work for runs that were started in SQL, on the console, by the API or a schedule.

    Starts processes for them, shares these fairly between the tasks (or those named TASK alone),
    fires the schedules, and does the new rows of watched tasks. Any number of workers share the
    work, on any number of hosts. Stop it with SIGTERM: it finishes what is in the works.
    """
    from runner.cli.stopping import on_signals
    from runner.registry import all_tasks, find
    from runner.worker.service import Worker, WorkerOptions

    tasks = {name: find(name) for name in task} if task else all_tasks()
    if not tasks:
        raise UsageError("there is no task to work for; see: backfill tasks")
    url = conninfo(ctx)
    with on_signals() as stopping:
        made = Worker(
            url,
            tasks,
            WorkerOptions(
                slots=options["processes"] or os.cpu_count() or 1,
                slice=options["slice_s"],
                grace=options["grace"],
                patience=options["patience"],
                once=options["once"],
            ),
            _child(url, options, global_settings(ctx)),
            stopping.event,
        )
        stopping.at_once.append(made.kill)
        made.work()
        interrupted = stopping.event.is_set()
    return ExitCode.INTERRUPTED if interrupted and not options["once"] else ExitCode.DONE


def _child(url: str, options: Mapping[str, Any], output: Settings) -> ChildCommand:
    """How a worker's processes are started."""
    from runner.cli.children import child_environment
    from runner.hooks.commands import Commands, environment_of
    from runner.worker.seat import ChildCommand

    # -P: a folder or file named runner where the user happens to be is not this program
    program = [sys.executable, "-P", "-m", "runner", "--log-format", output.log_format]
    if output.verbose:
        program.append("--verbose")
    limits = ["--grace", f"{options['grace']}s", "--patience", f"{options['patience']}s"]

    def words(task: str, run: int, standing: bool) -> list[str]:
        command = [*program, "run", task, "--join", str(run), "--child", str(os.getpid()), *limits]
        return [*command, "--follow"] if standing else command

    hooks = {name: options[name] for name in ("before_run", "after_batch", "after_run")}
    # one that can't be run is told of now, and not by each process
    Commands.parse(**hooks, timeout=options["hook_timeout"])
    timeout = {"hook_timeout": f"{options['hook_timeout']}s"}
    return ChildCommand(words, child_environment(url, environment_of(hooks | timeout)))
