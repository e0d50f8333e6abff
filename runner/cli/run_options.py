"""The options of `backfill run TASK`: those of every task, and the task's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from runner.cli.durations import Duration
from runner.contract import Option, Task


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


def common_options(task: Task) -> list[click.Parameter]:
    """The options of every task's command, with the ranges of this task."""
    pace = task.pacing

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
        option("--limit", type=click.IntRange(1), help="Most rows, all processes together."),
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
            "--join",
            type=int,
            metavar="RUN",
            help="Work for a run that is live already, from this host too.",
        ),
        option("--yes", "--skip-prompt", "yes", is_flag=True, help="Don't ask before paid work."),
        option("--json", is_flag=True, help="Print the summary as one JSON object."),
        option("--child", type=int, hidden=True),
    ]


def task_option(option: Option) -> click.Option:
    """A task's own option as click's."""
    kind: Any = option.kind
    if option.choices:
        kind = click.Choice(list(option.choices))
    elif option.kind is int and (option.minimum is not None or option.maximum is not None):
        kind = click.IntRange(
            None if option.minimum is None else int(option.minimum),
            None if option.maximum is None else int(option.maximum),
        )
    elif option.kind is float and (option.minimum is not None or option.maximum is not None):
        kind = click.FloatRange(option.minimum, option.maximum)
    flag = "--" + option.name.replace("_", "-")
    if option.kind is bool:
        return click.Option([f"{flag}/--no-{flag[2:]}"], default=option.default, help=option.help)
    return click.Option(
        [flag],
        type=kind,
        default=option.default,
        help=option.help,
        show_default=option.default not in (None, ""),
    )


def threads(task: Task, options: RunOptions) -> int:
    """Rows computed at once in a process."""
    return options.threads or task.pacing.threads
