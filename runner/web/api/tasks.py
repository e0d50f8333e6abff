"""Tasks: what there is, how far it is, and steering it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field

from runner import registry
from runner.contract import Option
from runner.contract import Task as Code
from runner.errors import UsageError
from runner.options import default
from runner.web.api.common import (
    Answer,
    Asked,
    Db,
    Listed,
    Number,
    Operator,
    ShortText,
    TaskName,
    Text,
    Viewer,
    problems,
    router,
)
from runner.web.database import Row
from runner.web.starting import Outlook, StartRequest, look

api = router("tasks")

FIRST_KEYS = 5


class Task(Answer):
    """A task, and how far it is. Failed is not ok, and nothing_found is not failed."""

    task: Annotated[str, Field(description="Its name.", examples=["vehicle_images"])]
    summary: Annotated[str, Field(description="What it does.")]
    version: Annotated[int, Field(description="Version of its algorithm and parameters.")]
    state: Annotated[
        str, Field(description="running, paused or idle.", examples=["running", "paused", "idle"])
    ]
    wait_reason: Annotated[
        str | None,
        Field(
            description="Why nothing moves; null: it moves, or there is nothing to do.",
            examples=["paused by alice: nightly import"],
        ),
    ]
    total: Annotated[int, Field(description="Rows done and to be done, as far as is known.")]
    total_exact: Annotated[
        bool,
        Field(
            description="Whether total was counted, not estimated, and ready and remaining with it."
        ),
    ]
    done: Annotated[int, Field(description="Rows finished, whatever came of them.")]
    ok: int
    nothing_found: int
    skipped: int
    failed: int
    ready: Annotated[int, Field(description="Enqueued and waiting.")]
    running: Annotated[int, Field(description="Held by a process now.")]
    remaining: Annotated[int, Field(description="Rows still to be done.")]
    percent: Annotated[Number | None, Field(description="Share of total that is done.")]
    per_minute: Annotated[Number | None, Field(description="Rows a minute, over up to five.")]
    eta_s: Annotated[
        Number | None,
        Field(validation_alias="eta", description="Seconds that are left at this rate."),
    ]
    processes: Annotated[int, Field(description="Processes that work for it now.")]
    paused_by: Annotated[str | None, Field(description="Who paused it; null: it is not paused.")]
    paused_reason: Annotated[str | None, Field(description="Why, in their words.")]
    paused_at: datetime | None


class TaskOption(Answer):
    """An option that runs of the task take."""

    name: Annotated[str, Field(examples=["organization_id"])]
    help: str
    type: Literal["string", "integer", "number", "boolean"]
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    choices: list[str] | None = None


class TaskDetail(Task):
    """A task with what its runs can be told."""

    code: Annotated[
        bool,
        Field(description="Whether the server has the task's code; without it starts no runs."),
    ]
    options: Annotated[
        list[TaskOption],
        Field(description="Its own options, but for those that are set where workers run."),
    ]
    batch_size: Annotated[int, Field(description="Rows that a process claims at once.")]
    delay_ms: Annotated[int, Field(description="Milliseconds between two claims of a process.")]
    limit: Annotated[
        int | None, Field(description="Rows of a run where it says nothing; null: all.")
    ] = None
    limit_by: Annotated[
        str | None, Field(description="The limit is for each of these; null: for all together.")
    ] = None
    paid: Annotated[bool, Field(description="Whether runs may make paid calls.")] = False


class Pause(Asked):
    """Why a task is paused."""

    reason: Annotated[
        Text | None, Field(description="For everybody who asks.", examples=["nightly import"])
    ] = None


class Retry(Asked):
    """Which failed rows are to be tried again; without members, all of them."""

    error_class: Annotated[
        ShortText | None, Field(description="Those with this cause.", examples=["http_503"])
    ] = None
    keys: Annotated[list[ShortText] | None, Field(description="These rows.", max_length=1000)] = (
        None
    )


class Retried(Answer):
    """What came of it."""

    reopened: Annotated[int, Field(description="Rows that are ready again.")]
    live_runs: Annotated[
        list[int], Field(description="Runs that take them up; none: the next one does.")
    ]


class DryRun(Asked):
    """What would be asked of a run; see the start of a run."""

    options: Annotated[
        dict[str, Any],
        Field(description="The task's own options.", examples=[{"organization_id": "42"}]),
    ] = Field(default_factory=dict)
    limit: Annotated[int | None, Field(ge=0, le=2**62)] = None
    retry_failed: bool = False


class ExpectedCalls(Answer):
    """Paid calls of one operation."""

    provider: str
    operation: Annotated[str, Field(examples=["IndexFaces"])]
    region: Annotated[str, Field(description="Where they are billed; *: nobody said.")]
    calls: int
    calls_a_row: Number
    usd: Annotated[Number, Field(description="US dollars for all, at today's prices.")]


class Expected(Answer):
    """What a run is expected to need, by what an earlier one did."""

    run: Annotated[
        int,
        Field(description="The run that this goes by: the latest that finished 20 rows or more."),
    ]
    run_rows: Annotated[int, Field(description="Rows that it finished.")]
    processes: Annotated[
        Number | None, Field(description="Processes that worked for it at a time, on average.")
    ]
    takes_s: Annotated[
        Number, Field(validation_alias="takes", description="Seconds, at that run's pace.")
    ]
    usd_a_row: Annotated[Number, Field(description="US dollars a row.")]
    usd: Annotated[Number, Field(description="US dollars in all.")]
    calls: Annotated[list[ExpectedCalls], Field(description="What they are paid for.")]


class Estimate(Answer):
    """What a run would take, and what to expect of it. Nothing was changed."""

    task: str
    found: Annotated[int, Field(description="Rows, the limit considered.")]
    found_exact: Annotated[bool, Field(description="Whether found was counted, not estimated.")]
    expected: Annotated[
        Expected | None, Field(description="null: no earlier run of this kind tells.")
    ]
    left_usd: Annotated[
        Number | None,
        Field(description="US dollars that the tightest budget leaves; null: there is none."),
    ]
    left_per: Annotated[
        str | None,
        Field(
            description="Whose budget: the task's for a month or in total, or the run's max_cost.",
            examples=["month", "total", "run"],
        ),
    ]


class WouldDo(Estimate):
    """What a run would take. Nothing was changed: the database refuses writes while it is asked."""

    first_keys: Annotated[list[str], Field(description=f"The first {FIRST_KEYS} of them.")]


@api.get("/tasks", operation_id="list_tasks", summary="All tasks")
def list_tasks(who: Viewer, database: Db) -> Listed[Task]:
    """Every installed task, and how far it is. Cheap enough to be asked every second."""
    return Listed(
        items=[Task(**row) for row in database.call(who, "web_tasks", read_only=True, task=None)]
    )


@api.get(
    "/tasks/{task}",
    operation_id="get_task",
    summary="One task",
    responses=problems("not_installed"),
)
def get_task(task: TaskName, who: Viewer, database: Db) -> TaskDetail:
    """How far the task is, and which options its runs take."""
    return _detail(_row(database, who, task))


@api.post(
    "/tasks/{task}/pause",
    operation_id="pause_task",
    summary="Pause a task",
    responses=problems("not_installed"),
)
def pause(task: TaskName, who: Operator, database: Db, given: Pause | None = None) -> Task:
    """No process takes another row from its next claim on; what they hold is finished."""
    database.call(who, "pause", task=task, reason=given.reason if given else None)
    return Task(**_row(database, who, task))


@api.post(
    "/tasks/{task}/resume",
    operation_id="resume_task",
    summary="Take a pause back",
    responses=problems("not_installed"),
)
def resume(task: TaskName, who: Operator, database: Db) -> Task:
    """Waiting processes go on within seconds."""
    database.call(who, "resume", task=task)
    return Task(**_row(database, who, task))


@api.post(
    "/tasks/{task}/retry",
    operation_id="retry_failed",
    summary="Make failed rows ready again",
    responses=problems("not_installed"),
)
def retry(task: TaskName, who: Operator, database: Db, given: Retry | None = None) -> Retried:
    """With their attempts forgiven. A run takes them up: one that is live, or the next."""
    wanted = given or Retry()
    with database.transaction(who) as calls:
        reopened = calls.one(
            "retry", task=task, error_class=wanted.error_class, keys=wanted.keys or None
        )
        runs = calls.call("live_runs", task=task)
    return Retried(reopened=reopened["reopened"], live_runs=[row["run"] for row in runs])


@api.get(
    "/tasks/{task}/estimate",
    operation_id="estimate_run",
    summary="What a run would cost",
    responses=problems("not_installed", "no_code", "wrong_version"),
)
def estimate(
    task: TaskName,
    who: Viewer,
    database: Db,
    limit: Annotated[
        int | None, Query(ge=0, le=2**62, description="As for the start of a run.")
    ] = None,
    retry_failed: Annotated[bool, Query(description="With those that failed.")] = False,
) -> Estimate:
    """Rows that a run without options would take, and what they cost and how long they last by an
    earlier run. No row is looked into. With options it is a dry run that says it.
    """
    request = StartRequest(task, limit=limit, retry_failed=retry_failed)
    return Estimate(**_outlook(task, look(database, who, request, 0)))


@api.post(
    "/tasks/{task}/dry-run",
    operation_id="dry_run",
    summary="What a run would take",
    responses=problems("not_installed", "no_code", "wrong_version"),
)
def dry_run(task: TaskName, who: Viewer, database: Db, given: DryRun | None = None) -> WouldDo:
    """Counts the rows, names the first, and says what to expect, in a READ ONLY transaction."""
    wanted = given or DryRun()
    request = StartRequest(
        task, wanted.options, limit=wanted.limit, retry_failed=wanted.retry_failed
    )
    found = look(database, who, request, FIRST_KEYS)
    return WouldDo(**_outlook(task, found), first_keys=found.first_keys)


def _outlook(task: str, found: Outlook) -> dict[str, Any]:
    return {
        "task": task,
        "found": found.found,
        "found_exact": found.exact,
        "expected": None if found.expected is None else asdict(found.expected),
        "left_usd": found.left_usd,
        "left_per": found.left_per,
    }


def _row(database: Db, who: Viewer, task: str) -> Row:
    with database.transaction(who, read_only=True) as calls:
        calls.one("task", task=task)
        return calls.one("web_tasks", task=task)


def _detail(row: Row) -> TaskDetail:
    try:
        code = registry.find(row["task"])
    except UsageError:
        return TaskDetail(**row, code=False, options=[])
    return TaskDetail(
        **row,
        code=True,
        options=[_option(option) for option in code.options if not option.place],
        limit=code.pacing.limit,
        limit_by=code.pacing.limit_by,
        paid=_may_be_paid(code),
    )


def _may_be_paid(code: Code) -> bool:
    return code.expected is not None


_TYPES: dict[type, Literal["string", "integer", "number", "boolean"]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
}


def _option(option: Option) -> TaskOption:
    return TaskOption(
        name=option.name,
        help=option.help,
        type=_TYPES[option.kind],
        default=default(option),
        minimum=option.minimum,
        maximum=option.maximum,
        choices=list(option.choices) or None,
    )
