"""Threads that compute: one job each at a time, no barrier between batches."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from queue import Empty, SimpleQueue

from runner.contract import Compute, Result
from runner.errors import Halt, NothingFound, Permanent, Retry, RowOutcome, Skip
from runner.loop.model import EffectSaid, Job, Outcome, Verdict, computed, outcome, seconds
from runner.redaction import redact

NOT_NEEDED = Verdict("skipped", error_class="not_needed", message="the row no longer needs work")


def judge(compute: Compute, job: Job) -> Verdict:
    """Compute one job; whatever happens becomes a verdict on that job alone."""
    if job.input is None:
        return NOT_NEEDED
    try:
        value = compute(job.input)
    except RowOutcome as ending:
        return replace(_ending(ending), figures=ending.figures)
    except BaseException as error:  # noqa: BLE001 - not even SystemExit may end the thread
        name = type(error).__name__
        # libraries put whole addresses into their errors, and many people read a row's
        return Verdict("retry", error_class=name, message=redact(f"{name}: {error}"))
    if isinstance(value, Result):
        verdict = replace(_result(value.value, value.spend_usd), figures=value.figures)
        if value.more and verdict.kind == "ok":
            return replace(verdict, kind="more", after=seconds(value.after))
        return verdict
    return _result(value, 0.0)


def _ending(ending: RowOutcome) -> Verdict:
    message, spend = str(ending), ending.spend_usd
    if isinstance(ending, Skip):
        return Verdict("skipped", error_class="skipped", message=message, spend_usd=spend)
    if isinstance(ending, NothingFound):
        return Verdict(
            "nothing_found",
            ending.result,
            error_class="nothing_found",
            message=message,
            spend_usd=spend,
        )
    if isinstance(ending, Halt):
        return Verdict(
            "retry",
            error_class="halt",
            message=message,
            after=0.0,
            counts=False,
            spend_usd=spend,
            halt="task" if ending.pauses else "process",
        )
    if isinstance(ending, Retry):
        return Verdict(
            "retry",
            error_class=ending.code,
            message=message,
            after=seconds(ending.after),
            counts=bool(ending.counts),
            spend_usd=spend,
        )
    code = ending.code if isinstance(ending, Permanent) else type(ending).__name__
    return Verdict("failed", error_class=code, message=message, spend_usd=spend)


def _result(value: object, spend_usd: float) -> Verdict:
    if isinstance(value, Mapping):
        return Verdict("ok", value, spend_usd=spend_usd)
    return Verdict(
        "failed",
        error_class="bad_result",
        message=f"the computation returned {type(value).__name__}; it should return a mapping",
        spend_usd=spend_usd,
    )


Said = Callable[[str], Sequence[EffectSaid]]
"""What became of the calls for a row, that the database does not know yet."""


def nothing_said(_key: str) -> Sequence[EffectSaid]:
    """Of a computation that makes no paid calls."""
    return ()


def attempt(compute: Compute, job: Job, said: Said = nothing_said) -> Outcome:
    """Compute one job and put what came of it into words; never raises."""
    began = time.monotonic()
    effects: tuple[EffectSaid, ...] = ()
    before = computed.set(job)
    try:
        verdict = judge(compute, job)
        effects = tuple(said(job.key))
        verdict = replace(verdict, effects=effects)
        return outcome(job, verdict, round((time.monotonic() - began) * 1000))
    except BaseException as error:  # noqa: BLE001 - an exception that can't even be printed
        name = type(error).__name__
        message = f"what the computation raised or returned can't be told ({name})"
        bad = Verdict("retry", error_class="unprintable", message=message, effects=effects)
        return outcome(job, bad, round((time.monotonic() - began) * 1000))
    finally:
        computed.reset(before)


class _Wake(Enum):
    """Stands in the queue for a job that is to be started before what is queued."""

    UP = 0


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
        said: Said = nothing_said,
    ) -> None:
        self._compute = compute
        self._said = said
        self._deliver = deliver
        self._wake = wake
        self._jobs: SimpleQueue[Job | _Wake | None] = SimpleQueue()
        self._first: deque[Job] = deque()
        self.low_water = threads
        self._busy: set[tuple[int, int]] = set()
        self.halted: Outcome | None = None
        """Why no row can be computed, in the words of the first that raised `Halt`."""
        self._threads = [
            threading.Thread(target=self._work, name=f"compute-{n}", daemon=True)
            for n in range(1, threads + 1)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, jobs: list[Job], *, first: bool = False) -> None:
        """Queue jobs, to be started in this order; with `first` before all that are queued."""
        for job in jobs:
            if first:
                self._first.append(job)
            self._jobs.put(_Wake.UP if first else job)

    @property
    def unstarted(self) -> int:
        """Jobs queued and not started."""
        return self._jobs.qsize()

    @property
    def busy(self) -> int:
        """Jobs being computed, those included that were taken from this process meanwhile."""
        return len(self._busy)

    def discard_unstarted(self) -> list[Job]:
        """Take back what has not been started."""
        jobs: list[Job] = []
        while True:
            try:
                job = self._first.popleft() if self._first else self._jobs.get_nowait()
            except Empty:
                return jobs
            if isinstance(job, Job):
                jobs.append(job)

    def close(self) -> None:
        """Let the threads end after what is queued; they are not waited for."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            while (urgent := self._next_urgent()) is not None:
                self._do(urgent)
            if isinstance(job, Job):
                self._do(job)

    def _next_urgent(self) -> Job | None:
        try:
            return self._first.popleft()
        except IndexError:
            return None

    def _do(self, job: Job) -> None:
        self._busy.add((job.id, job.attempt))
        if self._jobs.qsize() <= self.low_water:
            self._wake.set()
        result = attempt(self._compute, job, self._said)
        if result.halt and self.halted is None:
            self.halted = result
            self._wake.set()
        self._busy.discard((job.id, job.attempt))
        self._deliver(result)
