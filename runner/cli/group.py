"""The command group: which commands there are, each imported only when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import click

from runner import __version__
from runner.cli import logs
from runner.cli.common import Settings, global_options, settings
from runner.errors import ExitCode

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("runner.cli.demo:demo", "See it work on sample pictures, with a database of its own."),
    "migrate": ("runner.cli.migrate:migrate", "Install, upgrade or remove the schema."),
    "tasks": ("runner.cli.tasks:tasks", "List the tasks, installed or not."),
    "menu": ("runner.cli.menu:menu", "Pick a task and what to do with it, on a terminal."),
    "run": ("runner.cli.run:run", "Run a task."),
    "worker": ("runner.cli.worker:worker", "Work for runs that others start, and for schedules."),
    "schedule": ("runner.cli.schedule:schedule", "Have workers start runs at certain times."),
    "window": ("runner.cli.window:window", "Let a task run in certain hours only."),
    "watch": ("runner.cli.watch:watch", "Do new and changed rows first, as they come."),
    "status": ("runner.cli.status:status", "Show how far the tasks are, and why nothing moves."),
    "guard": ("runner.cli.guard:guard", "Slow runs down or hold them by what the server bears."),
    "budget": ("runner.cli.budget:budget", "Show and set what tasks may spend."),
    "spend": ("runner.cli.spend:spend", "Show what was spent on paid calls."),
    "failures": ("runner.cli.failures:failures", "List the rows that failed, and why."),
    "retry": ("runner.cli.control:retry", "Make failed rows ready again."),
    "pause": ("runner.cli.control:pause", "Pause a task on every process."),
    "resume": ("runner.cli.control:resume", "Take a pause back."),
    "cancel": ("runner.cli.control:cancel", "Stop a run, or every run of a task."),
    "verify": ("runner.cli.verify:verify", "Check a task's results in the database."),
    "hook": ("runner.cli.hook:hook", "Tell a server of yours when runs begin and end."),
    "duplicates": ("runner.cli.duplicates:duplicates", "List payments with the same picture."),
    "faces": ("runner.cli.faces:faces", "List faces that a person has to name."),
    "storage": ("runner.cli.storage:storage", "Try out storages, and collect what nobody keeps."),
    "token": ("runner.cli.token:token", "Say who may use the console and the HTTP API."),
    "serve": ("runner.cli.serve:serve", "Serve the console's pages and the HTTP API."),
    "doctor": ("runner.cli.doctor:doctor", "Look for what is wrong, and say what to do."),
    "embedded": ("runner.cli.embedded:embedded", "A PostgreSQL of your own to try things out."),
}
"""Each command's place and summary, in the order of a first use."""


class Lazy(click.Group):
    """A group that lists its commands without importing them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """On a terminal, `backfill` alone is `backfill menu`."""
        if not args and not ctx.resilient_parsing and can_ask():
            args = ["menu"]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, with the global options added to its own."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - a mistake in the table above
        with_global_options(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Settle the environment before a command's module is imported."""
        load_environment()
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            near = get_close_matches(args[0], COMMANDS, n=1)
            ctx.fail(
                f"no such command {args[0]!r}" + (f"; did you mean {near[0]}?" if near else "")
            )
        return super().resolve_command(ctx, args)


def can_ask() -> bool:
    """Whether there is somebody at a terminal, who sees what is asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def with_global_options(command: click.Command) -> None:
    """Let a command, and those below it, take the global options too."""
    taken = {param.name for param in command.params}
    command.params += [param for param in global_options() if param.name not in taken]
    if isinstance(command, click.Group):
        for below in command.commands.values():
            with_global_options(below)


def load_environment() -> None:
    """Take what a `.env` file sets; looked for first, since reading one costs an import."""
    if Path(".env").is_file():
        from runner.database.conninfo import load_dotenv

        load_dotenv()


@click.group(
    cls=Lazy,
    params=global_options(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 error, 2 usage, 3 some rows failed, 4 paused, "
    "5 database unreachable, 6 cancelled, 130 interrupted.",
)
@click.version_option(__version__, message="backfill %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Computes what rows in a PostgreSQL database lack, in as many processes as you like.

    PostgreSQL alone holds the state: stop, kill and start again at any time.
    """
    chosen = settings(ctx)
    logs.configure(chosen.verbose, chosen.log_format)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code. What went wrong has been told in one line on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # a terminal that can't show a character must not end a run
            stream.reconfigure(errors="backslashreplace")
    if "_BACKFILL_COMPLETE" in os.environ:
        cli.main(prog_name="backfill")  # a shell asks for completions; exits
    chosen = Settings()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        # Not click's own main(), which has another idea of what an error looks like.
        with cli.make_context("backfill", given, obj=chosen) as ctx:
            code: object = cli.invoke(ctx)
        sys.stdout.flush()
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except BrokenPipeError:
        _drop_stdout()
        return ExitCode.DONE
    except BaseException as error:  # noqa: BLE001 - the one place where every error becomes a line
        from runner.cli.ending import tell

        return tell(error, chosen)
    return code if isinstance(code, int) else ExitCode.DONE


def _drop_stdout() -> None:
    """Whoever read our output has gone; nothing more is written, not even at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
