"""The command after a batch: run beside the work, for all batches since it ran last."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from runner.hooks.commands import Commands
from runner.hooks.execute import execute
from runner.hooks.moments import said, variables

log = logging.getLogger(__name__)

COUNTS = ("accepted", "ok", "nothing_found", "skipped", "failed", "retried")


class BatchCommand:
    """Runs the command after batches of one process, one at a time, on a thread of its own.

    Work never waits for it: batches that end while it runs are one message when it is done.
    """

    def __init__(self, command: tuple[str, ...], timeout: float, task: str, run: int) -> None:
        self._command = command
        self._timeout = timeout
        self._task = task
        self._run = run
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._counts: Counter[str] = Counter()
        self._wrong: str | None = None
        self._thread = threading.Thread(target=self._work, name="after-batch", daemon=True)
        self._thread.start()

    def note(self, done: Mapping[str, Any]) -> None:
        """A batch is committed: what `finish` returned for it."""
        if not done["accepted"]:
            return
        with self._lock:
            self._counts["batches"] += 1
            self._counts.update({name: int(done[name]) for name in COUNTS})
        self._wake.set()

    def close(self) -> None:
        """Tell of the last batches and end."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _work(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            closing = self._closing
            with self._lock:
                counts, self._counts = self._counts, Counter()
            if counts:
                self._tell(counts)
            if closing:
                return

    def _tell(self, counts: Counter[str]) -> None:
        data = {"task": self._task, "run": self._run, "batches": counts["batches"]}
        data |= {"rows": counts["accepted"]} | {name: counts[name] for name in COUNTS[1:]}
        message = {
            "type": "batch.finished",
            "timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z",
            "data": data,
        }
        wrong = execute(
            self._command,
            json.dumps(message).encode() + b"\n",
            variables(self._task, self._run, "after_batch"),
            self._timeout,
        )
        # what goes wrong each time is told once
        if wrong is not None and wrong != self._wrong:
            log.warning("%s: %s", said(self._command, "after-batch"), wrong)
        self._wrong = wrong


@contextmanager
def batch_command(
    commands: Commands, task: str, run: int
) -> Iterator[Callable[[Mapping[str, Any]], None] | None]:
    """What is to be told of each batch in the block, if anything is; its last words at the end."""
    if commands.after_batch is None:
        yield None
        return
    running = BatchCommand(commands.after_batch, commands.timeout, task, run)
    try:
        yield running.note
    finally:
        running.close()
