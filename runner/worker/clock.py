"""The thread that fires schedules when they are due, by the database's clock."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import psycopg

from runner.contract import Task
from runner.database import failures
from runner.database.files import statement
from runner.database.session import Session
from runner.errors import UsageError
from runner.options import own_condition
from runner.worker.cron import Cron, ticks

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""Longest time between two looks at the schedules, of which new ones may be there."""

SHORTEST_S = 0.02
"""Shortest time between two looks."""

LATE_S = 15.0
"""Ticks that are later than this are fired as one."""


class Clock:
    """Fires schedules until `close()`. An error that can't be helped is in `fatal`.

    Every worker has one. Who fires a tick is whoever moves the schedule on first.
    """

    def __init__(
        self, session: Session, tasks: Mapping[str, Task], worker: Callable[[], int]
    ) -> None:
        self._session = session
        self._tasks = tasks
        self._worker = worker
        self._stop = threading.Event()
        self.looks = 0
        self.fatal: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="clock", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Fire no more."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                wait = self._look()
                self.looks += 1
                self._stop.wait(wait)
        except psycopg.Error as error:
            self.fatal = failures.explain(error)
        except Exception as error:  # noqa: BLE001 - the main thread raises it
            self.fatal = error

    def _look(self) -> float:
        """Fire what is due; seconds until the next look."""
        wait = LOOK_S
        for row in self._session.call("schedules_enabled"):
            if row["task"] not in self._tasks:
                # what its options stand for, its code alone knows
                continue
            next_at = row["next_at"] if row["planned"] else self._plan(row)
            if next_at is not None and next_at <= row["now"]:
                try:
                    next_at = self._fire(row, next_at)
                except psycopg.errors.LockNotAvailable:
                    # somebody has the task's row; the others are not to wait for that
                    log.debug("schedule %s: its task is in use, trying again", row["name"])
                    continue
            if next_at is not None:
                wait = min(wait, (next_at - row["now"]).total_seconds())
        return max(wait, SHORTEST_S)

    def _plan(self, row: Mapping[str, Any]) -> datetime | None:
        next_at, note = None, None
        try:
            next_at = _cron(row["cron"], row["timezone"]).after(row["set_at"])
        except UsageError as error:
            note = str(error)
            log.warning("schedule %s is never fired: %s", row["name"], note)
        self._session.call(
            "plan_schedule", name=row["name"], set_at=row["set_at"], next=next_at, note=note
        )
        return next_at

    def _fire(self, row: Mapping[str, Any], due: datetime) -> datetime | None:
        """Fire each tick that is due, unless another worker does; when it is due next."""
        cron = _cron(row["cron"], row["timezone"])
        own, refused = None, None
        try:
            own = own_condition(self._tasks[row["task"]], row["options"])
        except UsageError as error:
            refused = str(error)
        expected: datetime | None = due
        for at, following in ticks(cron, due, row["now"], timedelta(seconds=LATE_S)):
            (fired,) = self._session.execute(
                statement("fire_schedule"),
                {
                    "name": row["name"],
                    "expected": expected,
                    "at": at,
                    "next": following,
                    "worker": self._worker(),
                    "own": own,
                    "refused": refused,
                },
                once=True,
            )
            expected = following
            _tell(row["name"], fired)
        return expected


def _tell(name: str, fired: Mapping[str, Any]) -> None:
    if fired["outcome"] == "started":
        log.info("schedule %s: run %d", name, fired["run"])
    elif fired["outcome"] == "failed":
        log.warning("schedule %s could not start a run: %s", name, fired["reason"])
    else:
        log.debug("schedule %s: %s, %s", name, fired["outcome"], fired["reason"])


@lru_cache(maxsize=1000)
def _cron(expression: str, zone: str) -> Cron:
    return Cron(expression, zone)
