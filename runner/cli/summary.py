"""What a run says at its end: to people, as one JSON object, and by its exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from runner.cli.common import count
from runner.cli.cost_words import costs_as_json, dollars, period, raise_to, spent
from runner.cli.figures import figures_as_json, plain_figures, shown, tables
from runner.cli.output import human, table
from runner.errors import ExitCode
from runner.redaction import redact
from runner.units import duration

if TYPE_CHECKING:
    from runner.database.session import Session

Run = Mapping[str, Any]
"""A row of backfill.runs."""

Rows = Sequence[Mapping[str, Any]]

SHOWN_FAILURES = 10
NAME_WIDTH = 14

_EXIT = {
    "paused": ExitCode.PAUSED,
    "cancelled": ExitCode.CANCELLED,
    "interrupted": ExitCode.INTERRUPTED,
    "lost": ExitCode.ERROR,
    "error": ExitCode.ERROR,
}

_WHY = {
    "done": "is done",
    "limit": "stopped at its limit",
    "budget": "stopped: its budget is used up",
    "max_duration": "stopped at its longest duration",
    "paused": "stopped: the task is paused",
    "cancelled": "was cancelled",
    "interrupted": "was interrupted; nothing is lost",
    "lost": "lost all its processes; what they held is ready again",
    "error": "was stopped by an error",
}

_GOES_ON = ("interrupted", "max_duration", "limit", "budget", "lost", "cancelled", "error")


def exit_code(run: Run) -> ExitCode:
    """The exit code that says how the run ended; failed items count where it came to its end."""
    special = _EXIT.get(run["exit_reason"])
    if special is not None:
        return special
    return ExitCode.FAILED_ITEMS if run["failed"] else ExitCode.DONE


def to_do(run: Run) -> str:
    """What a run set out to do: `12,000 rows to do`."""
    about = "" if run["found_exact"] else "about "
    return f"{about}{count(run['found'], 'row')} to do"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the database has of a run beside its row; each a list of rows.

    `failed` are the first of the rows that failed for good, `waiting` what there is of retries that
    were not waited for: `later` rows, `first_in`, `why`. `next_steps` are a `name`, an `amount` and
    the `next_step`, `budget` is the one that is used up.
    """

    figures: Rows = ()
    next_steps: Rows = ()
    costs: Rows = ()
    failed: Rows = ()
    waiting: Mapping[str, Any] | None = None
    budget: Mapping[str, Any] | None = None


def read(session: Session, task: str, run: int) -> Facts:
    """Ask for them."""
    said = [one for one in session.call("run_summary", run=run) if one["amount"]]
    lines = [{**one, "label": ""} for one in said if one["next_step"] is None]
    budget = session.call("run_budget", run=run)
    return Facts(
        figures=[*session.call("run_figures", run=run), *lines],
        next_steps=[one for one in said if one["next_step"] is not None],
        costs=session.call("run_costs", run=run),
        failed=session.call("run_failures", run=run, task=task, limit=SHOWN_FAILURES),
        waiting=session.one("later", run=run),
        budget=budget[0] if budget else None,
    )


def as_json(run: Run, facts: Facts) -> str:
    """The summary as one JSON object on one line."""
    return json.dumps(
        {
            "task": run["task"],
            "run_id": run["run"],
            "found": run["found"],
            "processed": run["processed"],
            "ok": run["ok"],
            "nothing_found": run["nothing_found"],
            "skipped": run["skipped"],
            "failed": run["failed"],
            "elapsed_s": round(run["elapsed"].total_seconds(), 3),
            "spend_usd": float(run["spend_usd"]),
            "exit_reason": run["exit_reason"],
            **figures_as_json(facts.figures),
            **dict(_more_as_json(facts)),
        }
    )


def _more_as_json(facts: Facts) -> Iterator[tuple[str, Any]]:
    """Keys that are there only where there is something to tell."""
    if facts.costs:
        yield "costs", costs_as_json(facts.costs)
    if facts.next_steps:
        yield (
            "next_steps",
            [
                {"name": s["name"], "amount": int(s["amount"]), "command": s["next_step"]}
                for s in facts.next_steps
            ],
        )


