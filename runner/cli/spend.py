"""`backfill spend`: what was spent on paid calls, by day, by user or by run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from runner.cli.common import count, installed_task, json_option, open_session
from runner.cli.cost_words import dollars, money_column
from runner.cli.output import Column, emit_json, note, table
from runner.errors import ExitCode

if TYPE_CHECKING:
    from runner.database.session import Session

SHOWN = 100

COLUMNS: dict[str, list[str | Column]] = {
    "day": ["day", "task", "operation", "region"],
    "user": [Column("payer", "user"), "task"],
    "run": ["run", "task", "operation", "region"],
}

SAID = "(as results say)"
"""Stands for the call where a task writes down no calls, but says what its rows cost."""


@click.command()
@click.argument("task", required=False)
@click.option(
    "--by",
    type=click.Choice(["day", "user", "run"]),
    default="day",
    show_default=True,
    help="Days are those of UTC; users as the task names them.",
)
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=SHOWN,
    show_default=True,
    help="Most lines; 0: all. The total is of all of them.",
)
@json_option
@click.pass_context
def spend(ctx: click.Context, task: str | None, by: str, limit: int, as_json: bool) -> int:
    """Show what TASK, or every task, has spent on paid calls.

    By day and by user it is kept for good, by run as long as the run itself. In psql: the views
    backfill.spend and backfill.run_costs.
    """
    with open_session(ctx) as session:
        if task is not None:
            installed_task(session, task)
        rows = _read(session, by, task, limit or None)
    if as_json:
        emit_json([{k: v for k, v in r.items() if k not in ("of", "total_usd")} for r in rows])
    elif not rows:
        note(f"{task or 'no task'} has spent {'nothing' if task else 'anything'} yet")
    else:
        _show(by, rows)
    return ExitCode.DONE


def _read(session: Session, by: str, task: str | None, limit: int | None) -> list[dict[str, Any]]:
    if by == "user":
        return session.call("spend_by_user", task=task, limit=limit)
    if by == "run":
        return session.call("spend_by_run", task=task, limit=limit)
    return session.call("spend_by_day", task=task, limit=limit)


def _show(by: str, rows: list[dict[str, Any]]) -> None:
    usd = money_column([row["usd"] for row in rows])
    open_usd = money_column([row["open_usd"] for row in rows])
    shown = [
        {
            **row,
            "operation": row.get("operation") or SAID,
            "payer": row.get("payer") or "(nobody named)",
            "usd": usd[place],
            "open_usd": open_usd[place],
        }
        for place, row in enumerate(rows)
    ]
    columns = [*COLUMNS[by], "calls", Column("usd", "spent")]
    if any(row["open_calls"] for row in rows):
        columns += [Column("open_calls", "unsettled"), Column("open_usd", "may cost")]
    table(shown, columns)
    more = rows[0]["of"] - len(rows)
    if more:
        note(f"and {count(more, 'line')} more; see them with --limit 0")
    click.echo(f"{dollars(rows[0]['total_usd'])} in all")
    if any(row["open_calls"] for row in rows):
        note("unsettled: calls that may have been charged; see: select * from backfill.effects")
