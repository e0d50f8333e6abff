"""New and changed rows of watched tables, which a process takes before all others."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.database.session import Session
from runner.loop.claiming import job_of
from runner.loop.guards import evaluate
from runner.loop.model import Job

LOOK_S = 0.25
"""Time between two looks at what arrived, where nothing wakes the process before."""

UNWATCHED_S = 5.0
"""The same while the task is not watched, or the run leaves new rows to others."""

FULL_LOOK = 50
"""A look from the start comes after so many times what the last one took: about 2 % of the time."""


@dataclass(frozen=True, slots=True)
class News:
    """New rows in hand. `sweep`: there are very many more, for a sweep to find. `act`: an ordinary
    claim should follow at once, for those or for a reason why there is nothing, such as a pause.
    """

    jobs: list[Job]
    sweep: bool
    act: bool


@dataclass(slots=True)
class Arrivals:
    """Claims new rows for one runner through one session, remembering where its last look ended."""

    session: Session
    runner: int
    after: int = 0
    _next_look: float = field(default=0.0)
    _next_full_look: float = field(default=0.0)
    _taken: set[int] = field(default_factory=set)

    @property
    def due_in(self) -> float:
        """Seconds until the next look."""
        return max(self._next_look - time.monotonic(), 0.0)

    def hurry(self) -> None:
        """Something arrived: look at once. May be called by another thread."""
        self._next_look = 0.0

    def put_off(self) -> None:
        """Look later: there is no room for new rows now."""
        self._next_look = time.monotonic() + LOOK_S

    def in_hand(self, held: Mapping[int, Job]) -> int:
        """How many of the jobs that the process holds are new rows."""
        self._taken &= held.keys()
        return len(self._taken)

    def claim(self, want: int, held: Mapping[int, Job]) -> News:
        """Take up to `want` new rows. `held` is what the process holds already."""
        began = time.monotonic()
        full = began >= self._next_full_look
        reconnects = self.session.reconnects
        row = self._ask(want, full=full)
        while row["status"] == "guards":
            evaluate(self.session, row["due_guards"])
            began = time.monotonic()
            row = self._ask(want, full=full)
        jobs = [job_of(item, self.runner) for item in row["jobs"]]
        if self.session.reconnects != reconnects:
            # The reply to an earlier try may have been lost after it was committed.
            keep = [*held, *(job.id for job in jobs)]
            self.session.call("release", runner=self.runner, keep=keep)
        self._taken.update(job.id for job in jobs)
        if row["seen"]:
            self.after = row["last_id"]
        now = time.monotonic()
        if full:
            self._next_full_look = now + FULL_LOOK * (now - began)
        if not row["watched"]:
            self._next_look = now + UNWATCHED_S
        elif row["seen"] < want:
            self._next_look = now + LOOK_S
        else:
            # the delay stands between full batches: a row now and then is no flood
            self._next_look = now + (row["delay_ms"] or 0) / 1000
        usual = row["status"] in ("jobs", "none", "limit")
        return News(jobs, sweep=row["sweep"], act=row["sweep"] or not usual)

    def _ask(self, want: int, *, full: bool) -> dict[str, Any]:
        return self.session.one(
            "claim_new", runner=self.runner, want=want, after=0 if full else self.after
        )
