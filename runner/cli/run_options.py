"""The options of `backfill run TASK`: those of every task, and the task's own."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import click

from runner.cli.durations import Duration
from runner.cli.hook_options import hook_options
from runner.contract import Option, Settings, Task
from runner.errors import UsageError
from runner.hooks.commands import TIMEOUT_S
from runner.options import complete as completed
from runner.options import variable


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What every `backfill run` takes, whatever the task."""

    dry_run: bool
    resume: bool
    batch_size: int | None
    delay: int | None
    limit: int | None
    where: str | None
    max_duration: float | None
    workers: int
    threads: int | None
    grace: float
    patience: float
    exit_on_pause: bool
    join: int | None
    yes: bool
    json: bool
    child: int | None
    follow: bool = False
    before_run: str | None = None
    after_batch: str | None = None
    after_run: str | None = None
    hook_timeout: float = TIMEOUT_S
    typed_where: str | None = None
    """What was given as --where, once `where` holds the task's own condition as well."""


def common_options(task: Task) -> list[click.Parameter]:
    """The options of every task's command, with the ranges of this task."""
    pace = task.pacing
    of_each = "" if pace.limit_by is None else f" of each {pace.limit_by}"

    def option(*names: str, **how: Any) -> click.Option:
        return click.Option(list(names), **how)

    return [
        option(
            "--dry-run",
            is_flag=True,
            help="Say what would be done; the database refuses any write.",
        ),
        option("--resume", is_flag=True, help="Take failed rows up again, too."),
        option(
            "--batch-size",
            type=click.IntRange(1, pace.batch_size_max),
            show_default=str(pace.batch_size),
            help="Rows claimed at once by each process.",
        ),
        option(
            "--delay",
            type=click.IntRange(0, pace.delay_ms_max),
            show_default=str(pace.delay_ms),
            help="Milliseconds between two batches of a process.",
        ),
        option(
            "--limit",
            type=click.IntRange(0),
            show_default="0" if pace.limit is None else str(pace.limit),
            help=f"Most rows{of_each}, all processes together; 0: no limit.",
        ),
        option(
            "--where",
            metavar="SQL",
            help="Only rows of the needs view for which this condition holds; evaluated read-only.",
        ),
        option("--max-duration", type=Duration(), help="Stop after this long: 90s, 10m, 1h30m."),
        option(
            "--workers",
            type=click.IntRange(1, 256),
            default=1,
            show_default=True,
            help="Processes to run at once.",
        ),
        option(
            "--threads",
            type=click.IntRange(1, 256),
            show_default=str(pace.threads),
            help="Rows computed at once in each process.",
        ),
        option(
            "--grace",
            type=Duration(),
            default="30s",
            show_default=True,
            help="How long to wait for rows in the works when stopped.",
        ),
        option(
            "--patience",
            type=Duration(),
            default="5m",
            show_default=True,
            help="How long to wait for a database that went away.",
        ),
        option(
            "--exit-on-pause", is_flag=True, help="Leave when the task is paused, rather than wait."
        ),
        option(
            "--follow",
            is_flag=True,
            help="Stay when all is done, and do new rows as they come; see backfill watch.",
        ),
        option(
            "--join",
            type=int,
            metavar="RUN",
            help="Work for a run that is live already, from this host too.",
        ),
        *hook_options(),
        option("--yes", "--skip-prompt", "yes", is_flag=True, help="Don't ask before paid work."),
        option("--json", is_flag=True, help="Print the summary as one JSON object."),
        option("--child", type=int, hidden=True),
    ]


class _Number(click.FloatRange):
    """Within a range; what float() takes as well, nan and inf, can't be stored as JSON."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


def task_option(option: Option, task: str = "") -> click.Option:
    """An option of this task as click's; one of the place may be set in the environment, too."""
    envvar = variable(task, option.name) if option.place else None
    kind: Any = option.kind
    if option.choices:
        kind = click.Choice(list(option.choices))
    elif option.kind is int and (option.minimum is not None or option.maximum is not None):
        kind = click.IntRange(
            None if option.minimum is None else int(option.minimum),
            None if option.maximum is None else int(option.maximum),
        )
    elif option.kind is float:
        kind = _Number(option.minimum, option.maximum)
    flag = "--" + option.name.replace("_", "-")
    if option.kind is bool:
        return click.Option([f"{flag}/--no-{flag[2:]}"], default=option.default, help=option.help)
    return click.Option(
        [flag],
        type=kind,
        default=option.default,
        help=option.help,
        show_default=option.default not in (None, ""),
        envvar=envvar,
        show_envvar=envvar is not None,
        callback=_stored_as(option),
    )


def _stored_as(option: Option) -> Any:
    """A callback of click that puts a value into the form that is stored."""
    put = option.stored_as
    if put is None:
        return None

    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else put(value)
        except UsageError as error:
            raise click.BadParameter(str(error), ctx, param) from error

    return callback


def complete(
    task: Task, options: RunOptions, settings: Settings
) -> tuple[RunOptions, dict[str, Any]]:
    """The options with what the task says where nothing was given, and its own condition.

    The settings have the limit, where it is one for each group of rows: `limit_by`, `limit_each`.
    """
    # who stays is there for all rows
    done = completed(task, settings, limit=options.limit, where=options.where, whole=options.follow)
    options = replace(options, limit=done.limit, where=done.where, typed_where=options.where)
    return options, done.settings


def threads(task: Task, options: RunOptions) -> int:
    """Rows computed at once in a process."""
    return options.threads or task.pacing.threads
