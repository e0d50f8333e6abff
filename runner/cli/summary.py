"""What a run says at its end: to people, as one JSON object, and by its exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from runner.cli.common import count
from runner.cli.figures import figures_as_json, plain_figures, tables
from runner.cli.logs import redact
from runner.cli.output import duration, human, table
from runner.errors import ExitCode

SHOWN_FAILURES = 10

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


def exit_code(run: dict[str, Any]) -> ExitCode:
    """The exit code that says how the run ended; failed items count where it came to its end."""
    special = _EXIT.get(run["exit_reason"])
    if special is not None:
        return special
    return ExitCode.FAILED_ITEMS if run["failed"] else ExitCode.DONE


def to_do(run: dict[str, Any]) -> str:
    """What a run set out to do: `12,000 rows to do`."""
    about = "" if run["found_exact"] else "about "
    return f"{about}{count(run['found'], 'row')} to do"


def as_json(run: dict[str, Any], figures: list[dict[str, Any]]) -> str:
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
            **figures_as_json(figures),
        }
    )


def show(
    run: dict[str, Any],
    figures: list[dict[str, Any]],
    failed: list[dict[str, Any]],
    waiting: dict[str, Any] | None = None,
) -> None:
    """The summary for people: numbers, why it ended, what failed and what to type next.

    `failed` are the first of the rows that failed for good, `waiting` what there is of retries that
    were not waited for: `later` rows, `first_in`, `why`.
    """
    task, reason = run["task"], run["exit_reason"]
    later = waiting["later"] if waiting else 0
    if not run["processed"] and reason == "done" and not later:
        click.echo(f"{task}: nothing to do")
        return
    click.echo(f"{task}: run {run['run']} {_WHY.get(reason, reason)}")
    for name, value in (*_figures(run), *plain_figures(figures)):
        click.echo(f"  {human(name):<14} {value}")
    for rows, columns in tables(figures):
        click.echo()
        table(rows, columns)
    _show_failures(run, failed)
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
        click.echo(f"go on with: backfill run {task}")


def _figures(run: dict[str, Any]) -> Iterator[tuple[str, str]]:
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
    if run["spend_usd"]:
        yield "spent", f"${run['spend_usd']:.4f}"


def _show_failures(run: dict[str, Any], failed: list[dict[str, Any]]) -> None:
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
