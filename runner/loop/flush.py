"""The thread that finishes jobs: results go to the database in groups, by count or by age."""

from __future__ import annotations

import logging
import threading
import time

import psycopg

from runner.database import failures
from runner.database.session import Session
from runner.errors import BackfillError
from runner.loop.model import Job, Outcome, Verdict, outcome

log = logging.getLogger(__name__)

MAX_AGE_S = 0.25
"""Longest time that a result waits for others to be finished with."""

# The row's data don't fit the application's table: the same again can't succeed.
_PERMANENT = ("22", "23")


class Flusher:
    """Collects outcomes and finishes them in groups of about `group` on a session of its own.

    `held` is the process's map of jobs it holds; what is finished leaves it. `wake` is set after
    each group. After `close()` everything delivered has been sent; an error that can't be helped
    is in `fatal`.
    """

    def __init__(
        self, session: Session, held: dict[int, Job], group: int, wake: threading.Event
    ) -> None:
        self._session = session
        self._held = held
        self.group = group
        self._wake = wake
        self._ready = threading.Event()
        self._pending: list[Outcome] = []
        self._lock = threading.Lock()
        self._closing = False
        self.delivered = 0
        self.fatal: BackfillError | None = None
        self._thread = threading.Thread(target=self._work, name="flush", daemon=True)
        self._thread.start()

    def deliver(self, result: Outcome) -> None:
        """Take an outcome; called by the computing threads."""
        with self._lock:
            self._pending.append(result)
            self.delivered += 1
            count = len(self._pending)
        # the first starts the clock; a full group, or everything that is held, goes at once
        if count == 1 or count >= self.group or count >= len(self._held):
            self._ready.set()

    def close(self) -> None:
        """Send what there is and end the thread."""
        self._closing = True
        self._ready.set()
        self._thread.join()

    def _work(self) -> None:
        try:
            while True:
                self._ready.wait()
                self._ready.clear()
                self._let_others_join()
                with self._lock:
                    batch, self._pending = self._pending, []
                if batch:
                    self._send(batch)
                    self._wake.set()
                elif self._closing:
                    return
                if self._closing or self._pending:
                    self._ready.set()
        except BackfillError as error:
            self.fatal = error
        except psycopg.Error as error:
            self.fatal = failures.explain(error)
        finally:
            self._wake.set()
            self._session.close()

    def _let_others_join(self) -> None:
        deadline = time.monotonic() + MAX_AGE_S
        while not self._closing:
            with self._lock:
                count = len(self._pending)
            left = deadline - time.monotonic()
            if count == 0 or count >= self.group or count >= len(self._held) or left <= 0:
                return
            self._ready.wait(left)
            self._ready.clear()

    def _send(self, batch: list[Outcome]) -> None:
        by_runner: dict[int, list[Outcome]] = {}
        for result in batch:
            by_runner.setdefault(result.job.runner, []).append(result)
        for runner, results in by_runner.items():
            for start in range(0, len(results), self.group):
                self._finish(runner, results[start : start + self.group])
        for result in batch:
            held = self._held.get(result.job.id)
            if held is not None and held.runner == result.job.runner:
                del self._held[result.job.id]

    def _finish(self, runner: int, results: list[Outcome]) -> None:
        """Finish a group; where the apply function refuses it, find the row that is to blame."""
        try:
            done = self._session.one(
                "finish", runner=runner, results=f"[{','.join(r.payload for r in results)}]"
            )
        except psycopg.Error as error:
            if len(results) > 1:
                middle = len(results) // 2
                self._finish(runner, results[:middle])
                self._finish(runner, results[middle:])
            elif results[0].error_class and results[0].error_class.startswith("apply_"):
                raise
            else:
                self._finish(runner, [_refused(results[0], error)])
            return
        if done["accepted"] < len(results):
            log.warning(
                "%d of %d results dropped: their jobs had been given to others",
                len(results) - done["accepted"],
                len(results),
            )
        if log.isEnabledFor(logging.DEBUG):
            for result in results:
                log.debug(
                    "%s %s%s",
                    result.kind,
                    result.job.key,
                    f": {result.message}" if result.message else "",
                )


def _refused(result: Outcome, error: psycopg.Error) -> Outcome:
    """The outcome of a job whose result the apply function would not take."""
    state = error.sqlstate or "unknown"
    verdict = Verdict(
        "failed" if state.startswith(_PERMANENT) else "retry",
        error_class=f"apply_{state}",
        message=f"the result could not be written: {failures.first_line(error)}",
    )
    return outcome(result.job, verdict, 0)
