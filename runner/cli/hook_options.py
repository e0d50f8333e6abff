"""The options that name commands before and after a run; of `backfill run` and of a worker."""

from __future__ import annotations

from typing import Protocol

import click

from runner.cli.durations import Duration
from runner.hooks.commands import VARIABLES, Commands


class HookOptions(Protocol):
    """What a command's options hold of hooks."""

    @property
    def before_run(self) -> str | None:
        """The command before a run, as it was typed."""

    @property
    def after_batch(self) -> str | None:
        """The command after a batch."""

    @property
    def after_run(self) -> str | None:
        """The command after a run."""

    @property
    def hook_timeout(self) -> float:
        """Seconds that each may take."""


def hook_options() -> list[click.Parameter]:
    """The options; each may stand in the environment instead."""

    def command(moment: str, text: str) -> click.Option:
        return click.Option(
            ["--" + moment.replace("_", "-")],
            metavar="COMMAND",
            envvar=VARIABLES[moment],
            help=f"{text}  [env: {VARIABLES[moment]}]",
        )

    return [
        command("before_run", "Run this before any row is worked on; if it fails, nothing is."),
        command("after_batch", "Run this when rows were committed, for all since it ran last."),
        command("after_run", "Run this when the run has ended, however it did."),
        click.Option(
            ["--hook-timeout"],
            type=Duration(),
            default="1m",
            show_default=True,
            envvar=VARIABLES["hook_timeout"],
            help="How long each of these commands may take.",
        ),
    ]


def commands_of(options: HookOptions) -> Commands:
    """The commands that the options name; raises `UsageError` where one can't be run."""
    return Commands.parse(
        options.before_run, options.after_batch, options.after_run, options.hook_timeout
    )
