"""What holds runs back: guards, shared rates, budgets; and what was spent."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from fastapi import Path, Query
from pydantic import Field

from runner.web.api.common import (
    Answer,
    Asked,
    Db,
    Limit,
    Listed,
    Number,
    OfTask,
    Operator,
    ShortText,
    TaskName,
    Viewer,
    Word,
    problems,
    refused,
    router,
)
from runner.web.problems import Problem

guards = router("guards")
rates = router("rates")
money = router("money")

NO_SUCH_GUARD = "BF010"
NO_SUCH_RATE = "BF006"

GuardName = Annotated[
    str, Path(pattern=r"^[^\x00-\x1f\x7f/]{1,63}$", description="Its name.", examples=["lag"])
]
RateName = Annotated[
    str,
    Path(
        pattern=r"^[^\x00-\x1f\x7f/]{1,255}$",
        description="What is limited; kind:* is what new limits of a kind begin with.",
        examples=["host:example.com"],
    ),
]
Amount = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]
Kind = Literal[
    "replication_lag", "replication_bytes", "oldest_transaction", "active_sessions", "vacuum",
    "wal_rate",
]  # fmt: skip


class Guard(Answer):
    """Measures what the server bears; above its thresholds, processes slow down or wait."""

    name: str
    kind: Annotated[str, Field(description="What is measured.", examples=["replication_lag"])]
    task: Annotated[str | None, Field(description="The task that it holds for; null: all.")]
    subject: Annotated[str | None, Field(description="The replica, or the table.")]
    state: Annotated[str, Field(description="clear, slow, hold, or unknown: not measured yet.")]
    reason: Annotated[str | None, Field(description="Why it slows or holds.")]
    value: Annotated[Number | None, Field(description="Measured last: seconds, bytes, a number.")]
    amount: Annotated[str | None, Field(description="The same with its unit.", examples=["4 s"])]
    error: Annotated[str | None, Field(description="Why it could not be measured.")]
    slow_above: Number | None
    hold_above: Number | None
    clear_below: Number | None
    slow_by: Number
    every_s: Annotated[Number, Field(validation_alias="every")]
    timeout_s: Annotated[Number, Field(validation_alias="timeout")]
    on_failure: Annotated[str, Field(description="hold or pass, while it can't be measured.")]
    since: datetime | None
    evaluated_at: datetime | None


class SetGuard(Asked):
    """A guard's settings; what is left out, or null, stays as it is."""

    kind: Annotated[
        Kind | None, Field(description="What to measure; a new guard needs it, and it stays.")
    ] = None
    task: Annotated[Word | None, Field(description="Only for this task.")] = None
    subject: Annotated[
        ShortText | None, Field(description="The replica's application_name, or the table.")
    ] = None
    hold_above: Annotated[Amount | None, Field(description="Above this, rows wait.")] = None
    slow_above: Annotated[Amount | None, Field(description="Above this, slow down.")] = None
    clear_below: Annotated[Amount | None, Field(description="Go on once it is not above this.")] = (
        None
    )
    slow_by: Annotated[float | None, Field(ge=1, le=1000, description="Times slower.")] = None
    every_s: Annotated[float | None, Field(ge=0.1, le=3600)] = None
    timeout_s: Annotated[float | None, Field(ge=0.01, le=60)] = None
    on_failure: Literal["hold", "pass"] | None = None


class Rate(Answer):
    """A rate that all processes share, and what is used of it."""

    name: Annotated[str, Field(examples=["host:example.com"])]
    per_second: Annotated[Number, Field(description="Calls a second now.")]
    ceiling: Annotated[Number, Field(description="Calls a second that were set.")]
    floor: Number | None
    burst: int
    concurrency: Annotated[int | None, Field(description="Calls at a time; null: any number.")]
    used_per_second: Number
    busy: int
    calls_waiting: int
    processes_waiting: int
    throttled: Annotated[int, Field(description="Times that the provider said to slow down.")]
    blocked_until: datetime | None
    wait_reason: str | None
    set_by: str | None


class SetRate(Asked):
    """A rate's settings; what is left out, or null, stays as it is."""

    per_second: Annotated[float | None, Field(gt=0, le=1e6, allow_inf_nan=False)] = None
    burst: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    concurrency: Annotated[int | None, Field(ge=0, le=1_000_000, description="0: any.")] = None
    floor: Annotated[float | None, Field(ge=0, le=1e6, description="0: none.")] = None


class Budget(Answer):
    """What may be spent, and what is left of it."""

    task: str
    per: Annotated[str, Field(description="month, total or run.")]
    run: int | None
    usd: Annotated[Number, Field(description="US dollars that may be spent.")]
    used: Number
    held: Annotated[Number, Field(description="For calls that are being made.")]
    unknown: Annotated[Number, Field(description="For calls that may have been charged.")]
    left_usd: Number
    set_by: str | None


Per = Literal["month", "total"]


class SetBudget(Asked):
    """What a task may spend, all its runs together."""

    usd: Annotated[
        float, Field(ge=0, le=99_999_999, allow_inf_nan=False, description="US dollars.")
    ]
    per: Annotated[Per, Field(description="Each calendar month (UTC), or in total.")] = "month"


class Spent(Answer):
    """What calls cost."""

    task: str
    day: Annotated[date | None, Field(description="The day, UTC; where asked by day.")] = None
    payer: Annotated[str | None, Field(description="For whom; where asked by payer.")] = None
    run: Annotated[int | None, Field(description="The run; where asked by run.")] = None
    provider: str | None = None
    operation: str | None = None
    region: str | None = None
    calls: int | None
    usd: Number
    open_calls: Annotated[int, Field(description="Calls beside these that may have been charged.")]
    open_usd: Number


