"""What a run would take, how long and how much: asked where the database refuses any write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from runner.cli.run_options import RunOptions, threads
from runner.contract import Settings, Task
from runner.database import failures
from runner.database.files import statement
from runner.database.session import Connection, connect
from runner.errors import BackfillError, UsageError

SHOWN_ROWS = 5


@dataclass(frozen=True, slots=True)
class Forecast:
    """Rows (counted, or the planner's estimate), the first of them, and what is to be expected.

    `seconds` is None before there is any experience; `usd` is the most that paid calls can cost.
    """

    found: int
    exact: bool
    first: list[dict[str, Any]]
    seconds: float | None
    usd: float


def forecast(conninfo: str, task: Task, options: RunOptions, settings: Settings) -> Forecast:
    """Ask in a READ ONLY transaction what this run would take."""
    chosen = {"task": task.name, "where": options.where, "retry_failed": options.resume}
    with connect(conninfo, name=f"backfill {task.name} forecast", autocommit=False) as connection:
        connection.read_only = True
        try:
            (counted,) = _read(connection, "count_pending", chosen)
            most = min(SHOWN_ROWS, options.limit or SHOWN_ROWS)
            first = _read(connection, "preview", {**chosen, "limit": most})
            (speed,) = _read(connection, "throughput", {"task": task.name})
            (installed,) = _read(connection, "task", {"task": task.name})
        except psycopg.Error as error:
            raise blame_where(options, error) from error
    found, exact = counted["pending"], counted["exact"]
    if options.limit is not None:
        found, exact = min(found, options.limit), exact or found > options.limit
    price = task.price_usd(settings) if task.price_usd is not None else 0.0
    return Forecast(
        found,
        exact,
        first,
        _expected_seconds(found, task, options, installed, speed["avg_ms"]),
        found * price,
    )


def blame_where(options: RunOptions, error: psycopg.Error) -> BackfillError:
    """The user's line for an error in what may be the user's own condition."""
    refused = isinstance(error, psycopg.errors.InsufficientPrivilege)
    suspect = options.where and (error.sqlstate or "")[:2] in ("42", "22", "25", "21")
    if suspect and not refused and options.where != options.typed_where:
        return UsageError(
            f"the options can't be used together with this database: {failures.first_line(error)}; "
            f"they stand for the condition {options.where!r}"
        )
    if suspect and not refused:
        return UsageError(
            f"--where {options.where!r} can't be used: {failures.first_line(error)}; "
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
