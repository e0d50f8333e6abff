"""Runs: start one, look at it, cancel it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Header, Query, Request, Response
from pydantic import Field

from runner.web.api.common import (
    PREFIX,
    Answer,
    Asked,
    Before,
    Db,
    Limit,
    Number,
    OfTask,
    Operator,
    Page,
    RunId,
    Viewer,
    Word,
    next_page,
    problems,
    router,
)
from runner.web.problems import Problem
from runner.web.starting import MOST_PROCESSES, StartRequest, start

api = router("runs")

ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "The run is taken; workers serve it.",
        "headers": {
            "Location": {
                "description": "Address of the run.",
                "required": True,
                "schema": {"type": "string"},
            }
        },
    }
}
NOT_STARTED = (
    "not_installed", "paused", "live_run", "paid", "key_reused", "no_code", "wrong_version",
)  # fmt: skip


class Run(Answer):
    """A run with its numbers, which are the sums of its processes' counters."""

    run: Annotated[int, Field(description="Its number.", examples=[17])]
    href: Annotated[str, Field(description="Its address.", examples=["/api/v1/runs/17"])]
    task: str
    status: Annotated[str, Field(description="running, cancelling or ended.", examples=["running"])]
    exit_reason: Annotated[
        str | None,
        Field(description="Why it ended: done, limit, cancelled, lost ...; null: it has not."),
    ]
    source: Annotated[str, Field(description="psql, cli, api, page or schedule.")]
    requested_by: Annotated[str, Field(description="Who started it: a token or a login.")]
    started_at: datetime
    ended_at: datetime | None
    elapsed_s: Annotated[Number, Field(validation_alias="elapsed")]
    found: Annotated[int, Field(description="Rows that it set out to do, its limit considered.")]
    found_exact: Annotated[bool, Field(description="Whether found was counted, not estimated.")]
    processed: Annotated[int, Field(description="Rows finished, whatever came of them.")]
    ok: int
    nothing_found: int
    skipped: int
    failed: int
    retried: Annotated[int, Field(description="Failed attempts that were tried again.")]
    processes: Annotated[int, Field(description="Processes that work for it now.")]
    processes_lost: Annotated[int, Field(description="Processes of it that died.")]
    spend_usd: Annotated[Number, Field(description="What its paid calls cost.")]
    limit: Annotated[int | None, Field(validation_alias="max_jobs", description="Most rows.")]
    options: Annotated[
        dict[str, Any], Field(description="What it was told; the rest is the task's default.")
    ]


class Figure(Answer):
    """An amount that the run's rows add up to, such as bytes."""

    name: Annotated[str, Field(examples=["bytes"])]
    label: Annotated[str, Field(description="Of what; empty: of all.", examples=["host:a.test"])]
    amount: Number


class Cost(Answer):
    """What one kind of paid call cost."""

    provider: str | None
    operation: str | None
    region: str
    calls: int | None
    usd: Number
    open_calls: Annotated[int, Field(description="Calls beside these that may have been charged.")]
    open_usd: Number


class Cause(Answer):
    """How many of its rows failed for one cause."""

    error_class: str
    rows: int
    example_message: str | None = None


class Told(Answer):
    """What the task itself says of the run."""

    name: str
    amount: Number | None
    next_step: str | None


class RunDetail(Run):
    """A run with its summary."""

    figures: list[Figure]
    costs: list[Cost]
    failures: Annotated[list[Cause], Field(description="Its failed rows by cause.")]
    summary: Annotated[list[Told], Field(description="What the task itself says of the run.")]


