"""What streams tell, read from the database: of one task, or of all."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from runner.web import sse
from runner.web.cursor import Cursor
from runner.web.database import Database
from runner.web.live import Line, look, look_at_all
from runner.web.principal import Principal

READER = Principal("", "viewer", "backfill_reader")
"""Who reads for everybody that looks: what every token may see."""

CAUSES = 20
CAUSES_EVERY_S = 5.0
SHARE = 20.0
"""Failures are counted by cause again after so many times as long as it took, at the earliest."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read at one moment: events by name, as bytes, and lines that were not known.

    `more`: rows beside those that have a line. `cursor`: how far was read.
    """

    events: dict[str, bytes]
    lines: list[Line] = field(default_factory=list)
    more: int = 0
    cursor: Cursor = field(default_factory=Cursor)


class Source(Protocol):
    """Reads; called by one thread at a time, but for `since`."""

    def read(self, cursor: Cursor | None) -> Reading:
        """Now, with what happened since `cursor`, or lately. Raises `Problem`."""

    def since(self, cursor: Cursor) -> tuple[list[Line], int, Cursor]:
        """The lines since then, how many rows beside them, and how far that is."""


MISSED = 200
"""Lines of what somebody missed who was away; of more, the newest."""


class OfTask:
    """One task: its state with the causes of its failures, its processes, its log."""

    def __init__(self, database: Database, task: str) -> None:
        self._database = database
        self._task = task
        self._causes: list[dict[str, Any]] = []
        self._counted = 0
        self._count_at = 0.0

    def read(self, cursor: Cursor | None) -> Reading:
        """See `Source`."""
        found = look(self._database, READER, self._task, cursor)
        self._count_causes(found.state["failed"])
        state = {**found.state, "causes": self._causes}
        events = {
            "state": sse.event("state", state),
            "runners": sse.event("runners", found.runners),
        }
        return Reading(events, found.log, found.more, found.cursor)

    def since(self, cursor: Cursor) -> tuple[list[Line], int, Cursor]:
        """See `Source`."""
        found = look(self._database, READER, self._task, cursor, MISSED)
        return found.log, found.more, found.cursor

    def _count_causes(self, failed: int) -> None:
        """Count failures by cause, which reads all of them, seldom enough not to be felt."""
        begun = time.monotonic()
        if failed == self._counted or begun < self._count_at:
            return
        rows = self._database.call(READER, "failure_causes", read_only=True, task=self._task)
        self._causes = [
            {"error_class": row["error_class"], "rows": row["rows"]} for row in rows[:CAUSES]
        ]
        self._counted = failed
        now = time.monotonic()
        self._count_at = now + max(CAUSES_EVERY_S, (now - begun) * SHARE)


class OfAll:
    """The state of every task, without a log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, _cursor: Cursor | None) -> Reading:
        """See `Source`."""
        return Reading({"tasks": sse.event("tasks", look_at_all(self._database, READER))})

    def since(self, cursor: Cursor) -> tuple[list[Line], int, Cursor]:
        """See `Source`."""
        return [], 0, cursor
