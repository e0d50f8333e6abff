"""`backfill guard`: thresholds above which processes slow down or are handed no rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import click

from runner.cli.common import installed_task, json_option, open_session
from runner.cli.durations import Duration
from runner.cli.output import Column, emit_json, note, table
from runner.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_SUCH_GUARD = "BF010"
"""SQLSTATE of backfill.set_guard() and backfill.drop_guard()."""
REFUSED = (NO_SUCH_GUARD, "23514", "42501")
"""SQLSTATEs of what whoever sets a guard can mend: the last two are a constraint and a right."""

KINDS = (
    "replication_lag", "replication_bytes", "oldest_transaction", "active_sessions", "vacuum",
    "wal_rate", "sql",
)  # fmt: skip

_UNITS: dict[str, Decimal] = {
    unit: Decimal(size)
    for unit, size in {
        "": "1", "ms": "0.001", "s": "1", "m": "60", "h": "3600", "d": "86400",
        "kB": f"{2**10}", "MB": f"{2**20}", "GB": f"{2**30}", "TB": f"{2**40}",
    }.items()
}  # fmt: skip


class Threshold(click.ParamType):  # type: ignore[type-arg] # generic since click 8.5 only
    """A number, with or without a unit of time (30s, 5m) or of bytes (16MB, as 1024 times 1024)."""

    name = "value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        """Seconds, bytes, or the number as it is."""
        found = re.fullmatch(r"([-+]?[.\d]+)\s*(ms|s|m|h|d|kB|MB|GB|TB|)", str(value).strip())
        try:
            return Decimal(found[1]) * _UNITS[found[2]] if found else Decimal("")
        except InvalidOperation:
            self.fail(f"{value!r} is no number, like 30, 5m or 16MB", param, ctx)


@click.group()
def guard() -> None:
    """Slow runs down, or hold them, by what the server bears.

    A guard measures something before rows are claimed, for all processes together. Above its
    thresholds they slow down or wait, and go on by themselves.
    """


@guard.command("set")
@click.argument("name")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@click.option("--hold-above", metavar="VALUE", type=Threshold(), help="Above this, rows wait.")
@click.option("--slow-above", metavar="VALUE", type=Threshold(), help="Above this, slow down.")
@click.option(
    "--clear-below",
    metavar="VALUE",
    type=Threshold(),
    help="Go on once it is not above this.  [default: the lower threshold]",
)
@click.option("--task", help="Only for this task.  [default: for all]")
@click.option(
    "--of", "subject", metavar="NAME", help="The replica's application_name, or the table."
)
@click.option("--sql", "query", metavar="QUERY", help="For kind sql: gives a number, or a boolean.")
@click.option("--slow-by", type=float, help="How many times slower.  [default: 4]")
@click.option("--every", metavar="DURATION", type=Duration(), help="Measure it.  [default: 5s]")
@click.option(
    "--timeout", metavar="DURATION", type=Duration(), help="For measuring it.  [default: 2s]"
)
@click.option(
    "--on-failure",
    type=click.Choice(["hold", "pass"]),
    help="What to do while it can't be measured.  [default: hold]",
)
@click.option(
    "--run-as",
    metavar="ROLE",
    help="In whose sessions to evaluate --sql.  [default: yours]",
)
@click.pass_context
def set_(ctx: click.Context, /, name: str, **settings: Any) -> int:
    """Set the guard NAME, which measures KIND; what is not given stays as it is.

    It holds from the next claim of every process on, on every host.
    """
    from runner.loop.guards import evaluate

    with open_session(ctx) as session:
        if settings["task"] is not None:
            installed_task(session, settings["task"])
        with _told():
            session.call("set_guard", guard=name, **settings)
        (row,) = session.call("guards", guard=name, task=None)
        if settings["run_as"] is None:
            milliseconds = round(row["timeout"].total_seconds() * 1000)
            evaluate(session, [{"guard": name, "timeout_ms": milliseconds}])
            (row,) = session.call("guards", guard=name, task=None)
    click.echo(f"{name} is set: {_words(row)}")
    return ExitCode.DONE


@guard.command("list")
@click.argument("task", required=False)
@json_option
@click.pass_context
def list_(ctx: click.Context, task: str | None, as_json: bool) -> int:
    """Show the guards, or those that hold for TASK: what each measured last, and what it does.

    In psql: select * from backfill.guards;
    """
    with open_session(ctx) as session:
        if task is not None:
            installed_task(session, task)
        rows = session.call("guards", guard=None, task=task)
    if as_json:
        emit_json(rows)
    elif not rows:
        note("no guard is set; see: backfill guard set --help")
    else:
        table(
            rows,
            ["name", "kind", Column("task", "for"), Column("subject", "of"), "state",
             Column("amount", "value"), "slow_above", "hold_above", "clear_below",
             Column("age", "measured")],
        )  # fmt: skip
        for row in rows:
            if row["reason"] or row["error"]:
                note(f"{row['name']}: {row['reason'] or row['error']}")
    return ExitCode.DONE


@guard.command("drop")
@click.argument("name")
@click.pass_context
def drop(ctx: click.Context, name: str) -> int:
    """Take the guard NAME away; what it held goes on."""
    with open_session(ctx) as session, _told():
        session.call("drop_guard", guard=name)
    click.echo(f"{name} is dropped")
    return ExitCode.DONE


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
        broken = f"the guard is refused, since this is the rule: {rule}" if rule else ""
        hint = f"; {said.message_hint}" if said.message_hint else ""
        raise UsageError(f"{broken or said.message_primary}{hint}") from error


def _words(row: Mapping[str, Any]) -> str:
    """What it does now and why."""
    if row["reason"]:
        return str(row["reason"])
    if row["error"]:
        return f"it lets all pass, since it can't be evaluated: {row['error']}"
    measured = "" if row["amount"] is None else f", at {row['amount']}"
    return f"{row['state']}{measured}"
