"""How a command ends that didn't come to its end: one line on stderr, and an exit code."""

from __future__ import annotations

import sys
import traceback

import click

from runner.cli.common import Settings
from runner.cli.logs import printable, redact
from runner.errors import BackfillError, ExitCode


def tell(error: BaseException, settings: Settings) -> int:
    """Say what happened and return the exit code. `SystemExit` is passed on."""
    if isinstance(error, SystemExit):
        raise error
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        _say("interrupted")
        return ExitCode.INTERRUPTED
    if settings.verbose and not isinstance(error, click.ClickException):
        click.echo(redact("".join(traceback.format_exception(error))), err=True, nl=False)
    known = _known(error)
    if known is None:
        message = f"unexpected error: {type(error).__name__}: {error}"
        if not settings.verbose:
            message += " (run again with --verbose for the traceback)"
        _say(message)
        return ExitCode.ERROR
    _say(str(known))
    return known.exit_code


def _known(error: BaseException) -> BackfillError | None:
    if isinstance(error, BackfillError):
        return error
    if isinstance(error, click.ClickException):
        known = BackfillError(_usage(error))
        known.exit_code = ExitCode(error.exit_code)
        return known
    # an error of the driver can only come from a driver that was imported
    psycopg = sys.modules.get("psycopg")
    if psycopg is not None and isinstance(error, psycopg.Error):
        from runner.database.failures import explain

        return explain(error)
    return None


def _usage(error: click.ClickException) -> str:
    message = error.format_message().rstrip(".")
    message = message[:1].lower() + message[1:]
    if isinstance(error, click.UsageError) and error.ctx is not None:
        message += f"; see: {error.ctx.command_path} --help"
    return message


def _say(message: str) -> None:
    click.echo(f"backfill: {printable(redact(' '.join(message.split())))}", err=True)