class Start(Asked):
    """What is to be run."""

    task: Annotated[Word, Field(examples=["vehicle_images"])]
    options: Annotated[
        dict[str, Any],
        Field(
            description="The task's own options, see GET /tasks/{task}; null is the default.",
            examples=[{"organization_id": "42", "max_images": 10}],
        ),
    ] = Field(default_factory=dict)
    limit: Annotated[
        int | None,
        Field(
            ge=0,
            le=2**62,
            description="Most rows, or most of each group; null: what the task says; 0: all.",
        ),
    ] = None
    retry_failed: Annotated[bool, Field(description="Take failed rows up again, too.")] = False
    batch_size: Annotated[
        int | None, Field(ge=1, le=10_000, description="Rows that a process claims at once.")
    ] = None
    delay_ms: Annotated[
        int | None, Field(ge=0, le=3_600_000, description="Milliseconds between two claims.")
    ] = None
    processes: Annotated[
        int, Field(ge=1, le=MOST_PROCESSES, description="How many processes may work for it.")
    ] = 1
    beside: Annotated[bool, Field(description="Start it although a run of the task is live.")] = (
        False
    )
    yes: Annotated[bool, Field(description="Agrees to paid calls, where the task makes any.")] = (
        False
    )


Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="For 24 hours, the same request with the same key is the same run.",
        examples=["8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ),
]


@api.post(
    "/runs",
    operation_id="start_run",
    summary="Start a run",
    status_code=202,
    responses={**problems(*NOT_STARTED), **ACCEPTED},
)
def start_run(
    given: Start, who: Operator, database: Db, response: Response, key: Key = None
) -> Run:
    """Takes the run and answers at once; workers (`backfill worker`) serve it.

    At most one run of a task is live unless asked for one `beside`; 409 has the live one's number
    and address. A paused task starts none.
    """
    request = StartRequest(**given.model_dump())
    return accepted(request, who, database, response, key)


@api.get("/runs", operation_id="list_runs", summary="Runs, the newest first")
def list_runs(
    request: Request,
    who: Viewer,
    database: Db,
    task: OfTask = None,
    status: Annotated[
        Literal["live", "ended"] | None, Query(description="Only those that are live, or ended.")
    ] = None,
    before: Before = None,
    limit: Limit = 50,
) -> Page[Run]:
    """A page of runs. Follow `next` for older ones; runs that start meanwhile don't shift pages."""
    rows = database.call(
        who, "web_runs", read_only=True, task=task, run=None, status=status, before=before,
        limit=limit + 1,
    )  # fmt: skip
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(
        items=[Run(**row, href=address(row["run"])) for row in rows],
        next=next_page(request, before=rows[-1]["run"]) if more else None,
    )


@api.get("/runs/{run}", operation_id="get_run", summary="One run", responses=problems("not_found"))
def get_run(run: RunId, who: Viewer, database: Db) -> RunDetail:
    """A run with its summary: figures, costs, causes of failures."""
    with database.transaction(who, read_only=True) as calls:
        rows = calls.call("web_runs", task=None, run=run, status=None, before=None, limit=1)
        if not rows:
            raise Problem("not_found", f"there is no run {run}")
        return RunDetail(
            **rows[0],
            href=address(run),
            figures=[Figure(**row) for row in calls.call("run_figures", run=run)],
            costs=[Cost(**row) for row in calls.call("run_costs", run=run)],
            failures=[Cause(**row) for row in calls.call("web_run_causes", run=run)],
            summary=[Told(**row) for row in calls.call("run_summary", run=run)],
        )


@api.post(
    "/runs/{run}/cancel",
    operation_id="cancel_run",
    summary="Cancel a run",
    responses=problems("not_found"),
)
def cancel(run: RunId, who: Operator, database: Db) -> Run:
    """Its processes stop at their next claim and finish what they hold; what was done stays done.

    A run that has ended stays as it is.
    """
    with database.transaction(who) as calls:
        calls.one("cancel", run=run)
        return _run(calls.one("web_runs", task=None, run=run, status=None, before=None, limit=1))


def accepted(
    request: StartRequest, who: Operator, database: Db, response: Response, key: str | None
) -> Run:
    """Start the run and say where it is."""
    try:
        started = start(database, who, request, source="api", key=key)
    except Problem as problem:
        if "run" in problem.more:
            problem.more["href"] = address(problem.more["run"])
        raise
    response.headers["Location"] = address(started.run)
    (row,) = database.call(
        who, "web_runs", read_only=True, task=None, run=started.run, status=None, before=None,
        limit=1,
    )  # fmt: skip
    return _run(row)


def address(run: int) -> str:
    """Where a run is."""
    return f"{PREFIX}/runs/{run}"


def _run(row: dict[str, Any]) -> Run:
    return Run(**row, href=address(row["run"]))
