"""`backfill status`: how far the tasks are, who works on them, and why nothing moves."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from runner.cli.common import PATIENCE_S, count, installed_task, json_option, open_session
from runner.cli.cost_words import dollars, period
from runner.cli.output import (
    Column,
    emit_json,
    heading,
    human,
    note,
    on_terminal,
    pairs,
    table,
)
from runner.errors import ExitCode
from runner.units import duration

if TYPE_CHECKING:
    from runner.database.session import Session

RUNS = 5
HELD = 5
WATCH_PATIENCE_S = 300.0


@click.command()
@click.argument("task", required=False)
@click.option(
    "--watch",
    metavar="SECONDS",
    type=click.FloatRange(0.2, 3600),
    help="Show it again every so many seconds (0.2 to 3600), until Ctrl-C.",
)
@json_option
@click.pass_context
def status(ctx: click.Context, task: str | None, watch: float | None, as_json: bool) -> int:
    """Show how far TASK is, or all tasks: rows, rate, time left, processes, the last runs.

    The same figures in psql: select * from backfill.progress;
    """
    with open_session(ctx, patience=WATCH_PATIENCE_S if watch else PATIENCE_S) as session:
        if task is not None:
            installed_task(session, task)
        while True:
            found = snapshot(session, task)
            if as_json:
                emit_json(found, one_line=watch is not None)
            else:
                if watch and on_terminal():
                    click.clear()
                _show(found)
            if watch is None:
                return ExitCode.DONE
            time.sleep(watch)


def snapshot(session: Session, task: str | None) -> dict[str, Any]:
    """What `--json` prints, each a list of rows: what the views of these names say."""
    runs = session.call("runs", task=task, limit=RUNS)
    return {
        "progress": session.call("progress", task=task),
        "throughput": session.call("throughput", task=task),
        "processes": session.call("processes", task=task),
        "running": session.call("running", task=task, limit=HELD),
        "stalled": session.call("stalled", task=task),
        "budgets": session.call("budgets", task=task),
        "runs": runs,
        "run_errors": session.call("run_errors", runs=[row["run"] for row in runs]),
    }


def _show(found: Mapping[str, Any]) -> None:
    if not found["progress"]:
        note("no task is installed; see: backfill tasks")
    rates = {row["task"]: row for row in found["throughput"]}
    for row in found["progress"]:
        budgets = [one for one in found["budgets"] if one["task"] == row["task"]]
        _show_task(row, rates.get(row["task"], {}), budgets)
    if found["processes"]:
        heading("\nprocesses")
        table(
            found["processes"],
            ["task", "run", "host", "pid", "up_for", "processed", "failed", "retried", "holds",
             Column("note", "waits for")],
        )  # fmt: skip
    if found["running"]:
        heading("\nrows held longest")
        table(
            found["running"], ["task", "key", "attempt", "alone", "host", "pid", "run", "held_for"]
        )
    if found["stalled"]:
        heading("\nsilent processes")
        table(found["stalled"], ["task", "run", "host", "pid", "jobs_held", "silent_for", "reason"])
    if found["runs"]:
        heading("\nlast runs")
        table(
            [{**run, "status": run["exit_reason"] or run["status"]} for run in found["runs"]],
            ["run", "task", "status", "started_at", "elapsed", "found", "ok", "nothing_found",
             "skipped", "failed", "retried", Column("requested_by", "by")],
        )  # fmt: skip
    if found["run_errors"]:
        heading("\nwhy runs were stopped by an error")
        table(found["run_errors"], ["run", "task", "why"])


def _show_task(
    row: Mapping[str, Any], rate: Mapping[str, Any], budgets: Sequence[Mapping[str, Any]]
) -> None:
    title = f"{row['task']}: {row['state']}"
    if row["percent"] is not None:
        about = "" if row["total_exact"] else "about "
        title += f", {row['percent']} % of {about}{row['total']:,} rows"
    heading(title)
    outcomes = ("ok", "nothing_found", "skipped", "failed")
    done = ", ".join(f"{row[name]:,} {name.replace('_', ' ')}" for name in outcomes if row[name])
    going = bool(row["processes"])
    pairs(
        {
            "done": f"{row['done']:,}" + (f" ({done})" if done else ""),
            "remaining": f"{row['remaining']:,} ({row['running']:,} held now)"
            if row["running"]
            else row["remaining"],
            "rate": f"{human(row['per_minute'])} a minute" if going and row["per_minute"] else None,
            "last hour": _last_hour(rate),
            "time left": duration(row["eta"]) if row["eta"] is not None else None,
            "processes": count(row["processes"], "process", "processes") if going else None,
            "budget": "; ".join(map(_left, budgets)) or None,
            "waits": row["wait_reason"],
        }
    )


def _left(budget: Mapping[str, Any]) -> str:
    left = dollars(max(budget["left_usd"], Decimal(0)))
    if budget["run"] is not None:
        return f"{left} of {dollars(budget['usd'])} of run {budget['run']} left"
    return f"{left} of {period(budget['usd'], budget['per'])} left"


def _last_hour(rate: Mapping[str, Any]) -> str | None:
    if not rate.get("last_hour"):
        return None
    each = duration(float(rate["avg_ms"]) / 1000)
    rows, failed = rate["last_hour"], rate["failed_last_hour"]
    return f"{count(rows, 'row')}, {failed:,} of them failed; computing one took {each}"
