"""Threads that compute: one job each at a time, no barrier between batches."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from runner.contract import Compute, Result
from runner.errors import NothingFound, Permanent, Retry, Skip
from runner.loop.model import Job, Outcome, Verdict, outcome

NOT_NEEDED = Verdict("skipped", error_class="not_needed", message="the row no longer needs work")


def judge(compute: Compute, job: Job) -> Verdict:
    """Compute one job; whatever happens becomes a verdict on that job alone."""
    if job.input is None:
        return NOT_NEEDED
    try:
        value = compute(job.input)
    except Skip as reason:
        return Verdict("skipped", error_class="skipped", message=str(reason))
    except NothingFound as reason:
        return Verdict(
            "nothing_found", reason.result, error_class="nothing_found", message=str(reason)
        )
    except Permanent as error:
        return Verdict("failed", error_class=error.code, message=str(error))
    except Retry as error:
        return Verdict(
            "retry",
            error_class=error.code,
            message=str(error),
            after=error.after,
            counts=error.counts,
        )
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a row's failure is that row's alone
        name = type(error).__name__
        return Verdict("retry", error_class=name, message=f"{name}: {error}")
    if isinstance(value, Result):
        return Verdict("ok", value.value, spend_usd=value.spend_usd)
    return Verdict("ok", value)


class ComputePool:
    """`threads` daemon threads that take jobs from one queue and hand outcomes to `deliver`.

    `wake` is set whenever no more than `low_water` jobs are left unstarted.
    """

    def __init__(
        self,
        compute: Compute,
        threads: int,
        deliver: Callable[[Outcome], None],
        wake: threading.Event,
    ) -> None:
        self._compute = compute
        self._deliver = deliver
        self._wake = wake
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self.low_water = threads
        self.started: dict[int, Job] = {}
        self._threads = [
            threading.Thread(target=self._work, name=f"compute-{n}", daemon=True)
            for n in range(1, threads + 1)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, jobs: list[Job]) -> None:
        """Queue jobs, to be started in this order."""
        for job in jobs:
            self._jobs.put(job)

    @property
    def unstarted(self) -> int:
        """Jobs queued and not started."""
        return self._jobs.qsize()

    def discard_unstarted(self) -> list[Job]:
        """Take back what has not been started."""
        jobs: list[Job] = []
        while True:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return jobs
            if job is not None:
                jobs.append(job)

    def close(self) -> None:
        """Let the threads end after what is queued; they are not waited for."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self.started[job.id] = job
            if self._jobs.qsize() <= self.low_water:
                self._wake.set()
            began = time.monotonic()
            verdict = judge(self._compute, job)
            result = outcome(job, verdict, round((time.monotonic() - began) * 1000))
            # Delivered first: a job that is in neither place would look unstarted.
            self._deliver(result)
            self.started.pop(job.id, None)
