"""What a run says at its end: to people, as one JSON object, and by its exit code."""

from __future__ import annotations

import json
from typing import Any

import click

from runner.cli.output import duration
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
    "done": "done",
    "limit": "stopped at its limit; the rest is for the next run",
    "max_duration": "stopped at its longest duration; the rest is for the next run",
    "paused": "stopped because the task is paused",
    "cancelled": "cancelled",
    "interrupted": "interrupted; nothing is lost",
    "lost": "all its processes died; what they held is ready again",
    "error": "stopped by an error",
}


def exit_code(run: dict[str, Any]) -> ExitCode:
    """The exit code that says how the run ended; failed items count where it came to its end."""
    special = _EXIT.get(run["exit_reason"])
    if special is not None:
        return special
    return ExitCode.FAILED_ITEMS if run["failed"] else ExitCode.DONE


def as_json(run: dict[str, Any]) -> str:
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
        }
    )


def show(run: dict[str, Any], failed: list[dict[str, Any]], later: int) -> None:
    """The summary for people: numbers, why it ended, what failed and what to type next.

    `failed` are the first of the rows that failed for good, `later` the retries not waited for.
    """
    task = run["task"]
    if not run["processed"] and run["exit_reason"] == "done":
        click.echo(f"{task}: nothing to do")
        return
    done, elapsed = run["processed"], run["elapsed"].total_seconds()
    total = max(run["found"], done)
    click.echo(f"{task}: run {run['run']} {_WHY.get(run['exit_reason'], run['exit_reason'])}")
    rows = [
        ("total", f"{'' if run['found_exact'] else '~'}{total}"),
        ("processed", f"{done} ({100 * done / total:.1f}%)" if total else str(done)),
        ("succeeded", str(run["ok"])),
        ("nothing found", str(run["nothing_found"]) if run["nothing_found"] else ""),
        ("skipped", str(run["skipped"]) if run["skipped"] else ""),
        ("failed", str(run["failed"])),
        ("tried again", str(run["retried"]) if run["retried"] else ""),
        ("processes lost", str(run["processes_lost"]) if run["processes_lost"] else ""),
        ("elapsed", duration(elapsed)),
        (
            "average",
            f"{run['busy_ms'] / done:.0f} ms an item, {done / elapsed:.1f} items a second"
            if done
            else "",
        ),
        ("spent", f"${run['spend_usd']:.4f}" if run["spend_usd"] else ""),
    ]
    for name, value in rows:
        if value:
            click.echo(f"  {name:<15}{value}")
    _show_failures(run, failed)
    if later:
        click.echo(
            f"{later} rows failed and are due for another try later; the next run takes them up"
        )
    if run["exit_reason"] in ("interrupted", "max_duration", "limit", "lost", "cancelled"):
        click.echo(f"go on with: backfill run {task}")
    if run["exit_reason"] == "paused":
        click.echo(f"let it go on with: backfill resume {task}")


def _show_failures(run: dict[str, Any], failed: list[dict[str, Any]]) -> None:
    if not failed:
        return
    click.echo("failed:")
    for row in failed[:SHOWN_FAILURES]:
        click.echo(f"  {row['key']}  {row['error_class']}: {row['error_message']}")
    if run["failed"] > SHOWN_FAILURES:
        click.echo(
            f"  ... and {run['failed'] - SHOWN_FAILURES} more: backfill failures {run['task']}"
        )
    click.echo(f"take them up again with: backfill run {run['task']} --resume")
