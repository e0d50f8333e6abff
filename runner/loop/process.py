"""One process's stay at a run: claims ahead of its computing threads until nothing is left."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from dataclasses import dataclass

import psycopg

from runner.contract import Compute, Task
from runner.database import failures
from runner.database.session import Session, connect, is_direct
from runner.errors import BackfillError
from runner.loop.claiming import Claim, Claimer, Discoverer
from runner.loop.compute import ComputePool
from runner.loop.flush import Flusher
from runner.loop.heartbeat import Heartbeat
from runner.loop.model import Job

log = logging.getLogger(__name__)

IDLE_POLL_S = 0.5
BUSY_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a process stays. `max_duration` and `grace` are seconds; with `parent` it stops
    when that process is no longer its parent.
    """

    threads: int
    max_duration: float | None = None
    grace: float = 30.0
    exit_on_pause: bool = False
    parent: int | None = None


class Process:
    """Works for a run until it is done, stopped, or told to go."""

    def __init__(
        self,
        conninfo: str,
        task: Task,
        run: int,
        compute: Compute,
        limits: Limits,
        stop: threading.Event,
    ) -> None:
        self._conninfo = conninfo
        self._task = task
        self._run = run
        self._limits = limits
        self._stop = stop
        self._name = f"backfill {task.name} run {run}"
        self._wake = threading.Event()
        self._held: dict[int, Job] = {}
        self._session = Session(conninfo, name=self._name)
        batch_size = self._session.one("run_options", run=run)["batch_size"]
        self._claimer = Claimer(self._session, self._join())
        self._discoverer = Discoverer(self._session, run)
        self._beat = Heartbeat(conninfo, self._name, self._claimer.runner, self._wake)
        self._flusher = Flusher(
            Session(conninfo, name=f"{self._name} finish"), self._held, batch_size, self._wake
        )
        self._pool = ComputePool(compute, limits.threads, self._flusher.deliver, self._wake)
        self._began = time.monotonic()
        self._next_claim = self._began
        self._alone = False
        self._rate_mark = (self._began, 0)

    def work(self) -> str:
        """Claim, compute and finish until there is a reason to leave; that reason.

        Raises `BackfillError` where it can't go on; what it holds is handed back first.
        """
        reason = "error"
        try:
            reason = self._until_done()
        except psycopg.Error as error:
            raise failures.explain(error) from error
        finally:
            self._wind_down(reason)
        return reason

    # --- joining and leaving ------------------------------------------------------------------

    def _join(self) -> int:
        with connect(self._conninfo, name=self._name) as connection:
            direct = is_direct(connection)
        row = self._session.one(
            "join_run",
            run=self._run,
            version=self._task.version,
            host=socket.gethostname(),
            pid=os.getpid(),
            direct=direct,
        )
        return int(row["runner"])

    def _rejoin(self) -> None:
        """Come back after having been presumed dead: with nothing in hand, as somebody else."""
        log.warning("this process was silent too long and its jobs were given back; joining again")
        self._beat.close()
        self._pool.discard_unstarted()
        self._held.clear()
        self._claimer = Claimer(self._session, self._join())
        self._beat = Heartbeat(self._conninfo, self._name, self._claimer.runner, self._wake)

    def _wind_down(self, reason: str) -> None:
        """Hand back what was not started, wait for what was, finish it, say goodbye."""
        for job in self._pool.discard_unstarted():
            self._held.pop(job.id, None)
        self._pool.close()
        try:
            if self._flusher.fatal is None and self._beat.fatal is None:
                self._session.call("release", runner=self._claimer.runner, keep=list(self._held))
                deadline = time.monotonic() + self._limits.grace
                while self._held and self._flusher.fatal is None and time.monotonic() < deadline:
                    self._rest(BUSY_POLL_S)
            self._flusher.close()
            if self._held:
                log.warning(
                    "%d rows were still being computed; they are handed back", len(self._held)
                )
            self._session.call("leave", runner=self._claimer.runner, reason=reason)
        except (psycopg.Error, BackfillError) as error:
            # Nothing is lost: what is left behind is rescued like a dead process's jobs.
            log.warning("could not say goodbye: %s", failures.first_line(error))
        finally:
            self._beat.close()
            self._session.close()

    # --- the loop -----------------------------------------------------------------------------

    def _until_done(self) -> str:
        while True:
            if (reason := self._told_to_go()) is not None:
                return reason
            if self._beat.lost.is_set():
                self._rejoin()
            elif (
                self._has_room()
                and self._is_time()
                and (reason := self._act_on(self._claim())) is not None
            ):
                return reason

    def _told_to_go(self) -> str | None:
        fatal = self._flusher.fatal or self._beat.fatal
        if fatal is not None:
            raise fatal
        if self._stop.is_set():
            return "interrupted"
        if self._limits.parent is not None and os.getppid() != self._limits.parent:
            log.warning("the process that started this one is gone; stopping")
            return "interrupted"
        longest = self._limits.max_duration
        if longest is not None and time.monotonic() - self._began >= longest:
            return "max_duration"
        return None

    def _has_room(self) -> bool:
        """Whether to claim now; otherwise waits a little for that to change."""
        batch = self._flusher.group
        if not self._held:
            self._alone = False
        self._pool.low_water = self._claim_ahead(batch)
        full = len(self._held) >= 4 * batch + self._limits.threads
        if self._alone or full or self._pool.unstarted > self._pool.low_water:
            self._rest(IDLE_POLL_S)
            return False
        return True

    def _claim_ahead(self, batch: int) -> int:
        """Unstarted jobs at which to claim more: about what is computed in a quarter of a second."""
        now, (then, before) = time.monotonic(), self._rate_mark
        if now - then < BUSY_POLL_S:
            return self._pool.low_water
        done = self._flusher.delivered
        self._rate_mark = (now, done)
        ahead = int((done - before) / (now - then) * 0.25)
        threads = self._limits.threads
        return min(max(ahead, threads), max(batch, threads))

    def _is_time(self) -> bool:
        left = self._next_claim - time.monotonic()
        if left > 0:
            self._stop.wait(min(left, IDLE_POLL_S))
        return left <= 0

    def _rest(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def _claim(self) -> Claim:
        claim = self._claimer.claim(self._flusher.group, alone=not self._held, held=self._held)
        if claim.status == "jobs":
            self._beat.note = None
            for job in claim.jobs:
                self._held[job.id] = job
            self._pool.submit(claim.jobs)
            self._next_claim = time.monotonic() + claim.delay_ms / 1000
        if claim.status in ("jobs", "none"):
            self._flusher.group = claim.batch_size
        return claim

    def _act_on(self, claim: Claim) -> str | None:
        """What the answer to a claim means: a reason to leave, or None to go on."""
        if claim.status == "jobs":
            self._alone = claim.solo or claim.solo_waiting
            if not self._discoverer.over and claim.stock < claim.look_ahead // 2:
                self._discoverer.discover(claim.look_ahead)
        elif claim.status == "none":
            return self._without_ready(claim)
        elif claim.status == "limit":
            return self._without_work("limit")
        elif claim.status == "paused":
            return self._while_paused(claim)
        elif claim.status == "cancelled":
            return "cancelled"
        elif claim.status == "version":
            raise BackfillError(
                f"{claim.reason}; install the same version everywhere, then: backfill migrate"
            )
        else:
            self._beat.lost.set()
        return None

    def _without_ready(self, claim: Claim) -> str | None:
        if claim.solo_waiting:
            self._alone = True
        if not self._claimer.at_start:
            self._claimer.restart()
            return None
        if not self._discoverer.over:
            if self._discoverer.discover(claim.look_ahead) == "busy":
                self._rest(BUSY_POLL_S)
            return None
        return self._without_work("done")

    def _without_work(self, reason: str) -> str | None:
        """Nothing is ready: leave, unless something may yet become ready within `retry_wait`."""
        outlook = self._session.one("outlook", runner=self._claimer.runner)
        if self._held:
            self._rest(IDLE_POLL_S)
        elif outlook["retries"]:
            seconds = max(outlook["next_due_s"] or 0.0, 0.01)
            self._beat.note = (
                f"waiting for {outlook['retries']} retries, the next in {seconds:.0f} s"
            )
            self._rest(min(seconds, IDLE_POLL_S))
        elif outlook["running"]:
            self._beat.note = f"waiting for {outlook['running']} rows in other processes"
            self._rest(IDLE_POLL_S)
        elif outlook["solo"]:
            self._rest(BUSY_POLL_S)
        else:
            return reason
        self._claimer.restart()
        return None

    def _while_paused(self, claim: Claim) -> str | None:
        self._beat.note = claim.reason
        if not self._held and self._limits.exit_on_pause:
            return "paused"
        self._rest(IDLE_POLL_S)
        return None
