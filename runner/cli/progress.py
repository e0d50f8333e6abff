"""A run's progress while it runs: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import psycopg
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from runner.cli.output import duration
from runner.database import failures
from runner.database.session import Session
from runner.errors import BackfillError

TERMINAL_EVERY_S = 0.5
LINE_EVERY_S = 10.0


def line(run: dict[str, Any]) -> str:
    """One line of a run's numbers: done of total, outcomes, elapsed, average, time left."""
    done, total = run["processed"], max(run["found"], run["processed"])
    percent = f" ({100 * done / total:.1f}%)" if total else ""
    elapsed = run["elapsed"].total_seconds()
    about = "" if run["found_exact"] else "~"
    parts = [f"{done}/{about}{total}{percent}", f"ok {run['ok']}"]
    parts += [
        f"{name.replace('_', ' ')} {run[name]}"
        for name in ("nothing_found", "skipped", "failed")
        if run[name]
    ]
    parts.append(f"elapsed {duration(elapsed)}")
    if done:
        parts.append(f"avg {run['busy_ms'] / done:.0f}ms")
        parts.append(f"{done / elapsed:.1f}/s")
        if run["status"] != "ended" and total > done:
            parts.append(f"eta {duration((total - done) * elapsed / done)}")
    return " | ".join(parts)


class Display:
    """Shows a run's numbers from the database until closed, in a thread and session of its own."""

    def __init__(self, conninfo: str, run: int, task: str, *, quiet: bool) -> None:
        self._run = run
        self._task = task
        self._stop = threading.Event()
        self._session = Session(conninfo, name=f"backfill progress {run}", stop=self._stop)
        self._console = Console(stderr=True)
        self._thread: threading.Thread | None = None
        if not quiet:
            self._thread = threading.Thread(target=self._work, name="progress", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop showing."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        try:
            if self._console.is_terminal:
                self._bar()
            else:
                self._lines()
        except (psycopg.Error, BackfillError) as error:
            if not self._stop.is_set():
                print(f"progress display ended: {failures.first_line(error)}", file=sys.stderr)
        finally:
            self._session.close()

    def _read(self) -> dict[str, Any]:
        run = self._session.one("run", run=self._run)
        progress = self._session.one("progress", task=self._task)
        # before the first process has joined there is nothing to explain yet
        if progress["wait_reason"] and progress["processes"] and run["status"] != "ended":
            run["note"] = progress["wait_reason"]
        return run

    def _bar(self) -> None:
        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[line]}"),
        )
        with Progress(*columns, console=self._console, transient=True) as bar:
            shown = bar.add_task(self._task, total=None, line="starting")
            while not self._stop.is_set():
                run = self._read()
                bar.update(
                    shown,
                    completed=run["processed"],
                    total=max(run["found"], run["processed"], 1),
                    line=line(run) + (f" | {run['note']}" if "note" in run else ""),
                )
                self._stop.wait(TERMINAL_EVERY_S)

    def _lines(self) -> None:
        last, said = time.monotonic(), None
        while not self._stop.wait(TERMINAL_EVERY_S):
            run = self._read()
            note = run.get("note")
            if time.monotonic() - last >= LINE_EVERY_S or (note and note.split(":")[0] != said):
                last, said = time.monotonic(), note.split(":")[0] if note else None
                print(
                    f"{self._task}: {line(run)}" + (f" | {note}" if note else ""),
                    file=sys.stderr,
                    flush=True,
                )
