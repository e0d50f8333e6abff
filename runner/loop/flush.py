"""The thread that finishes jobs: results go to the database in groups, by count or by age."""

from __future__ import annotations

import logging
import threading
import time

from runner.loop.finish import Finisher
from runner.loop.model import Job, Outcome

log = logging.getLogger(__name__)

MAX_AGE_S = 0.25
"""Longest time that a result waits for others to be finished with."""

GROUP_CHARACTERS = 8 * 1024 * 1024
"""Characters of JSON in one statement, unless a single result has more."""

AGAIN_S = 1.0
"""Pause before results whose rows were locked are tried again."""


class Flusher:
    """Collects outcomes and finishes them in groups of about `group` on a session of its own.

    `held` is the process's map of jobs it holds; what is finished leaves it. `wake` is set after
    each group. An error that can't be helped is in `fatal`.
    """

    def __init__(
        self, finisher: Finisher, held: dict[int, Job], group: int, wake: threading.Event
    ) -> None:
        self._finisher = finisher
        self._held = held
        self.group = group
        self._wake = wake
        self._ready = threading.Event()
        self._pending: list[Outcome] = []
        self._characters = 0
        self._lock = threading.Lock()
        self._closing = False
        self.delivered = 0
        self.blocked: list[Outcome] = []
        """Results whose rows somebody else has locked; they are tried again."""
        self._blocked_until = 0.0
        self._told = False
        self.fatal: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="flush", daemon=True)
        self._thread.start()

    def deliver(self, result: Outcome) -> None:
        """Take an outcome; called by the computing threads."""
        with self._lock:
            self._pending.append(result)
            self._characters += len(result.payload)
            self.delivered += 1
            first, full = len(self._pending) == 1, self._is_full()
        # the first starts the clock; a full group, or everything that is held, goes at once
        if first or full:
            self._ready.set()

    def close(self, seconds: float) -> None:
        """Send what there is and end the thread, after so many seconds by force."""
        self._closing = True
        self._ready.set()
        self._thread.join(seconds)
        while self._thread.is_alive():
            self._finisher.abort()
            self._thread.join(1.0)

    def _is_full(self) -> bool:
        count = len(self._pending)
        return (
            count >= self.group
            or count + len(self.blocked) >= len(self._held)
            or self._characters >= GROUP_CHARACTERS
        )

    def _work(self) -> None:
        try:
            while not (self._closing and not self._pending and not self.blocked):
                self._await_results()
                if batch := self._take():
                    self._send(batch)
                    self._wake.set()
        except Exception as error:  # noqa: BLE001 - the main thread raises it
            self.fatal = error
        finally:
            self._wake.set()
            self._finisher.close()

    def _await_results(self) -> None:
        """Return when there is a group to send, or the thread is to end."""
        if self._pending:
            oldest = time.monotonic()
        else:
            self._ready.wait(self._until_blocked())
            self._ready.clear()
            oldest = time.monotonic()
        while not self._closing:
            with self._lock:
                full, some = self._is_full(), bool(self._pending)
            left = oldest + MAX_AGE_S - time.monotonic()
            if not some or full or left <= 0:
                return
            self._ready.wait(left)
            self._ready.clear()
        if not self._pending and self.blocked:
            time.sleep(max(min(self._until_blocked() or 0.0, AGAIN_S), 0.0))

    def _until_blocked(self) -> float | None:
        return max(self._blocked_until - time.monotonic(), 0.0) if self.blocked else None

    def _take(self) -> list[Outcome]:
        with self._lock:
            batch, self._pending = self._pending, []
            self._characters = 0
        if self.blocked and time.monotonic() >= self._blocked_until:
            batch += self.blocked
            self.blocked = []
        return batch

    def _send(self, batch: list[Outcome]) -> None:
        blocked: list[Outcome] = []
        for group in _groups(batch, self.group):
            left = self._finisher.finish(group)
            blocked += left
            waiting = {id(result) for result in left}
            for result in group:
                held = self._held.get(result.job.id)
                if (
                    id(result) not in waiting
                    and held is not None
                    and held.runner == result.job.runner
                ):
                    del self._held[result.job.id]
        if blocked and not self._told:
            log.warning(
                "%d results wait for rows that another session has locked, such as %s",
                len(blocked),
                blocked[0].job.key,
            )
        self._told = bool(blocked)
        self.blocked += blocked
        self._blocked_until = time.monotonic() + AGAIN_S


def _groups(batch: list[Outcome], most: int) -> list[list[Outcome]]:
    """Groups for one statement each: of one runner, not too many, not too long."""
    groups: list[list[Outcome]] = []
    runner, characters = 0, 0
    for result in batch:
        size = len(result.payload)
        if (
            not groups
            or result.job.runner != runner
            or len(groups[-1]) >= most
            or characters + size > GROUP_CHARACTERS
        ):
            groups.append([])
            characters = 0
        runner = result.job.runner
        groups[-1].append(result)
        characters += size
    return groups
