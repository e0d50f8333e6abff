"""Where a process's claims go on from, and how far ahead of them jobs are enqueued."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runner.database.session import Session
from runner.loop.guards import evaluate
from runner.loop.model import Job

FULL_LOOK_S = 5.0
"""Shortest time between two claims that scan from the start, for jobs that came to stand behind
this process's position; longer where that scan is slow, so that it takes about 2 % of the time."""

FIRST_CHUNK = 200
"""Rows that the first discovery reads: few, so that the first job starts at once."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim: jobs, or in `status` and `reason` why there are none."""

    status: str
    reason: str | None
    batch_size: int
    delay_ms: int
    solo: bool
    solo_waiting: bool
    stock: int
    look_ahead: int
    jobs: list[Job]
    slow_by: float


@dataclass(slots=True)
class Claimer:
    """Claims for one runner through one session, remembering its position in the queue."""

    session: Session
    runner: int
    after: int = 0
    due_after: datetime | None = None
    _next_full_look: float = field(default=0.0)

    @property
    def at_start(self) -> bool:
        """Whether the next claim reads the queue from its start."""
        return self.after == 0 and self.due_after is None

    def restart(self) -> None:
        """Let the next claim read from the start."""
        self.after, self.due_after = 0, None

    def claim(self, want: int, *, alone: bool, held: dict[int, Job]) -> Claim:
        """Take up to `want` jobs. `held` is what the process holds already."""
        began = time.monotonic()
        full = began >= self._next_full_look
        if full:
            self.restart()
        reconnects = self.session.reconnects
        row = self._ask(want, alone=alone)
        while row["status"] == "guards":
            evaluate(self.session, row["due_guards"])
            # how long guards take says nothing about the scan
            began = time.monotonic()
            row = self._ask(want, alone=alone)
        jobs = [job_of(item, self.runner) for item in row["jobs"]]
        if self.session.reconnects != reconnects:
            # The reply to an earlier try may have been lost after it was committed.
            keep = [*held, *(job.id for job in jobs)]
            self.session.call("release", runner=self.runner, keep=keep)
        if row["last_id"] is not None:
            self.after, self.due_after = row["last_id"], row["last_due"]
        if full:
            now = time.monotonic()
            self._next_full_look = now + max(FULL_LOOK_S, 50 * (now - began))
        return Claim(
            status=row["status"],
            reason=row["reason"],
            batch_size=row["batch_size"] or 1,
            delay_ms=row["delay_ms"] or 0,
            solo=row["solo"],
            solo_waiting=row["solo_waiting"],
            stock=row["stock"],
            look_ahead=row["look_ahead"] or 0,
            jobs=jobs,
            slow_by=row["slow_by"],
        )

    def _ask(self, want: int, *, alone: bool) -> dict[str, Any]:
        return self.session.one(
            "claim",
            runner=self.runner,
            want=want,
            after=self.after,
            due_after=self.due_after,
            alone=alone,
        )


@dataclass(slots=True)
class Discoverer:
    """Enqueues rows of the needs view for one run, in chunks that grow.

    `vouched` is the condition that the task's own code has for the run, or None.
    """

    session: Session
    run: int
    vouched: str | None = None
    over: bool = False
    _chunk: int = FIRST_CHUNK

    def discover(self, most: int) -> str:
        """Enqueue one chunk of at most `most` rows: `open`, `busy` or `ended`."""
        chunk = min(self._chunk, max(most, 1))
        row = self.session.one("discover", run=self.run, chunk=chunk, vouched=self.vouched)
        if row["state"] == "open":
            self._chunk *= 4
        self.over = row["state"] == "ended"
        return str(row["state"])


def job_of(item: dict[str, Any], runner: int) -> Job:
    """An element of what a claim hands out."""
    row = item["input"]
    if row is not None and item["effects"] is not None:
        row["effects"] = item["effects"]
    return Job(
        id=item["id"],
        key=item["key"],
        attempt=item["attempt"],
        revision=item["revision"],
        input=row,
        runner=runner,
    )
