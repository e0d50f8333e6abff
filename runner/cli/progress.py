"""A run's progress while it runs: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
from collections import deque
from typing import Any, Self

import psycopg

from runner.cli.common import Settings
from runner.cli.run_options import RunOptions
from runner.database import failures
from runner.database.session import Session
from runner.errors import BackfillError
from runner.redaction import printable
from runner.units import duration

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
LINE_EVERY_S = 10.0
RATE_OVER_S = 30.0
JOIN_S = 2.0

_NUMBER = re.compile(r"\d+(\.\d+)?")


class Recent:
    """Rows a second over the last half minute, so that a pause long ago doesn't blur the ETA."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, done: int) -> float:
        """Take notice of how many are done; the rate, 0 where it isn't known yet."""
        now = time.monotonic()
        self._seen.append((now, done))
        while now - self._seen[0][0] > RATE_OVER_S:
            self._seen.popleft()
        then, before = self._seen[0]
        return (done - before) / (now - then) if now > then else 0.0


def share(run: dict[str, Any]) -> str:
    """`523/1,000 (52.3%)`; a total that is estimated has a tilde."""
    done, total = run["processed"], max(run["found"], run["processed"])
    percent = f" ({100 * done / total:.1f}%)" if total else ""
    return f"{done:,}/{'' if run['found_exact'] else '~'}{total:,}{percent}"


def numbers(run: dict[str, Any], rate: float) -> list[str]:
    """Outcomes, elapsed time, average time of a row, rows a second and time left."""
    done, total = run["processed"], max(run["found"], run["processed"])
    parts = [f"ok {run['ok']:,}"]
    others = ("nothing_found", "skipped", "failed")
    parts += [f"{name.replace('_', ' ')} {run[name]:,}" for name in others if run[name]]
    parts.append(f"elapsed {duration(run['elapsed'])}")
    if done:
        parts.append(f"avg {duration(run['busy_ms'] / done / 1000)}")
    if rate:
        parts.append(f"{rate:,.1f}/s")
        if total > done:
            parts.append(f"eta {duration(max(round((total - done) / rate), 1))}")
    return parts


class Display:
    """Shows a run's numbers from the database, in a thread and session of its own.

    Nothing where the summary is to be JSON; logged as lines where there is no terminal.
    """

    def __init__(
        self, conninfo: str, run: int, task: str, options: RunOptions, output: Settings
    ) -> None:
        self._run = run
        self._task = task
        self._stop = threading.Event()
        self._session = Session(
            conninfo,
            name=f"backfill progress {run}",
            patience=options.patience,
            stop=self._stop,
            persistent=True,
        )
        self._recent = Recent()
        terminal = sys.stderr is not None and sys.stderr.isatty()
        live = terminal and output.log_format == "text"
        show = self._live if live else self._lines
        self._thread = None
        if not options.json:
            self._thread = threading.Thread(
                target=self._work, args=(show,), name="progress", daemon=True
            )

    def __enter__(self) -> Self:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)

    def _work(self, show: Any) -> None:
        try:
            show()
        except (psycopg.Error, BackfillError) as error:
            if not self._stop.is_set():
                log.warning("progress is no longer shown: %s", failures.first_line(error))
        finally:
            self._session.close()

    def _read(self) -> tuple[dict[str, Any], list[str], str | None]:
        """The run, its numbers in words, and why nothing moves."""
        run = self._session.one("run", run=self._run)
        note = self._session.one("progress", task=self._task)["wait_reason"]
        if not run["processes"] or run["status"] == "ended":
            note = None
        rate = self._recent.note(run["processed"])
        # while nothing moves, how long it would take is anybody's guess
        return run, numbers(run, 0.0 if note else rate), printable(note) if note else None

    def _live(self) -> None:
        # Imported late: it is a sixth of what a process has to import, and most have no terminal.
        from runner.cli.bar import Bar

        with Bar(self._task) as shown:
            while not self._stop.is_set():
                run, words, note = self._read()
                total = max(run["found"], run["processed"])
                below = ["  ".join(words), *([note] if note else [])]
                shown.show(run["processed"], total, share(run), below)
                self._stop.wait(LOOK_EVERY_S)

    def _lines(self) -> None:
        last, said = time.monotonic(), None
        while not self._stop.wait(LOOK_EVERY_S):
            run, words, note = self._read()
            # what is waited for counts down, which is no news
            kind = _NUMBER.sub("", note) if note else None
            if time.monotonic() - last >= LINE_EVERY_S or (kind and kind != said):
                last, said = time.monotonic(), kind
                parts = [share(run), *words, *([note] if note else [])]
                log.info("%s: %s", self._task, " | ".join(parts))
