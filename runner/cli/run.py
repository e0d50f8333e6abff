"""`backfill run`: one subcommand for each task, with the task's own options."""

from __future__ import annotations

from typing import Any

import click

from runner import registry
from runner.cli.common import conninfo, global_options
from runner.cli.common import settings as global_settings
from runner.cli.run_options import RunOptions, common_options, task_option
from runner.contract import Task
from runner.errors import BackfillError


class TaskGroup(click.Group):
    """The tasks there are, each as a command; a task's code is loaded when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all tasks."""
        return sorted(registry.all_tasks())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of one task."""
        try:
            return task_command(registry.find(cmd_name))
        except BackfillError as error:
            raise click.UsageError(str(error), ctx) from error


def task_command(task: Task) -> click.Command:
    """`backfill run <task>` with the options of every task and the task's own."""
    own = {option.name for option in task.options}

    def call(**given: Any) -> None:
        # Imported late, so that `--help` needs neither the driver nor the runner.
        from runner.cli.running import execute

        settings = {name: given.pop(name) for name in own}
        context = click.get_current_context()
        output = global_settings(context)
        code = execute(conninfo(context), task, RunOptions(**given), settings, output)
        context.exit(int(code))

    return click.Command(
        task.name,
        callback=call,
        help=task.summary,
        params=[
            *common_options(task),
            *(task_option(option, task.name) for option in task.options),
            *global_options(),
        ],
    )


run = TaskGroup("run", help="Run a task: find the rows that need it, compute, commit.")
