"""The audit, and what a task's last rows came to."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query, Request
from pydantic import Field

from runner.web.api.common import (
    GREATEST_ID,
    Answer,
    Before,
    Db,
    Limit,
    Listed,
    OfTask,
    Page,
    TaskName,
    Viewer,
    next_page,
    problems,
    router,
)

api = router("events")


class Event(Answer):
    """Who did what, when, and through which program."""

    id: int
    at: datetime
    who: Annotated[str, Field(description="The database user.")]
    token: Annotated[str | None, Field(description="The token that it acted for; null: none.")]
    via: Annotated[str, Field(description="The program.", examples=["backfill serve"])]
    action: Annotated[str, Field(examples=["start"])]
    task: str | None
    run: int | None
    detail: dict[str, Any]


class Line(Answer):
    """What came of a row, or what somebody did, in words."""

    at: datetime
    kind: Annotated[str, Field(description="row, retried, control, info or done.")]
    run: int | None
    key: Annotated[str | None, Field(description="The application row's key.")]
    outcome: Annotated[
        str | None,
        Field(description="Of a row: ok, nothing_found, skipped, failed, or retried."),
    ]
    words: Annotated[str, Field(examples=["Processed F-101 - OK"])]
    error: Annotated[str | None, Field(description="The cause, of a row that failed.")]


@api.get("/events", operation_id="list_events", summary="The audit, the newest first")
def list_events(
    request: Request,
    who: Viewer,
    database: Db,
    task: OfTask = None,
    action: Annotated[
        str | None, Query(pattern=r"^[a-z_]{1,60}$", description="Only of this kind.")
    ] = None,
    run: Annotated[int | None, Query(ge=1, le=GREATEST_ID, description="Only of this run.")] = None,
    before: Before = None,
    limit: Limit = 50,
) -> Page[Event]:
    """A page of the audit, which is append-only: nobody can take anything out of it."""
    rows = database.call(
        who, "web_events", read_only=True, task=task, action=action, run=run, before=before,
        limit=limit + 1,
    )  # fmt: skip
    more = len(rows) > limit
    rows = rows[:limit]
    return Page(
        items=[Event(**row) for row in rows],
        next=next_page(request, before=rows[-1]["id"]) if more else None,
    )


@api.get(
    "/tasks/{task}/activity",
    operation_id="list_activity",
    summary="What a task's last rows came to",
    responses=problems("not_installed"),
)
def list_activity(
    task: TaskName,
    who: Viewer,
    database: Db,
    limit: Annotated[int, Query(ge=1, le=200, description="At most so many.")] = 50,
) -> Listed[Line]:
    """The last rows and control events, the newest last, as the console's activity log has them."""
    with database.transaction(who, read_only=True) as calls:
        calls.one("task", task=task)
        rows = calls.call("activity", task=task, limit=limit)
    return Listed(items=[Line(**row) for row in rows])