def show(run: Run, facts: Facts) -> None:
    """The summary for people: numbers, why it ended, what failed and what to type next."""
    task, reason = run["task"], run["exit_reason"]
    waiting = facts.waiting
    later = waiting["later"] if waiting else 0
    if not run["processed"] and reason == "done" and not later:
        click.echo(f"{task}: nothing to do")
        return
    click.echo(f"{task}: run {run['run']} {_why(reason, facts.budget)}")
    values = [*_figures(run), *plain_figures(facts.figures), *spent(facts.costs)]
    width = max(NAME_WIDTH, *(len(name) for name, _ in values))
    for name, value in values:
        click.echo(f"  {human(name):<{width}} {value}")
    for rows, columns in tables(facts.figures):
        click.echo()
        table(rows, columns)
    _show_failures(run, facts.failed)
    for step in facts.next_steps:
        click.echo(f"{int(step['amount']):,} {human(step['name'])}: {human(step['next_step'])}")
    if waiting and later and reason == "done":
        why = f" ({human(redact(waiting['why']))})" if waiting["why"] else ""
        click.echo(
            f"{count(later, 'row')} to be tried again later, the first in "
            f"{duration(waiting['first_in'])}{why}; a run from then on takes them up"
        )
    if run["status"] != "ended":
        others = count(run["processes"], "other process", "other processes")
        click.echo(f"the run goes on in {others}; see: backfill status {task}")
    elif reason == "paused":
        click.echo(f"let it go on with: backfill resume {task}")
    elif reason in _GOES_ON:
        click.echo(_go_on(task, facts.budget if reason == "budget" else None))


def _why(reason: str, budget: Mapping[str, Any] | None) -> str:
    """Why it ended; of a budget, which."""
    words = _WHY.get(reason, reason)
    if reason != "budget" or budget is None:
        return words
    if budget["meter"] is None:
        return f"stopped: the task's budget of {period(budget['usd'], budget['per'])} is used up"
    meter, most = budget["meter"], Decimal(budget["most"])
    amount = dollars(most) if meter == "cost" else shown(meter, most)
    return f"stopped: its budget of {amount} (--max-{meter}) is used up"


def _go_on(task: str, budget: Mapping[str, Any] | None) -> str:
    """What to type next."""
    if budget is None:
        return f"go on with: backfill run {task}"
    if budget["meter"] is None:
        raised = f"backfill budget {task} --{budget['per']} {raise_to(budget['usd'])}"
        return f"raise it with: {raised}; then go on with: backfill run {task}"
    return (
        f"go on with another run, which has a budget of its own: "
        f"backfill run {task} --max-{budget['meter']} {budget['most']}"
    )


def _figures(run: Run) -> Iterator[tuple[str, str]]:
    done, elapsed = run["processed"], run["elapsed"].total_seconds()
    total = max(run["found"], done)
    yield "total", f"{'' if run['found_exact'] else '~'}{total:,}"
    yield "processed", f"{done:,}" + (f" ({100 * done / total:.1f}%)" if total else "")
    yield "succeeded", f"{run['ok']:,}"
    if run["nothing_found"]:
        yield "nothing found", f"{run['nothing_found']:,}"
    if run["skipped"]:
        yield "skipped", f"{run['skipped']:,}"
    yield "failed", f"{run['failed']:,}"
    if run["retried"]:
        yield "tried again", f"{run['retried']:,}"
    if run["processes_lost"]:
        yield "processes lost", f"{run['processes_lost']:,}"
    yield "elapsed", duration(elapsed)
    if done:
        each = duration(run["busy_ms"] / done / 1000)
        yield "average", f"{each} an item, {done / elapsed:,.1f} items a second"


def _show_failures(run: Run, failed: Rows) -> None:
    if not failed:
        return
    click.echo("failed:")
    for row in failed[:SHOWN_FAILURES]:
        what = redact(f"{row['error_class']}: {row['error_message']}")
        click.echo(f"  {human(row['key'])}  {human(what)}")
    if run["failed"] > SHOWN_FAILURES:
        more = run["failed"] - SHOWN_FAILURES
        click.echo(f"  ... and {more:,} more: backfill failures {run['task']}")
    click.echo(f"take them up again with: backfill run {run['task']} --resume")
