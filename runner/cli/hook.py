"""`backfill hook`: webhooks, which are told when runs begin, get on and end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from runner.cli.common import (
    conninfo,
    count,
    installed_task,
    json_option,
    open_session,
)
from runner.cli.output import Column, emit_json, note, table
from runner.errors import BackfillError, ExitCode, UsageError

if TYPE_CHECKING:
    from runner.database.session import Session

REFUSED = ("BF030", "22023", "23514", "42501")
"""SQLSTATEs of what whoever sets a webhook can mend: there is none of that name, a secret that is
none, a constraint, a right."""

SEND_S = 60.0

MOMENTS = click.Choice(["before-run", "after-batch", "after-run"])

moment_option = click.option(
    "--moment",
    "moments",
    type=MOMENTS,
    multiple=True,
    help="What it is told of; may be given several times.",
)
attempts_option = click.option(
    "--max-attempts", type=click.IntRange(1, 100), help="Give a message up after so many attempts."
)


@click.group()
def hook() -> None:
    """Tell a server of yours when runs begin, get on and end.

    Messages are signed (standardwebhooks.com), written with what they tell of, and sent by workers
    and by the end of each `backfill run` until the server takes them.
    """


@hook.command("add")
@click.argument("name")
@click.argument("url")
@moment_option
@click.option("--task", help="Only for runs of this task.  [default: of all]")
@attempts_option
@click.pass_context
def add(
    ctx: click.Context,
    name: str,
    url: str,
    moments: tuple[str, ...],
    task: str | None,
    max_attempts: int | None,
) -> int:
    """Add the webhook NAME, which is sent to URL; - reads the URL from stdin.

    Prints the secret that messages are signed with. It is not shown again.
    """
    with open_session(ctx) as session:
        if any(row["name"] == name for row in session.call("webhooks", webhook=name)):
            raise UsageError(f"there is a webhook {name}; change it with: backfill hook set {name}")
        if task is not None:
            installed_task(session, task)
        secret = _set(session, name, _typed(url), moments or ("after-run",), task, max_attempts)
    note(f"{name} is added; its server checks messages with this secret, which is not shown again:")
    click.echo(secret)
    note(f"try it: backfill hook test {name}")
    return ExitCode.DONE


@hook.command("set")
@click.argument("name")
@click.option("--url", help="Where to send; - reads it from stdin.")
@moment_option
@attempts_option
@click.option("--enable/--disable", "enabled", default=None, help="Send messages, or write none.")
@click.pass_context
def set_(
    ctx: click.Context,
    name: str,
    url: str | None,
    moments: tuple[str, ...],
    max_attempts: int | None,
    enabled: bool | None,
) -> int:
    """Change the webhook NAME; what is not given stays as it is."""
    with open_session(ctx) as session:
        # a new one's secret would be shown to nobody
        if not session.call("webhooks", webhook=name):
            add = f"backfill hook add {name} URL"
            raise UsageError(f"there is no webhook named {name!r}; add it with: {add}")
        address = None if url is None else _typed(url)
        _set(session, name, address, moments, None, max_attempts, enabled=enabled)
        (row,) = session.call("webhooks", webhook=name)
    click.echo(f"{name} is set: {row['host']}, {_moments(row)}{'' if row['enabled'] else ', off'}")
    return ExitCode.DONE


@hook.command("list")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> int:
    """Show the webhooks and how they do. In psql: select * from backfill.webhooks;"""
    with open_session(ctx) as session:
        rows = session.call("webhooks", webhook=None)
    if as_json:
        emit_json(rows)
        return ExitCode.DONE
    if not rows:
        note("there is no webhook; see: backfill hook add --help")
        return ExitCode.DONE
    shown = [row | {"told_of": _moments(row), "on": row["enabled"]} for row in rows]
    table(
        shown,
        ["name", "host", "told_of", Column("task", "for"), "on", "waiting",
         Column("delivered_at", "delivered")],
    )  # fmt: skip
    for row in rows:
        if row["note"]:
            note(f"{row['name']} is off: {row['note']}; backfill hook set {row['name']} --enable")
        elif row["error"]:
            note(f"{row['name']}: {row['error']}")
    return ExitCode.DONE


@hook.command("log")
@click.argument("name", required=False)
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many."
)
@json_option
@click.pass_context
def log_(ctx: click.Context, name: str | None, limit: int, as_json: bool) -> int:
    """Show the last messages to all webhooks, or to NAME.

    In psql: select * from backfill.deliveries;
    """
    with open_session(ctx) as session:
        rows = session.call("deliveries", webhook=name, limit=limit)
    if as_json:
        emit_json(rows)
    elif not rows:
        note("no message was written in the last week")
    else:
        table(
            rows,
            ["created_at", "webhook", "moment", "task", "run", "state", "attempts",
             Column("status", "http"), "error"],
        )  # fmt: skip
    return ExitCode.DONE


@hook.command("test")
@click.argument("name")
@click.pass_context
def test(ctx: click.Context, name: str) -> int:
    """Send a message of type test to the webhook NAME, once, and say what its server answered."""
    from runner.hooks.deliver import Deliverer

    with open_session(ctx) as session, Deliverer(conninfo(ctx)) as deliverer:
        with _told():
            written = session.one("test_webhook", webhook=name)["delivery"]
        made = deliverer.flush(session, SEND_S, only=written)
    if not made:
        note(f"{name}: a worker has taken the message; see: backfill hook log {name}")
        return ExitCode.DONE
    (attempt,) = made
    if attempt.error is not None:
        raise BackfillError(f"webhook {name}: {attempt.error}")
    click.echo(f"{name}: HTTP {attempt.status} after {attempt.milliseconds} ms")
    return ExitCode.DONE


@hook.command("send")
@click.pass_context
def send(ctx: click.Context) -> int:
    """Send now what is due; for cron, where no `backfill worker` is running."""
    from runner.hooks.deliver import Deliverer

    with open_session(ctx) as session, Deliverer(conninfo(ctx)) as deliverer:
        made = deliverer.flush(session, SEND_S)
    failed = sum(attempt.error is not None for attempt in made)
    again = f", {failed} to be tried again" if failed else ""
    click.echo(f"{count(len(made) - failed, 'message')} sent{again}")
    return ExitCode.DONE


@hook.command("rotate")
@click.argument("name")
@click.pass_context
def rotate(ctx: click.Context, name: str) -> int:
    """Give the webhook NAME a new secret, and print it; for 24 hours the old one signs, too."""
    with open_session(ctx) as session, _told():
        click.echo(session.one("rotate_webhook_secret", webhook=name)["secret"])
    return ExitCode.DONE


@hook.command("drop")
@click.argument("name")
@click.pass_context
def drop(ctx: click.Context, name: str) -> int:
    """Take the webhook NAME away, with the messages that were not sent yet."""
    with open_session(ctx) as session, _told():
        session.call("drop_webhook", webhook=name)
    click.echo(f"{name} is dropped")
    return ExitCode.DONE


def _set(
    session: Session,
    name: str,
    url: str | None,
    moments: tuple[str, ...],
    task: str | None,
    max_attempts: int | None,
    *,
    enabled: bool | None = None,
) -> str | None:
    """Set it; the secret of a new one."""
    with _told():
        found = session.one(
            "set_webhook", webhook=name, url=url, task=task, max_attempts=max_attempts,
            moments=[moment.replace("-", "_") for moment in moments] or None, enabled=enabled,
        )  # fmt: skip
    return None if found["secret"] is None else str(found["secret"])


def _typed(url: str) -> str:
    return sys.stdin.readline().strip() if url == "-" else url


def _moments(row: dict[str, Any]) -> str:
    return ", ".join(moment.replace("_", "-") for moment in row["moments"])


@contextmanager
def _told() -> Iterator[None]:
    """What the database refuses in the block for a reason of the user's is a `UsageError`."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate not in REFUSED:
            raise
        said = error.diag
        rule = (said.constraint_name or "").replace("_", " ")
        broken = f"the webhook is refused, since this is the rule: {rule}" if rule else ""
        hint = f"; {said.message_hint}" if said.message_hint else ""
        raise UsageError(f"{broken or said.message_primary}{hint}") from error
