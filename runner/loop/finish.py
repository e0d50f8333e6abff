"""One group of results to the database; what it refuses is narrowed down to the rows to blame."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import psycopg

from runner.database import failures
from runner.database.files import statement
from runner.database.session import Session
from runner.errors import BackfillError
from runner.loop.model import Outcome, Verdict, outcome

log = logging.getLogger(__name__)

OnBatch = Callable[[Mapping[str, Any]], None]
"""Takes what `backfill.finish` returned for a group."""

RACES = 3
"""Times a group is tried when it loses a race before its rows are tried one by one."""

BLOCKED_IN_A_ROW = 3
"""Locked rows one after another at which it is the table that is locked, and all wait."""

REFUSED_IN_A_ROW = 20
"""Rows refused one after another for what no row can help, after which they are not blamed."""

_QUERY = re.compile(r"(https?://[^\s?'\"]*)\?[^\s'\"]*", re.IGNORECASE)

# The row's data don't fit the application's table: the same again can't succeed.
_PERMANENT = ("22", "23")


class Finisher:
    """Finishes groups of results of one task through one session.

    `on_batch` is told what each group came to, once it is committed.
    """

    def __init__(self, session: Session, task: str, on_batch: OnBatch | None = None) -> None:
        self._session = session
        self._on_batch = on_batch
        self._task = task
        self._refused = 0

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def abort(self) -> None:
        """Cancel what is being sent; called by another thread."""
        self._session.abort()

    def finish(self, results: list[Outcome]) -> list[Outcome]:
        """Finish a group of one runner's results; those that must wait for a locked row.

        Where the apply function refuses the group, the row to blame is found and fails alone.
        Raises `BackfillError` and `psycopg.Error` for what is no row's fault.
        """
        error = self._try(results)
        if error is None:
            return []
        if not failures.is_transient(error):
            return self._narrow_down(results, error)
        return results if len(results) == 1 else self._one_by_one(results)

    def _try(self, results: list[Outcome]) -> psycopg.Error | None:
        """Send a group; what it failed with, a lost race after some more tries."""
        for tries in range(1, RACES + 1):
            try:
                self._call(results)
            except psycopg.Error as error:
                if self._session.aborted:
                    raise
                # a lock timeout has waited already
                waited = isinstance(error, psycopg.errors.LockNotAvailable)
                if tries == RACES or waited or not failures.is_transient(error):
                    return error
            else:
                return None
        return None

    def _call(self, results: list[Outcome]) -> None:
        reconnects = self._session.reconnects
        (done,) = self._session.execute(
            statement("finish"),
            {
                "runner": results[0].job.runner,
                "results": f"[{','.join(r.payload for r in results)}]",
            },
            once=True,
        )
        if done["ok"]:
            self._refused = 0
        if self._on_batch is not None:
            self._on_batch(done)
        # After a lost reply the first try may have done it all.
        if done["accepted"] < len(results) and self._session.reconnects == reconnects:
            log.warning(
                "%d of %d results dropped: their jobs had been given to others",
                len(results) - done["accepted"],
                len(results),
            )
        if log.isEnabledFor(logging.DEBUG):
            for result in results:
                why = f": {result.message}" if result.message else ""
                log.debug("%s %s%s", result.kind, result.job.key, why)

    def _narrow_down(self, results: list[Outcome], error: psycopg.Error) -> list[Outcome]:
        if len(results) > 1:
            middle = len(results) // 2
            return self.finish(results[:middle]) + self.finish(results[middle:])
        if isinstance(error, failures.NOT_OF_A_ROW):
            self._refused += 1
            if self._refused >= REFUSED_IN_A_ROW:
                raise BackfillError(
                    f"backfill.apply_{self._task} can't write any row: "
                    f"{failures.first_line(error)}; mend it or its rights, then run again"
                ) from error
        refused = [_refused(results[0], error)]
        again = self._try(refused)
        if again is not None and not failures.is_transient(again):
            raise again
        return [] if again is None else refused

    def _one_by_one(self, results: list[Outcome]) -> list[Outcome]:
        """Finish what is not locked, so that one locked row doesn't hold up its neighbours."""
        waiting: list[Outcome] = []
        in_a_row = 0
        for place, result in enumerate(results):
            left = self.finish([result])
            waiting += left
            in_a_row = in_a_row + 1 if left else 0
            if in_a_row == BLOCKED_IN_A_ROW:
                return waiting + results[place + 1 :]
        return waiting


def _refused(result: Outcome, error: psycopg.Error) -> Outcome:
    """The outcome of a job whose result the apply function would not take."""
    state = error.sqlstate or "unknown"
    # a broken constraint's detail repeats the row
    detail = None if state.startswith("23") else error.diag.message_detail
    said = failures.first_line(error) + (f" ({detail})" if detail else "")
    verdict = Verdict(
        "failed" if state.startswith(_PERMANENT) else "retry",
        error_class=f"apply_{state}",
        message=_QUERY.sub(r"\1?***", f"the result could not be written: {said}"),
        spend_usd=result.spend_usd,
        effects=result.effects,
    )
    return outcome(result.job, verdict, 0)
