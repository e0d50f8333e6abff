"""What a task's page shows and its stream tells, read from the database in one query."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import ceil
from typing import TYPE_CHECKING, Any

from runner.web.cursor import Cursor
from runner.web.problems import Problem

if TYPE_CHECKING:
    from runner.web.database import Database
    from runner.web.principal import Principal

LINES = 40
"""Rows that have a line in one picture, and as many events, unless more are asked for."""

FAILURES = 200
"""Failed attempts that have a line in what is new; of more of them at once, the newest."""

FAILED = frozenset({"failed", "retried"})

SPARK_STEP_S = 60
"""Seconds of one number of a sparkline."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the activity log.

    `shown` is what goes out: id, at, kind (ok, nothing_found, skipped, failed, retried, info,
    control or done), text, run, key, label, error, who.
    """

    shown: Row
    runner: int = 0
    number: int = 0

    def known_to(self, cursor: Cursor) -> bool:
        """Whether who has read so far has it."""
        if self.shown["id"].startswith("e"):
            return cursor.knows_event(self.number)
        if self.shown["id"].startswith("b"):
            return cursor.knows_batch(self.shown["run"], self.number)
        return cursor.knows_row(self.runner, self.number)


@dataclass(frozen=True, slots=True)
class Look:
    """A task at one moment: its state, its processes, and the lines that were not known.

    `more` is how many rows were finished beside those that have a line.
    """

    state: Row
    runners: list[Row]
    log: list[Line]
    more: int
    cursor: Cursor

    @property
    def lines(self) -> list[Row]:
        """What is shown of the log, the oldest line first."""
        return [line.shown for line in self.log]


def look(
    database: Database,
    principal: Principal,
    task: str,
    cursor: Cursor | None = None,
    lines: int = LINES,
) -> Look:
    """A task now, with what happened since `cursor`, or lately: so many rows at most, and events.

    Failures since `cursor` come beside these rows.

    Raises `Problem`: not_installed, unavailable.
    """
    known = cursor or Cursor()
    found = database.call(
        principal,
        "live",
        read_only=True,
        task=task,
        known=json.dumps(known.rows),
        after=known.after,
        beyond=sorted(known.beyond),
        lines=lines,
        failures=lines if cursor is None else FAILURES,
    )
    if not found:
        raise Problem("not_installed", f"no task named {task!r} is installed")
    (row,) = found
    return _picture(row, cursor, lines)


def look_at_all(database: Database, principal: Principal) -> list[Row]:
    """The state of every task, by name. Raises `Problem`."""
    return [_progress(row) for row in database.call(principal, "live_tasks", read_only=True)]


def state_of(row: Row) -> Row:
    """The state of a task, from its row of the statement `live`: JSON that streams and pages show.

    Times in ISO 8601, durations in seconds; `spark` are rows finished in each of the last 60
    minutes, the oldest first, `spark_failed` those of them that failed.
    """
    finished, failed = row["minutes"]
    run = row["run"]
    return {
        **_progress(row),
        "spark": finished,
        "spark_failed": failed,
        "spark_step": SPARK_STEP_S,
        "run": run,
        "retried": run["retried"] if run else 0,
        "spend_usd": run["spend_usd"] if run else 0,
        "changed": f"{row['last_event'] or 0}-{'.'.join(map(str, row['live_runs']))}",
    }


def _progress(row: Row) -> Row:
    numbers = {
        name: _plain(row[name])
        for name in (
            "task", "summary", "state", "total", "total_exact", "done", "ok", "nothing_found",
            "skipped", "failed", "ready", "running", "remaining", "percent", "per_minute",
            "processes", "wait_reason", "live_runs",
        )
    }  # fmt: skip
    paused = row["paused_at"] and {
        "by": row["paused_by"],
        "reason": row["paused_reason"],
        "since": _plain(row["paused_at"]),
    }
    return {**numbers, "eta": row["eta_s"], "paused": paused}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, datetime) else value


def _picture(row: Row, cursor: Cursor | None, most: int) -> Look:
    known = cursor or Cursor()
    batch = _batch_of(row)
    rows = sorted((_row_line(one) for one in row["rows"]), key=_order)
    if cursor is None:
        lines = rows[-most:]
    else:
        lines = [line for line in rows if line.shown["kind"] not in FAILED][-most:]
        lines += [line for line in rows if line.shown["kind"] in FAILED]
    # what people did is told however many rows there are
    lines += [_event_line(one) for one in row["events"]]
    if batch is not None and not batch.known_to(known):
        lines.append(batch)
    numbers = {int(runner): int(number) for runner, number in row["numbers"].items()}
    shown = sorted(lines, key=_order)
    reached = known.advanced(
        row["settled"],
        frozenset(row["fresh"]),
        numbers,
        (batch.shown["run"], batch.number) if batch else (0, 0),
    )
    unseen = 0
    if cursor is not None:
        done = sum(max(numbers[r] - cursor.rows.get(r, 0), 0) for r in numbers)
        unseen = max(done - sum(line.runner > 0 for line in shown), 0)
    return Look(state_of(row), row["runners"], shown, unseen, reached)


def _order(line: Line) -> tuple[datetime, int, int, str]:
    return datetime.fromisoformat(line.shown["at"]), line.runner, line.number, line.shown["id"]


def _row_line(row: Row) -> Line:
    shown = {
        "id": f"r{row['runner']}.{row['number']}", "at": row["at"], "kind": row["outcome"],
        "text": row["words"], "run": row["run"], "key": row["key"], "label": row["label"],
        "error": row["error_class"], "who": None,
    }  # fmt: skip
    return Line(shown, row["runner"], row["number"])


def _event_line(event: Row) -> Line:
    shown = {
        "id": f"e{event['id']}.{event['part']}", "at": event["at"], "kind": event["kind"],
        "text": event["words"], "run": event["run"], "key": None, "label": None, "error": None,
        "who": event["who"],
    }  # fmt: skip
    return Line(shown, 0, event["id"])


def _batch_of(row: Row) -> Line | None:
    """Which batch of its newest run is being worked on, where it is known how many there are."""
    run = row["run"]
    if run is None or run["status"] != "running" or not run["processes"]:
        return None
    batches = ceil(run["found"] / run["batch_size"])
    number = run["processed"] // run["batch_size"] + 1
    if number > batches:
        return None
    about = "" if run["found_exact"] else "about "
    shown = {
        "id": f"b{run['run']}.{number}", "at": _plain(row["read_at"]), "kind": "info",
        "text": f"Processing batch {number} of {about}{batches}", "run": run["run"], "key": None,
        "label": None, "error": None, "who": None,
    }  # fmt: skip
    return Line(shown, 0, number)
