"""What a run would take, how long and how much: asked where the database refuses any write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from runner.cli.cost import Cost, estimate
from runner.cli.run_options import RunOptions, threads
from runner.contract import Settings, Task
from runner.database import failures
from runner.database.files import statement
from runner.database.session import Connection, connect
from runner.errors import BackfillError, UsageError

SHOWN_ROWS = 5

SAMPLED_AMONG = 50_000
"""The first rows by key, over which a sample is spread: as many as are counted."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Rows (counted, or the planner's estimate), the first of them, and what is to be expected.

    `seconds` is None before there is any experience; `cost` where no paid call is to be expected.
    """

    found: int
    exact: bool
    first: list[dict[str, Any]]
    seconds: float | None
    cost: Cost | None


def forecast(conninfo: str, task: Task, options: RunOptions, settings: Settings) -> Forecast:
    """Ask in READ ONLY transactions what this run would take; none is open while the task judges
    what its rows need of paid calls.
    """
    chosen = {
        "task": task.name,
        "where": options.where,
        "retry_failed": options.resume,
        "options": Jsonb(dict(settings)),
    }
    with _reading(conninfo, task, options) as connection:
        (counted,) = _read(connection, "count_pending", chosen)
        found, exact = counted["pending"], counted["exact"]
        if options.limit is not None:
            found, exact = min(found, options.limit), exact or found > options.limit
        first = _read(connection, "preview", {**chosen, "limit": min(found, SHOWN_ROWS)})
        sample = _sample(connection, task, chosen, found)
        (speed,) = _read(connection, "throughput", {"task": task.name})
        (installed,) = _read(connection, "task", {"task": task.name})
    cost = None
    if task.expected is not None and found:
        expected = task.expected(settings, sample)
        if expected:
            with _reading(conninfo, task, options) as connection:
                cost = estimate(connection, task.name, settings, expected, found)
    seconds = _expected_seconds(found, task, options, installed, speed["avg_ms"])
    if cost is not None and cost.seconds is not None:
        seconds = max(seconds or 0, cost.seconds)
    return Forecast(found, exact, first, seconds, cost)


def _sample(
    connection: Connection, task: Task, chosen: dict[str, Any], found: int
) -> list[dict[str, Any]]:
    """Rows that the task judges by: all that a small run would take, else some spread over them."""
    if task.expected is None or not task.sample:
        return []
    if found <= task.sample:
        rows = _read(connection, "preview", {**chosen, "limit": found})
    else:
        among = min(found, SAMPLED_AMONG)
        rows = _read(connection, "sample", {**chosen, "rows": task.sample, "among": among})
    return [row["input"] for row in rows]


@contextmanager
def _reading(conninfo: str, task: Task, options: RunOptions) -> Iterator[Connection]:
    """A READ ONLY transaction; errors in it are the user's line."""
    with connect(conninfo, name=f"backfill {task.name} forecast", autocommit=False) as connection:
        connection.read_only = True
        try:
            yield connection
        except psycopg.Error as error:
            raise blame_where(options, error) from error


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
