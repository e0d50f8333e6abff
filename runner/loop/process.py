"""One process's stay at a run: claims ahead of its computing threads until nothing is left."""

from __future__ import annotations

import logging
import threading
import time

import psycopg

from runner.contract import Compute, Task
from runner.database import failures
from runner.database.session import Session
from runner.errors import BackfillError, DatabaseUnreachable, TaskHalted
from runner.loop.claiming import Claim, Claimer, Discoverer
from runner.loop.compute import ComputePool, nothing_said
from runner.loop.finish import Finisher, OnBatch
from runner.loop.flush import Flusher
from runner.loop.follow import CLAIM_S, Follow
from runner.loop.heartbeat import Heartbeat
from runner.loop.join import RUN_HAS_ENDED, join
from runner.loop.limits import Buckets
from runner.loop.model import Job, Outcome
from runner.loop.pace import Pace
from runner.loop.rate import Rate
from runner.loop.stay import Limits, say_what_is_waited_for
from runner.options import own_condition

__all__ = ["RUN_HAS_ENDED", "Limits", "Process"]

log = logging.getLogger(__name__)

IDLE_POLL_S = 0.5
BUSY_POLL_S = 0.05
CLOSE_S = 2.0
"""Shortest time that the last results have to get to the database."""


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
        limiter: Buckets | None = None,
        on_batch: OnBatch | None = None,
    ) -> None:
        self._conninfo = conninfo
        self._task = task
        self._run = run
        self._limits = limits
        self._stop = stop
        self._limiter = limiter
        self._name = f"backfill {task.name} run {run}"
        self._wake = threading.Event()
        self._held: dict[int, Job] = {}
        self._session = self._open(self._name)
        pace = self._session.one("run_options", run=run)
        self._claimer = Claimer(self._session, self._join())
        self._discoverer = Discoverer(self._session, run, own_condition(task, pace["options"]))
        self._beat = self._start_beating()
        self._follow = Follow(conninfo, self._name, self._discoverer, self._claimer, self._wake)
        if limits.follow:
            self._follow.stay(task.name)
        finisher = Finisher(self._open(f"{self._name} finish"), task.name, on_batch)
        self._flusher = Flusher(finisher, self._held, pace["batch_size"], self._wake)
        said = nothing_said if limiter is None else limiter.said
        self._pool = ComputePool(compute, limits.threads, self._flusher.deliver, self._wake, said)
        self._rate = Rate()
        self._began = time.monotonic()
        self._pace = Pace(pace["delay_ms"] / 1000)
        self._alone = False

    @property
    def still_computing(self) -> int:
        """Rows that threads still compute; after `work()`, those that outlasted the grace."""
        return self._pool.busy

    def work(self) -> str:
        """Claim, compute and finish until there is a reason to leave; that reason.

        Raises `BackfillError` where it can't go on; what it holds is handed back first.
        """
        reason = "error"
        try:
            reason = self._until_done()
        except DatabaseUnreachable:
            self._abandon()
            raise
        except psycopg.Error as error:
            self._wind_down(reason)
            raise failures.explain(error) from error
        except TaskHalted:
            self._wind_down("paused")
            raise
        except BaseException:
            self._wind_down(reason)
            raise
        self._wind_down(reason)
        return reason

    # --- joining and leaving ------------------------------------------------------------------

    def _open(self, name: str) -> Session:
        return Session(
            self._conninfo,
            name=name,
            patience=self._limits.patience,
            stop=self._stop,
            grace=self._limits.grace,
            persistent=True,
        )

    def _join(self) -> int:
        runner = join(self._session, self._task, self._run)
        if self._limiter is not None:
            self._limiter.runner = runner
        return runner

    def _start_beating(self) -> Heartbeat:
        return Heartbeat(
            self._conninfo, self._name, self._claimer.runner, self._wake, self._limits.patience
        )

    def _rejoin(self) -> str | None:
        """Come back after having been presumed dead: with nothing in hand, as somebody else.

        A reason to leave where there is nothing to come back to.
        """
        log.warning("this process was silent too long and its jobs were given back; joining again")
        self._beat.close()
        self._pool.discard_unstarted()
        self._held.clear()
        try:
            self._claimer = Claimer(self._session, self._join())
        except psycopg.Error as error:
            if error.sqlstate != RUN_HAS_ENDED:
                raise
            return "done"
        self._follow.rejoined(self._claimer)
        self._beat = self._start_beating()
        return None

    def _wind_down(self, reason: str) -> None:
        """Hand back what was not started, wait for what was, finish it, say goodbye."""
        for job in self._pool.discard_unstarted():
            self._held.pop(job.id, None)
        self._pool.close()
        runner = self._claimer.runner
        deadline = time.monotonic() + self._limits.grace
        if self._limiter is not None:
            self._limiter.hurry(self._limits.grace)
        try:
            if self._trouble() is None:
                self._session.call("release", runner=runner, keep=list(self._held))
            if self._held and not self._limits.child:
                say_what_is_waited_for(reason, len(self._held), self._limits.grace)
            while self._held and self._trouble() is None and time.monotonic() < deadline:
                self._rest(BUSY_POLL_S)
            self._flusher.close(max(deadline - time.monotonic(), CLOSE_S))
            if self._held:
                log.warning("%d rows were not done in time; they are handed back", len(self._held))
            self._session.call("leave", runner=runner, reason=reason)
        except (psycopg.Error, BackfillError) as error:
            # Nothing is lost: what is left behind is rescued like a dead process's jobs.
            log.warning("could not say goodbye: %s", failures.first_line(error))
        finally:
            self._flusher.close(0)
            self._close()

    def _abandon(self) -> None:
        """Leave without a server to say goodbye to; others find what is left behind."""
        self._pool.discard_unstarted()
        self._pool.close()
        self._flusher.close(0)
        self._close()

    def _close(self) -> None:
        self._follow.close()
        self._beat.close()
        self._session.close()

    def _trouble(self) -> Exception | None:
        limiter = None if self._limiter is None else self._limiter.fatal
        return self._flusher.fatal or self._beat.fatal or limiter

    # --- the loop -----------------------------------------------------------------------------

    def _until_done(self) -> str:
        while True:
            if (reason := self._told_to_go()) is not None:
                return reason
            if self._beat.lost.is_set():
                if (reason := self._rejoin()) is not None:
                    return reason
                continue
            self._take_new()
            if (
                self._has_room()
                and self._is_time()
                and (reason := self._act_on(self._claim())) is not None
            ):
                return reason

    def _told_to_go(self) -> str | None:
        trouble = self._trouble()
        if trouble is not None:
            raise trouble
        if self._pool.halted is not None:
            raise self._halted(self._pool.halted)
        if self._stop.is_set():
            return "interrupted"
        longest = self._limits.max_duration
        if longest is not None and time.monotonic() - self._began >= longest:
            return "max_duration"
        return None

    def _halted(self, outcome: Outcome) -> BackfillError:
        reason, task = outcome.message or "", self._task.name
        if outcome.halt == "process":
            return BackfillError(reason)
        self._session.call("halt", runner=self._claimer.runner, reason=reason)
        return TaskHalted(f"{reason}; {task} is paused until somebody says: backfill resume {task}")

    def _has_room(self) -> bool:
        """Whether to claim now; otherwise waits a little for that to change."""
        batch, threads = self._flusher.group, self._limits.threads
        if not self._held:
            self._alone = False
        self._rate.note(self._flusher.delivered)
        self._pool.low_water = min(self._rate.in_s(0.25), max(batch, threads))
        full = len(self._held) >= 4 * batch + threads
        if self._alone or full or self._pool.unstarted > self._pool.low_water:
            if self._flusher.blocked:
                self._beat.note = "waiting for rows that another session has locked"
            elif self._limiter is not None:
                self._beat.note = self._limiter.wait_reason
            self._rest(IDLE_POLL_S)
            return False
        return True

    def _take_new(self) -> None:
        """Claim new rows where it is time to look, beside and before what the process holds."""
        most = 0 if self._alone else self._flusher.group + self._limits.threads
        news = self._follow.take(self._want(), most, self._held, self._pool)
        if news is not None and (news.jobs or news.act):
            self._beat.note = None
            self._pace.hurry(time.monotonic() + (0 if news.act else self._pace.delay))

    def _is_time(self) -> bool:
        left = self._pace.left(time.monotonic())
        if left > 0:
            self._rest(min(left, IDLE_POLL_S))
        return left <= 0

    def _rest(self, seconds: float) -> None:
        if not self._held:
            self._follow.doze()
        self._wake.wait(min(seconds, self._follow.due_in))
        self._wake.clear()

    def _want(self) -> int:
        """How many to claim: a second's work, so that slow rows are shared with other processes.

        Where a delay is wanted between batches, they are whole ones.
        """
        batch = self._flusher.group
        if self._pace.delay:
            return batch
        return min(batch, max(self._limits.threads, self._rate.in_s(1.0)))

    def _claim(self) -> Claim:
        alone = not self._held and not self._pool.busy
        claim = self._claimer.claim(self._want(), alone=alone, held=self._held)
        if claim.status == "jobs":
            self._beat.note = claim.reason
            for job in claim.jobs:
                self._held[job.id] = job
            self._pool.submit(claim.jobs)
            self._pace.claimed(time.monotonic(), claim.delay_ms / 1000, claim.slow_by)
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
        elif claim.status == "budget":
            return self._without_budget()
        elif claim.status in ("paused", "held"):
            return self._while_paused(claim)
        elif claim.status in ("cancelled", "halted"):
            return "paused" if claim.status == "halted" else "cancelled"
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
        self._claimer.restart()
        if self._held:
            self._rest(IDLE_POLL_S)
            return None
        runner = self._claimer.runner
        # A claim whose connection was cut may have been committed after it was sent again.
        if self._session.one("release", runner=runner, keep=[])["released"]:
            return None
        if self._limits.new_rows_only:
            # what others have in hand is nothing to wait for, nor is there anything to sweep for
            self._beat.note = "waiting for new rows"
            self._pace.put_off(time.monotonic() + CLAIM_S)
            return None
        outlook = self._session.one("outlook", runner=runner)
        if outlook["retries"]:
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
        elif reason == "done" and (run := self._deserted_run()) is not None:
            self._beat.note = f"waiting for rows of run {run}, whose processes are gone"
            self._rest(IDLE_POLL_S)
        elif reason == "done" and self._follow.stays:
            self._beat.note = "waiting for new rows"
            self._follow.sweep_now_and_then()
            self._pace.put_off(time.monotonic() + CLAIM_S)
        else:
            return reason
        return None

    def _without_budget(self) -> str | None:
        """Leave once nothing is held; what waits for another try is the next run's."""
        if not self._held:
            return "budget"
        self._rest(IDLE_POLL_S)
        return None

    def _deserted_run(self) -> int | None:
        """A run that died with rows reserved for it, which soon are everybody's again."""
        found = self._session.call("deserted", task=self._task.name, run=self._run)
        return int(found[0]["run"]) if found else None

    def _while_paused(self, claim: Claim) -> str | None:
        self._beat.note = claim.reason
        if claim.status == "paused" and not self._held and self._limits.exit_on_pause:
            return "paused"
        self._rest(IDLE_POLL_S)
        return None
