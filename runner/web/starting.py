"""Starting a run for somebody elsewhere, who can't be asked: for the API and the console's pages.

The rules are those of `backfill run`, and so are the words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal

from psycopg.types.json import Jsonb

from runner import registry
from runner.contract import Expected, Task
from runner.errors import UsageError
from runner.options import Completed, OptionsError, checked, complete, settings_of
from runner.web.database import Calls, Database
from runner.web.principal import Principal
from runner.web.problems import Problem

MOST_PROCESSES = 64
LONGEST_KEY = 200


@dataclass(frozen=True, slots=True)
class StartRequest:
    """What is asked for. `options` are the task's own, as JSON values; see `Task.options`.

    `limit`: most rows; None: what the task says, 0: all. `processes`: how many workers' slots it
    may have. `beside`: start it although a run of the task is live. `yes`: agrees to paid calls.
    """

    task: str
    options: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = None
    retry_failed: bool = False
    batch_size: int | None = None
    delay_ms: int | None = None
    processes: int = 1
    beside: bool = False
    yes: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """The run, and whether this request made it, and not an earlier one with the same key."""

    run: int
    created: bool


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a run is expected to need, by an earlier run, which finished `run_rows` with
    `processes` at a time. US dollars: `usd_a_row` and `usd` in all, for these `calls` (provider,
    operation, region, calls, calls_a_row, usd), at today's prices.
    """

    run: int
    run_rows: int
    processes: Decimal | None
    takes: timedelta
    usd_a_row: Decimal
    usd: Decimal
    calls: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a run would take: rows (counted, or the planner's estimate), and the first of them.

    `expected` is None where no earlier run tells; `left_usd` is what the tightest budget leaves,
    the task's (`left_per` month or total) or the run's own (`run`), None where there is none.
    """

    found: int
    exact: bool
    first_keys: list[str]
    expected: Expectation | None
    left_usd: Decimal | None
    left_per: str | None

    def enough_for(self) -> int | None:
        """For how many of the rows the budget has money; None: for all, as far as is known."""
        if self.expected is None or self.left_usd is None or self.left_usd >= self.expected.usd:
            return None
        return int(self.found * max(self.left_usd, Decimal(0)) / self.expected.usd)


def start(
    database: Database,
    principal: Principal,
    request: StartRequest,
    *,
    source: Literal["api", "page"],
    key: str | None = None,
) -> Started:
    """Start a run, which workers then serve. With a key, the same request is one run.

    Raises `Problem`: not_installed, no_code, wrong_version, invalid (its `errors` say which
    options), paused, paid, live_run (its `run` is the live one), key_reused, forbidden.
    """
    task, done = _prepared(database, principal, request)
    _refuse_unagreed(task, done, request)
    extra = {"processes": request.processes} | ({"beside": True} if request.beside else {})
    parameters = {
        "task": task.name,
        "options": Jsonb(done.settings | extra),
        "where": done.where,
        "limit": done.limit,
        "retry_failed": request.retry_failed,
        "batch_size": request.batch_size,
        "delay_ms": request.delay_ms,
        "source": source,
    }
    with database.transaction(principal) as calls:
        if key is None:
            _refuse_paused(calls, task.name)
            return Started(int(calls.one("start", **parameters)["run"]), created=True)
        row = calls.one("web_start_once", key=_short(key), **parameters)
        # a request that was answered before has its run, whatever became of the task since
        if row["created"]:
            _refuse_paused(calls, task.name)
        return Started(int(row["run"]), created=bool(row["created"]))


def look(database: Database, principal: Principal, request: StartRequest, rows: int) -> Outlook:
    """What that run would take and need, asked where the database refuses any write.

    Earlier runs that paid others than this one would tell nothing of it. Raises `Problem`.
    """
    task, done = _prepared(database, principal, request)
    chosen = {
        "task": task.name,
        "where": done.where,
        "retry_failed": request.retry_failed,
        "options": Jsonb(done.settings),
    }
    provider = next((one.provider for one in _paid_calls(task, done)), "")
    with database.transaction(principal, read_only=True) as calls:
        told = calls.one("estimate_run", **chosen, limit=done.limit, provider=provider)
        first = calls.call("preview", **chosen, limit=min(told["pending"], rows)) if rows else []
    budgets = [(told["left_usd"], told["left_per"]), (done.settings.get("max_cost"), "run")]
    left, per = min(
        ((Decimal(str(usd)), per) for usd, per in budgets if usd is not None), default=(None, None)
    )
    keys = [row["key"] for row in first]
    return Outlook(told["pending"], told["exact"], keys, _expectation(told), left, per)


def _expectation(told: Mapping[str, Any]) -> Expectation | None:
    if told["run"] is None:
        return None
    return Expectation(
        told["run"], told["run_rows"], told["processes"], told["takes"], told["usd_a_row"],
        told["usd"], told["calls"],
    )  # fmt: skip


def schedule_options(database: Database, principal: Principal, request: StartRequest) -> Jsonb:
    """What a schedule keeps of what its runs are told. Raises `Problem`, as `start` does."""
    task, done = _prepared(database, principal, request)
    _refuse_unagreed(task, done, request)
    # the condition that options stand for is made by whoever fires it
    common = {
        "limit": done.limit,
        "retry_failed": request.retry_failed or None,
        "batch_size": request.batch_size,
        "delay_ms": request.delay_ms,
        "processes": request.processes if request.processes > 1 else None,
    }
    return Jsonb(
        done.settings | {name: value for name, value in common.items() if value is not None}
    )


def _prepared(
    database: Database, principal: Principal, request: StartRequest
) -> tuple[Task, Completed]:
    """The task, and what would be stored of the run."""
    (installed,) = database.call(principal, "task", read_only=True, task=request.task)
    task = _with_code(installed)
    errors: list[tuple[str, str]] = []
    settings: dict[str, Any] = {}
    try:
        settings = checked(task, request.options)
    except OptionsError as error:
        errors += [(f"options.{name}", message) for name, message in error.errors]
    errors += _out_of_range(task, request)
    if errors:
        raise Problem(
            "invalid",
            "; ".join(f"{name} {message}" for name, message in errors),
            errors=[{"place": name, "message": message} for name, message in errors],
        )
    try:
        return task, complete(task, settings, limit=request.limit, where=None)
    except UsageError as error:
        raise Problem(
            "invalid", str(error), errors=[{"place": "", "message": str(error)}]
        ) from None


def _with_code(installed: Mapping[str, Any]) -> Task:
    """The code of an installed task, of the same version."""
    name, version = installed["name"], installed["version"]
    try:
        task = registry.find(name)
    except UsageError as error:
        raise Problem("no_code", f"the server can't check options of {name}: {error}") from None
    if version != task.version:
        todo = "run: backfill migrate" if version < task.version else "upgrade pgbackfill here"
        raise Problem(
            "wrong_version",
            f"{name} is at version {version} in the database and at version {task.version} of "
            f"the program that serves; {todo}",
        )
    return task


def _out_of_range(task: Task, request: StartRequest) -> list[tuple[str, str]]:
    pace = task.pacing
    ranges = (
        ("batch_size", request.batch_size, 1, pace.batch_size_max),
        ("delay_ms", request.delay_ms, 0, pace.delay_ms_max),
        ("limit", request.limit, 0, 2**63 - 1),
        ("processes", request.processes, 1, MOST_PROCESSES),
    )
    return [
        (name, f"should be between {low} and {high}")
        for name, value, low, high in ranges
        if value is not None and not low <= value <= high
    ]


def _refuse_unagreed(task: Task, done: Completed, request: StartRequest) -> None:
    """Nobody can be asked, so who wants paid calls has to say so."""
    if not request.yes and _paid_calls(task, done):
        raise Problem(
            "paid",
            f"a run of {task.name} makes paid calls; send yes: true to agree to what they cost",
        )


def _paid_calls(task: Task, done: Completed) -> Sequence[Expected]:
    """Which calls a run makes is known by its settings; how many, only by its rows."""
    return () if task.expected is None else task.expected(settings_of(task, done.settings), ())


def _refuse_paused(calls: Calls, name: str) -> None:
    row = calls.one("task", task=name)
    if row["paused_at"] is not None:
        why = f": {row['paused_reason']}" if row["paused_reason"] else ""
        raise Problem("paused", f"{name} is paused by {row['paused_by']}{why}")


def _short(key: str) -> str:
    """The key as it is kept, of a length that an index can hold."""
    return key if len(key) <= LONGEST_KEY else "sha256:" + hashlib.sha256(key.encode()).hexdigest()
