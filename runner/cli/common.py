"""What the commands share: the global options, the connection, questions."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from runner.cli import logs
from runner.cli.output import note
from runner.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.database.session import Session

Command = TypeVar("Command", bound="Callable[..., Any]")

PATIENCE_S = 10.0
"""How long a command that only asks or tells the database something waits for a lost server."""


NO_SUCH_TASK = "BF001"
"""SQLSTATE of backfill.known_task()."""


@dataclass(slots=True)
class Settings:
    """Values of the global options, wherever on the command line they stood."""

    database_url: str | None = None
    verbose: bool = False
    log_format: str = "text"


def settings(ctx: click.Context) -> Settings:
    """The global options of this call."""
    root = ctx.find_root()
    if not isinstance(root.obj, Settings):
        root.obj = Settings()
    return root.obj


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Keep an option that was given; before the command and after it are the same place."""
    if ctx.get_parameter_source(param.name or "") is click.core.ParameterSource.COMMANDLINE:
        chosen = settings(ctx)
        setattr(chosen, param.name or "", value)
        if not ctx.resilient_parsing:
            logs.configure(chosen.verbose, chosen.log_format)


def global_options() -> list[click.Parameter]:
    """Options that every command takes, and the group itself before the command's name."""
    return [
        click.Option(
            ["--database-url"],
            metavar="URL",
            help="The database; by default DATABASE_URL (from the environment or a .env file), "
            "or the PG* variables.",
            expose_value=False,
            callback=_remember,
        ),
        click.Option(
            ["--verbose"],
            is_flag=True,
            help="Log more, and show the traceback of an unexpected error.",
            expose_value=False,
            callback=_remember,
        ),
        click.Option(
            ["--log-format"],
            type=click.Choice(logs.FORMATS),
            help="How to log to stderr.  [default: text]",
            expose_value=False,
            callback=_remember,
        ),
    ]


def json_option(command: Command) -> Command:
    """Adds `--json`, passed as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")(command)


def yes_option(command: Command) -> Command:
    """Adds `--yes`."""
    return click.option("--yes", "-y", is_flag=True, help="Don't ask.")(command)


def conninfo(ctx: click.Context) -> str:
    """The connection string that the options and the environment name; see `conninfo.resolve`."""
    from runner.database.conninfo import resolve

    return resolve(settings(ctx).database_url)


def open_session(ctx: click.Context, *, patience: float = PATIENCE_S) -> Session:
    """A session under this command's name; use it in a `with` block."""
    from runner.database.session import Session

    return Session(conninfo(ctx), name=application_name(ctx), patience=patience)


def installed_task(session: Session, name: str) -> dict[str, Any]:
    """The task's row. Raises `UsageError` where it is not installed, with what to do about it."""
    import psycopg

    try:
        return session.one("task", task=name)
    except psycopg.Error as error:
        if error.sqlstate != NO_SUCH_TASK:
            raise
        from runner.registry import find

        find(name)
        raise UsageError(
            f"{name} is not installed in this database; run: backfill migrate {name}"
        ) from error


def application_name(ctx: click.Context) -> str:
    """What the database sees this command as, in pg_stat_activity and in the audit."""
    return f"backfill {ctx.info_name}"


def confirm(question: str, yes: bool) -> bool:
    """Whether to go ahead: `yes` was given, or the user says so.

    Raises `UsageError` where there is nobody to ask.
    """
    if yes:
        return True
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)
        raise UsageError(
            "there is nobody to ask; pass --yes to go ahead without a question"
        ) from None
    if not agreed:
        note("nothing was changed")
    return agreed


def count(number: int, one: str, many: str = "") -> str:
    """`1 row`, `12,000 rows`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def script(path: Path) -> tuple[str, str]:
    """A SQL file's heading (its first comment line) and its statement, without the comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line.removeprefix("--").strip() for line in lines if line.startswith("--")]
    body = "\n".join(line for line in lines if not line.startswith("--")).strip().removesuffix(";")
    return (comments[0] if comments else path.stem), body


def names_and_values(given: tuple[str, ...]) -> dict[str, str]:
    """What `--set name=value` options say. Raises `UsageError`."""
    values: dict[str, str] = {}
    for item in given:
        name, separator, value = item.partition("=")
        if not separator or not re.fullmatch(r"[a-z][a-z0-9_]*", name.strip()):
            raise UsageError(
                f"--set {item!r} should look like name=value, e.g. table=public.photos"
            )
        values[name.strip()] = value.strip()
    return values
