"""Failed rows, their causes, and the processes at work."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Annotated, Any

from fastapi import Query, Request
from pydantic import Field

from runner.web.api.common import (
    Answer,
    Db,
    Limit,
    Listed,
    Number,
    OfTask,
    Page,
    Viewer,
    next_page,
    router,
)
from runner.web.problems import Problem

api = router("failures")
processes = router("processes")


class Failure(Answer):
    """A row that failed for good."""

    task: str
    key: Annotated[str, Field(description="The application row's key.")]
    error_class: Annotated[str, Field(description="Its cause, to group by.", examples=["http_404"])]
    error_message: Annotated[str, Field(description="What happened, without query strings.")]
    attempts: int
    failed_at: datetime
    run: int | None


class FailureCause(Answer):
    """How many rows failed for one cause."""

    task: str
    error_class: Annotated[str, Field(examples=["http_404"])]
    rows: int
    example_key: str
    example_message: str
    last_failed_at: datetime


class Runner(Answer):
    """A process at work."""

    task: str
    run: int
    runner: Annotated[int, Field(description="The number of its stay at the run.")]
    host: str
    pid: int
    up_s: Annotated[Number, Field(validation_alias="up_for")]
    processed: int
    failed: int
    retried: int
    holds: Annotated[int, Field(description="Rows that it has in hand.")]
    heartbeat_s: Annotated[
        Number,
        Field(validation_alias="last_heartbeat", description="Age of its last sign of life."),
    ]
    direct: Annotated[
        bool, Field(description="Whether its death is noticed at once, by its connection.")
    ]
    note: Annotated[str | None, Field(description="What it waits for; null: it works.")]


class Worker(Answer):
    """A `backfill worker`, which serves runs that were started from anywhere."""

    worker: int
    host: str
    pid: int
    status: Annotated[str, Field(description="live, draining, left or lost.")]
    slots: Annotated[int, Field(description="Processes that it runs at most.")]
    busy: Annotated[int, Field(description="Processes that it runs now.")]
    started_at: datetime
    heartbeat_s: Annotated[
        Number,
        Field(validation_alias="last_heartbeat", description="Age of its last sign of life."),
    ]
    serves: Annotated[list[str], Field(description="Tasks that it has the code of.")]


@api.get("/failures", operation_id="list_failures", summary="Failed rows, the last first")
def list_failures(
    request: Request,
    who: Viewer,
    database: Db,
    task: OfTask = None,
    error_class: Annotated[
        str | None, Query(max_length=200, pattern=r"^[^\x00]*$", description="Only of this cause.")
    ] = None,
    after: Annotated[
        str | None,
        Query(max_length=2000, description="Position that a page's `next` has; opaque."),
    ] = None,
    limit: Limit = 50,
) -> Page[Failure]:
    """A page of rows that failed for good; retry them by cause or by key."""
    at, of_task, key = (None, None, None) if after is None else _position(after)
    rows = database.call(
        who, "web_failures", read_only=True, task=task, error_class=error_class, before_at=at,
        before_task=of_task, before_key=key, limit=limit + 1,
    )  # fmt: skip
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(
        items=[Failure(**row) for row in rows],
        next=next_page(request, after=_after(rows[-1])) if more else None,
    )


@api.get("/failure-causes", operation_id="list_failure_causes", summary="Failed rows by cause")
def list_failure_causes(who: Viewer, database: Db, task: OfTask = None) -> Listed[FailureCause]:
    """How many rows failed for which cause, with an example of each."""
    rows = database.call(who, "failure_causes", read_only=True, task=task)
    return Listed(items=[FailureCause(**row) for row in rows])


@processes.get("/runners", operation_id="list_runners", summary="Processes at work")
def list_runners(who: Viewer, database: Db, task: OfTask = None) -> Listed[Runner]:
    """Every process that works for a run now, on whatever host, and what it waits for."""
    rows = database.call(who, "processes", read_only=True, task=task)
    return Listed(items=[Runner(**row) for row in rows])


@processes.get("/workers", operation_id="list_workers", summary="Workers")
def list_workers(who: Viewer, database: Db) -> Listed[Worker]:
    """Who serves the runs that are started here; without any, runs wait."""
    rows = database.call(who, "web_workers", read_only=True)
    return Listed(items=[Worker(**row) for row in rows])


def _after(row: dict[str, Any]) -> str:
    position = json.dumps([row["failed_at"].isoformat(), row["task"], row["key"]])
    return base64.urlsafe_b64encode(position.encode()).decode()


def _position(after: str) -> tuple[datetime, str, str]:
    try:
        at, task, key = json.loads(base64.urlsafe_b64decode(after.encode("ascii")))
        if not (isinstance(task, str) and isinstance(key, str)):
            raise TypeError
        when = datetime.fromisoformat(at)
    except (ValueError, TypeError) as error:
        message = "is no position that this server gave"
        raise Problem(
            "invalid", f"after {message}", errors=[{"place": "query.after", "message": message}]
        ) from error
    return when, task, key