class Spend(Listed[Spent]):
    """What was spent."""

    total_usd: Annotated[Number, Field(description="Of all rows, those left out by limit too.")]
    of: Annotated[int, Field(description="How many rows there are in all.")]


# --- guards ---------------------------------------------------------------------------------------


@guards.get("/guards", operation_id="list_guards", summary="All guards")
def list_guards(who: Viewer, database: Db, task: OfTask = None) -> Listed[Guard]:
    """Every guard, or those that hold for a task: what each measured last, and what it does."""
    rows = database.call(who, "guards", read_only=True, guard=None, task=task)
    return Listed(items=[Guard(**row) for row in rows])


@guards.get(
    "/guards/{name}",
    operation_id="get_guard",
    summary="One guard",
    responses=problems("not_found"),
)
def get_guard(name: GuardName, who: Viewer, database: Db) -> Guard:
    """A guard by its name."""
    rows = database.call(who, "guards", read_only=True, guard=name, task=None)
    if not rows:
        raise Problem("not_found", f"there is no guard named {name!r}")
    return Guard(**rows[0])


@guards.put(
    "/guards/{name}",
    operation_id="set_guard",
    summary="Set a guard",
    responses=problems("not_installed"),
)
def set_guard(name: GuardName, given: SetGuard, who: Operator, database: Db) -> Guard:
    """Makes it or changes it; holds from the next claim of every process on.

    Guards that measure by a query of one's own are set in SQL or with `backfill guard`.
    """
    values = given.model_dump()
    values |= {"every": values.pop("every_s"), "timeout": values.pop("timeout_s")}
    with refused(NO_SUCH_GUARD, "invalid"), database.transaction(who) as calls:
        calls.call("set_guard", guard=name, query=None, run_as=None, **values)
        return Guard(**calls.one("guards", guard=name, task=None))


@guards.delete(
    "/guards/{name}",
    operation_id="drop_guard",
    summary="Take a guard away",
    status_code=204,
    responses=problems("not_found"),
)
def drop_guard(name: GuardName, who: Operator, database: Db) -> None:
    """What it held goes on."""
    database.call(who, "drop_guard", guard=name)


# --- rates ----------------------------------------------------------------------------------------


@rates.get("/rates", operation_id="list_rates", summary="Shared rates")
def list_rates(who: Viewer, database: Db) -> Listed[Rate]:
    """Rates that all processes share, what is used of them now, and why calls wait."""
    return Listed(
        items=[Rate(**row) for row in database.call(who, "web_rates", read_only=True, name=None)]
    )


@rates.put("/rates/{name}", operation_id="set_rate", summary="Set a shared rate")
def set_rate(name: RateName, given: SetRate, who: Operator, database: Db) -> Rate:
    """Holds in every process within a second."""
    with refused(NO_SUCH_RATE, "invalid"), database.transaction(who) as calls:
        calls.call("web_set_rate", name=name, **given.model_dump())
        return Rate(**calls.one("web_rates", name=name))


@rates.post(
    "/rates/{name}/lift-pause",
    operation_id="lift_pause",
    summary="Forget what a provider said about when to come back",
    responses=problems("not_found"),
)
def lift_pause(name: RateName, who: Operator, database: Db) -> Rate:
    """Calls go on at once; the provider may refuse them again."""
    with database.transaction(who) as calls:
        calls.call("web_lift_pause", name=name)
        rows = calls.call("web_rates", name=name)
    if not rows:
        raise Problem("not_found", f"there is no rate named {name!r}")
    return Rate(**rows[0])


# --- money ----------------------------------------------------------------------------------------


@money.get("/budgets", operation_id="list_budgets", summary="Budgets")
def list_budgets(who: Viewer, database: Db, task: OfTask = None) -> Listed[Budget]:
    """What tasks and live runs may spend, and what is left."""
    return Listed(
        items=[Budget(**row) for row in database.call(who, "budgets", read_only=True, task=task)]
    )


@money.put(
    "/budgets/{task}",
    operation_id="set_budget",
    summary="Set what a task may spend",
    responses=problems("not_installed"),
)
def set_budget(task: TaskName, given: SetBudget, who: Operator, database: Db) -> Listed[Budget]:
    """Holds from the next paid call on, in every process. Answers with all budgets of the task."""
    with database.transaction(who) as calls:
        calls.call("set_budget", task=task, usd=given.usd, per=given.per)
        return Listed(items=[Budget(**row) for row in calls.call("budgets", task=task)])


@money.delete(
    "/budgets/{task}",
    operation_id="drop_budget",
    summary="Take a task's budget away",
    status_code=204,
    responses=problems("not_installed"),
)
def drop_budget(
    task: TaskName,
    who: Operator,
    database: Db,
    per: Annotated[Per, Query(description="Which of its budgets.")] = "month",
) -> None:
    """It may spend without a limit then, if it has no other."""
    database.call(who, "set_budget", task=task, usd=None, per=per)


@money.get("/spend", operation_id="list_spend", summary="What was spent")
def list_spend(
    who: Viewer,
    database: Db,
    task: OfTask = None,
    by: Annotated[Literal["day", "payer", "run"], Query(description="What to add up by.")] = "day",
    limit: Limit = 50,
) -> Spend:
    """By day and call, the last first; by payer, the dearest first; or by run, the last first."""
    statement = {"day": "spend_by_day", "payer": "spend_by_user", "run": "spend_by_run"}[by]
    rows = database.call(who, statement, read_only=True, task=task, limit=limit)
    return Spend(
        items=[Spent(**row) for row in rows],
        total_usd=rows[0]["total_usd"] if rows else 0.0,
        of=rows[0]["of"] if rows else 0,
    )
