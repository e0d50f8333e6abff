"""How a command ends that didn't come to its end: one line on stderr, and an exit code."""

from __future__ import annotations

import logging
import sys
import traceback

import click

from runner.cli.common import Settings
from runner.cli.logs import as_json
from runner.errors import LAST_WORDS, BackfillError, ExitCode
from runner.redaction import printable, redact

log = logging.getLogger(__name__)


def tell(error: BaseException, settings: Settings) -> int:
    """Say what happened and return the exit code. `SystemExit` is passed on."""
    if isinstance(error, SystemExit):
        raise error
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        _say("interrupted")
        return ExitCode.INTERRUPTED
    if settings.verbose and not isinstance(error, click.ClickException):
        _trace(error)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        # its message is the help, in lines
        click.echo(error.format_message(), err=True)
        return ExitCode.USAGE
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


def _trace(error: BaseException) -> None:
    if as_json():
        log.debug("traceback", exc_info=error)
    else:
        click.echo(redact("".join(traceback.format_exception(error))), err=True, nl=False)


def _say(message: str) -> None:
    line = printable(redact(" ".join(message.split())))
    if as_json():
        log.error(line)
    else:
        click.echo(f"{LAST_WORDS}{line}", err=True)
