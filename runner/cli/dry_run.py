"""`backfill run TASK --dry-run`: what a run would take, where the database refuses any write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click
import psycopg

from runner.cli import summary
from runner.cli.logs import redact
from runner.cli.output import duration, human
from runner.cli.run_options import RunOptions, threads
from runner.contract import Task
from runner.database import failures
from runner.database.files import statement
from runner.database.session import Connection, connect
from runner.errors import BackfillError, ExitCode, UsageError

SHOWN_ROWS = 5
SHOWN_CHARACTERS = 100


def dry_run(conninfo: str, task: Task, options: RunOptions) -> ExitCode:
    """Count what a run would take and show the first rows and the expected time."""
    chosen = {"task": task.name, "where": options.where, "retry_failed": options.resume}
    with connect(conninfo, name=f"backfill {task.name} dry run", autocommit=False) as connection:
        connection.read_only = True
        try:
            (counted,) = _read(connection, "count_pending", chosen)
            most = min(SHOWN_ROWS, options.limit or SHOWN_ROWS)
            first = _read(connection, "preview", {**chosen, "limit": most})
            (speed,) = _read(connection, "throughput", {"task": task.name})
            (installed,) = _read(connection, "task", {"task": task.name})
        except psycopg.Error as error:
            raise blame_where(options.where, error) from error
    found, exact = counted["pending"], counted["exact"]
    if options.limit is not None:
        found, exact = min(found, options.limit), exact or found > options.limit
    seconds = _expected_seconds(found, task, options, installed, speed["avg_ms"])
    if options.json:
        _print_json(task.name, found, exact, seconds, [row["key"] for row in first])
    else:
        _print_text(task.name, found, exact, seconds, first)
    return ExitCode.DONE


def blame_where(where: str | None, error: psycopg.Error) -> BackfillError:
    """The user's line for an error in what may be the user's own condition."""
    refused = isinstance(error, psycopg.errors.InsufficientPrivilege)
    if where and not refused and (error.sqlstate or "")[:2] in ("42", "22", "25", "21"):
        return UsageError(
            f"--where {where!r} can't be used: {failures.first_line(error)}; "
            "it is a SQL condition on the columns of the needs view; functions and tables of your "
            "own need their schema's name"
        )
    return failures.explain(error)


def _read(connection: Connection, name: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    return connection.execute(statement(name), parameters).fetchall()


def _expected_seconds(
    found: int, task: Task, options: RunOptions, installed: Mapping[str, Any], avg_ms: Any
) -> float | None:
    """Pauses between batches, or computing at the speed of the last hour, whichever is longer."""
    batch = options.batch_size or installed["batch_size"]
    delay = installed["delay_ms"] if options.delay is None else options.delay
    pauses = max(found / batch / options.workers - 1, 0) * delay / 1000
    if avg_ms is None:
        return pauses or None
    computing = found * float(avg_ms) / 1000 / (threads(task, options) * options.workers)
    return max(pauses, computing)


def _print_json(task: str, found: int, exact: bool, seconds: float | None, keys: list[str]) -> None:
    click.echo(
        json.dumps(
            {
                "task": task,
                "dry_run": True,
                "found": found,
                "found_exact": exact,
                "expected_s": None if seconds is None else round(seconds, 1),
                "first_keys": keys,
            }
        )
    )


def _print_text(
    task: str, found: int, exact: bool, seconds: float | None, first: list[dict[str, Any]]
) -> None:
    click.echo(f"{task}: dry run, nothing is changed")
    if not found:
        click.echo("nothing to do")
        return
    click.echo(f"{summary.to_do({'found': found, 'found_exact': exact})}; the first:")
    for row in first:
        inputs = {
            k: v for k, v in row["input"].items() if k not in ("key", "revision") and v is not None
        }
        text = json.dumps(inputs, ensure_ascii=False)
        shown = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
        click.echo(f"  {human(row['key'])}  {human(redact(shown))}")
    if seconds is not None:
        click.echo(f"expected time: at least {duration(seconds)}")
    else:
        click.echo("expected time: not known before the first run; try one with --limit 10")
