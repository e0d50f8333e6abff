"""Watches: whether new and changed rows are noticed as they come."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from runner.web.api.common import (
    Answer,
    Db,
    Listed,
    OfTask,
    Operator,
    TaskName,
    Viewer,
    problems,
    refused,
    router,
)

api = router("watches")

NOTHING_TO_WATCH = "BF010"


class Watch(Answer):
    """A table that a task reads, and whether it is watched."""

    task: str
    relation: Annotated[str, Field(description="The application's table.")]
    columns: Annotated[list[str], Field(description="Its columns that are inputs.")]
    since: Annotated[datetime | None, Field(description="Null: it is not watched.")]
    set_by: str | None
    waiting: Annotated[int, Field(description="New rows nobody has looked at, up to 1,000.")]
    oldest: datetime | None
    reason: Annotated[
        str | None, Field(description="Why new rows are not noticed or done; null: all is well.")
    ]


@api.get("/watches", operation_id="list_watches", summary="All watches")
def list_watches(who: Viewer, database: Db, task: OfTask = None) -> Listed[Watch]:
    """The tables that tasks read, and whether they are watched for new and changed rows."""
    return _watches(database, who, task)


@api.put(
    "/watches/{task}",
    operation_id="watch",
    summary="Watch a task's tables",
    responses=problems("not_installed", "conflict"),
)
def watch(task: TaskName, who: Operator, database: Db) -> Listed[Watch]:
    """From now on new and changed rows are done first; see the page on live rows."""
    with refused(NOTHING_TO_WATCH, "conflict"):
        database.call(who, "watch", task=task)
    return _watches(database, who, task)


@api.delete(
    "/watches/{task}",
    operation_id="unwatch",
    summary="Watch a task's tables no longer",
    status_code=204,
    responses=problems("not_installed", "conflict"),
)
def unwatch(task: TaskName, who: Operator, database: Db) -> None:
    """New rows are found by the next run, as all others."""
    database.call(who, "unwatch", task=task)


def _watches(database: Db, who: Viewer, task: str | None) -> Listed[Watch]:
    rows = database.call(who, "web_watches", read_only=True, task=task)
    return Listed(items=[Watch(**row) for row in rows])
