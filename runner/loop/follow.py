"""New rows in one process: taken before all others, and waited for where the process stays."""

from __future__ import annotations

import threading
import time

from runner.loop.arrivals import Arrivals, News
from runner.loop.claiming import Claimer, Discoverer
from runner.loop.compute import ComputePool
from runner.loop.listen import Listener
from runner.loop.model import Job

CLAIM_S = 2.0
"""Time between two ordinary claims of a process that waits for new rows."""

SWEEP_S = 300.0
"""Time between two sweeps of a task, for rows that came to need work and were not noted as new."""


class Follow:
    """Looks for new rows now and then; after `stay()` also at once when one arrives.

    `wake` is set when something arrived.
    """

    def __init__(
        self,
        conninfo: str,
        name: str,
        discoverer: Discoverer,
        claimer: Claimer,
        wake: threading.Event,
    ) -> None:
        self._conninfo = conninfo
        self._name = name
        self._discoverer = discoverer
        self._session = claimer.session
        self._arrivals = Arrivals(claimer.session, claimer.runner)
        self._wake = wake
        self._task = ""
        self._listener: Listener | None = None
        self._next_sweep = 0.0

    def stay(self, task: str) -> None:
        """Be there for new rows when the work is done, and listen for them."""
        self._task = task
        self._listener = Listener(self._conninfo, self._name, task, self._arrived)
        self._next_sweep = time.monotonic() + SWEEP_S

    @property
    def due_in(self) -> float:
        """Seconds until the next look."""
        return self._arrivals.due_in

    @property
    def stays(self) -> bool:
        """Whether the process waits for new rows when its work is done."""
        return self._listener is not None

    def rejoined(self, claimer: Claimer) -> None:
        """The process goes on as another runner."""
        self._arrivals.runner = claimer.runner

    def take(self, want: int, most: int, held: dict[int, Job], pool: ComputePool) -> News | None:
        """Claim new rows where it is time to look, and let the pool begin with them.

        The process has `most` of them in hand at a time, beside what else it holds. Where very many
        came, they are swept for.
        """
        if self.due_in:
            return None
        room = most - self._arrivals.in_hand(held)
        if room <= 0:
            self._arrivals.put_off()
            return None
        news = self._arrivals.claim(min(want, room), held)
        for job in news.jobs:
            held[job.id] = job
        pool.submit(news.jobs, first=True)
        if news.sweep:
            self._discoverer.over = False
        return news

    def doze(self) -> None:
        """The process rests with nothing in hand: who inserts may wake it."""
        if self._listener is not None:
            self._listener.sleep()

    def sweep_now_and_then(self) -> None:
        """Nothing is ready: sweep again where it is time."""
        now = time.monotonic()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_S
            self._session.call("sweep_anew", task=self._task, seconds=SWEEP_S)
            # one that a dead process left half-way is gone on with, too
            self._discoverer.over = False

    def close(self) -> None:
        """Listen no longer."""
        if self._listener is not None:
            self._listener.close()

    def _arrived(self) -> None:
        self._arrivals.hurry()
        self._wake.set()
