"""`backfill budget`: what tasks may spend, in US dollars."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import click

from runner.cli.common import installed_task, json_option, open_session
from runner.cli.cost_words import dollars, money_column, period
from runner.cli.output import Column, emit_json, note, table
from runner.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from runner.database.session import Session


class Dollars(click.ParamType):  # type: ignore[type-arg] # generic since click 8.5 only
    """An amount in US dollars, with or without its sign: 25, 0.50, $1,000."""

    name = "usd"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        """The amount, exactly as it was typed."""
        try:
            amount = Decimal(str(value).removeprefix("$").replace(",", ""))
        except InvalidOperation:
            self.fail(f"{value!r} is no amount in dollars, like 25 or 0.50", param, ctx)
        if not amount.is_finite() or amount < 0:
            self.fail(f"{value!r} should be an amount from 0 on", param, ctx)
        return amount


@click.command()
@click.argument("task", required=False)
@click.option("--month", metavar="USD", type=Dollars(), help="Per calendar month, UTC.")
@click.option("--total", metavar="USD", type=Dollars(), help="In total, over all runs.")
@click.option("--none", "take_away", is_flag=True, help="Take the task's budgets away.")
@json_option
@click.pass_context
def budget(
    ctx: click.Context,
    task: str | None,
    month: Decimal | None,
    total: Decimal | None,
    take_away: bool,
    as_json: bool,
) -> int:
    """Show what tasks may spend on paid calls and what is left, or set what TASK may spend.

    It holds for all runs and processes of the task together, from their next call on. A run's own
    limit is its --max-cost.
    """
    amounts: dict[str, Decimal | None] = {
        per: usd for per, usd in (("month", month), ("total", total)) if usd is not None
    }
    if take_away:
        if amounts:
            raise UsageError("--none can't be given with --month or --total")
        amounts = {"month": None, "total": None}
    if amounts and task is None:
        raise UsageError("say whose budget it is: backfill budget TASK")
    with open_session(ctx) as session:
        if task is not None:
            installed_task(session, task)
            for per, usd in amounts.items():
                session.call("set_budget", task=task, usd=usd, per=per)
        rows = session.call("budgets", task=task)
        if as_json:
            emit_json(rows)
        elif task is not None and amounts:
            _tell(session, task, rows)
        else:
            _show(task, rows)
    return ExitCode.DONE


def _tell(session: Session, task: str, rows: list[dict[str, Any]]) -> None:
    """What holds now that it was set."""
    own = [row for row in rows if row["run"] is None]
    if not own:
        click.echo(f"{task} has no budget any more; a run's own is its --max-cost")
    for row in own:
        left = max(row["left_usd"], Decimal(0))
        gone = _gone(row)
        click.echo(f"{task} may spend {period(row['usd'], row['per'])}; {gone}{dollars(left)} left")
    if session.one("progress", task=task)["remaining"] and not session.call("live_runs", task=task):
        note(f"next: backfill run {task}")


def _gone(row: Mapping[str, Any]) -> str:
    gone = row["used"] + row["held"] + row["unknown"]
    return f"{dollars(gone)} of it is gone, " if gone else ""


def _show(task: str | None, rows: list[dict[str, Any]]) -> None:
    if not rows:
        note(
            f"{task or 'no task'} has {'no' if task else 'a'} budget; "
            f"set one with: backfill budget {task or 'TASK'} --month 25"
        )
        return
    money = {
        name: money_column([row[name] for row in rows])
        for name in ("usd", "used", "held", "unknown", "left_usd")
    }
    shown = [
        {**row, **{name: cells[place] for name, cells in money.items()}}
        for place, row in enumerate(rows)
    ]
    columns: list[str | Column] = ["task", "per"]
    if any(row["run"] is not None for row in rows):
        columns.append("run")
    table(
        shown,
        [*columns, Column("usd", "budget"), Column("used", "spent"), "held", "unknown",
         Column("left_usd", "left")],
    )  # fmt: skip
    if any(row["unknown"] for row in rows):
        note("unknown: calls that may have been charged; see: select * from backfill.effects")
