"""Schedules and windows: when tasks run by themselves, and when they may."""

from __future__ import annotations

from datetime import datetime, time
from typing import Annotated, Any

from fastapi import Path
from pydantic import BeforeValidator, Field

from runner.web.api.common import (
    Answer,
    Asked,
    Db,
    Listed,
    OfTask,
    Operator,
    TaskName,
    Viewer,
    Word,
    problems,
    refused,
    router,
)
from runner.web.problems import Problem
from runner.web.starting import MOST_PROCESSES, StartRequest, schedule_options

api = router("schedules")

REFUSED_SCHEDULE = "BF013"
REFUSED_WINDOW = "BF014"

ScheduleName = Annotated[
    str,
    Path(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", description="Its name.", examples=["nightly-images"]
    ),
]
Zone = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_+./-]{1,64}$",
        description="Time zone, as the IANA database names it.",
        examples=["Europe/Berlin"],
    ),
]
Clock = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", examples=["22:00"])]


class Schedule(Answer):
    """Starts runs of a task by the clock."""

    name: str
    task: str
    cron: Annotated[str, Field(examples=["*/10 22-6 * * *"])]
    timezone: str
    options: Annotated[dict[str, Any], Field(description="What its runs are told.")]
    enabled: bool
    next_at: datetime | None
    last_at: datetime | None
    last_run: int | None
    last_outcome: Annotated[str | None, Field(description="What came of the last tick.")] = None
    last_reason: Annotated[str | None, Field(description="Why, where it started no run.")] = None
    note: Annotated[str | None, Field(description="What is wrong with it; null: nothing.")]
    set_by: str


class SetSchedule(Asked):
    """A schedule as it is to be."""

    task: Word
    cron: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9*,/#? LW-]{1,200}$",
            description="Minute, hour, day, month, weekday; seconds last, where there are six.",
            examples=["*/10 22-6 * * *"],
        ),
    ]
    timezone: Zone = "UTC"
    options: Annotated[
        dict[str, Any], Field(description="The task's own options; null is the default.")
    ] = Field(default_factory=dict)
    limit: Annotated[int | None, Field(ge=0, le=2**62, description="Most rows of a run.")] = None
    retry_failed: Annotated[bool, Field(description="Take failed rows up again, too.")] = False
    batch_size: Annotated[int | None, Field(ge=1, le=10_000)] = None
    delay_ms: Annotated[int | None, Field(ge=0, le=3_600_000)] = None
    processes: Annotated[int, Field(ge=1, le=MOST_PROCESSES)] = 1
    enabled: bool = True
    yes: Annotated[bool, Field(description="Agrees to paid calls, where the task makes any.")] = (
        False
    )


HourMinute = Annotated[
    str, BeforeValidator(lambda at: at.strftime("%H:%M") if isinstance(at, time) else at)
]


class Window(Answer):
    """Hours in which rows of a task are handed out; new rows of a watched task are at any time."""

    task: str
    opens: Annotated[HourMinute, Field(examples=["22:00"])]
    closes: Annotated[HourMinute, Field(examples=["06:00"])]
    zone: str
    open: Annotated[bool, Field(description="Whether it is open now.")]
    changes_at: Annotated[datetime | None, Field(description="When it opens or closes next.")]


class SetWindow(Asked):
    """A window as it is to be; it may go over midnight."""

    opens: Clock
    closes: Clock
    zone: Zone = "UTC"


@api.get("/schedules", operation_id="list_schedules", summary="All schedules")
def list_schedules(who: Viewer, database: Db, task: OfTask = None) -> Listed[Schedule]:
    """Every schedule, when it is next due, and what came of its last tick."""
    rows = database.call(who, "web_schedules", read_only=True, task=task, name=None)
    return Listed(items=[Schedule(**row) for row in rows])


@api.get(
    "/schedules/{name}",
    operation_id="get_schedule",
    summary="One schedule",
    responses=problems("not_found"),
)
def get_schedule(name: ScheduleName, who: Viewer, database: Db) -> Schedule:
    """A schedule by its name."""
    return _schedule(database, who, name)


@api.put(
    "/schedules/{name}",
    operation_id="set_schedule",
    summary="Set a schedule",
    responses=problems("not_installed", "no_code", "wrong_version", "paid"),
)
def set_schedule(name: ScheduleName, given: SetSchedule, who: Operator, database: Db) -> Schedule:
    """Makes it, or replaces the one of that name. A tick is fired once, however many workers."""
    values = given.model_dump(exclude={"cron", "timezone", "enabled"})
    options = schedule_options(database, who, StartRequest(**values))
    with refused(REFUSED_SCHEDULE, "invalid"), database.transaction(who) as calls:
        calls.call(
            "web_set_schedule", name=name, task=given.task, cron=given.cron,
            options=options, timezone=given.timezone,
        )  # fmt: skip
        calls.call("web_enable_schedule", name=name, enabled=given.enabled)
    return _schedule(database, who, name)


@api.delete(
    "/schedules/{name}",
    operation_id="drop_schedule",
    summary="Take a schedule away",
    status_code=204,
    responses=problems("not_found"),
)
def drop_schedule(name: ScheduleName, who: Operator, database: Db) -> None:
    """Its runs stay."""
    with refused(REFUSED_SCHEDULE, "not_found"):
        database.call(who, "web_drop_schedule", name=name)


@api.get("/windows", operation_id="list_windows", summary="All windows")
def list_windows(who: Viewer, database: Db, task: OfTask = None) -> Listed[Window]:
    """Tasks that have hours; others run at any time."""
    rows = database.call(who, "web_windows", read_only=True, task=task)
    return Listed(items=[Window(**row) for row in rows])


@api.put(
    "/windows/{task}",
    operation_id="set_window",
    summary="Set a task's window",
    responses=problems("not_installed"),
)
def set_window(task: TaskName, given: SetWindow, who: Operator, database: Db) -> Window:
    """Outside of it no rows are handed out, from the next claim of every process on."""
    with refused(REFUSED_WINDOW, "invalid"), database.transaction(who) as calls:
        calls.one("task", task=task)
        calls.call(
            "web_set_window", task=task, opens=given.opens, closes=given.closes, zone=given.zone
        )
        return Window(**calls.one("web_windows", task=task))


@api.delete(
    "/windows/{task}",
    operation_id="clear_window",
    summary="Let a task run at any time",
    status_code=204,
    responses=problems("not_installed"),
)
def clear_window(task: TaskName, who: Operator, database: Db) -> None:
    """Takes its window away, if it has one."""
    with database.transaction(who) as calls:
        calls.one("task", task=task)
        calls.call("web_clear_window", task=task)


def _schedule(database: Db, who: Viewer, name: str) -> Schedule:
    rows = database.call(who, "web_schedules", read_only=True, task=None, name=name)
    if not rows:
        raise Problem("not_found", f"there is no schedule named {name!r}")
    return Schedule(**rows[0])
