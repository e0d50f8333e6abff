"""Waiting for a server that went away, and saying so once a process."""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass, field

import psycopg

from runner.database import failures
from runner.errors import DatabaseUnreachable

log = logging.getLogger(__name__)

PAUSE_S = (0.01, 1.0)
"""Shortest and longest pause before another try, doubled with each one."""

CUTS = 3
"""Times that a statement's connection is cut before that is worth a word."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a session waits for a server that went away.

    `seconds` at most, or `grace` once `stop` is set. A session waits for its first connection only
    if it is `persistent`: a wrong address should be told at once, not after minutes.
    """

    seconds: float = 300.0
    stop: threading.Event = field(default_factory=threading.Event)
    grace: float = 0.0
    persistent: bool = False


class _Notice:
    """Tells that a server can't be used, and that it can again, not once for each connection."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._down: set[str] = set()

    def down(self, target: str, why: str, seconds: float) -> None:
        with self._lock:
            if target in self._down:
                return
            self._down.add(target)
        log.warning(
            "the database %s can't be used now (%s); waiting for it, for up to %.0f s",
            target,
            why,
            seconds,
        )

    def up(self, target: str) -> None:
        with self._lock:
            if target not in self._down:
                return
            self._down.remove(target)
        log.warning("the database %s is back; going on", target)


_notice = _Notice()


class Wait:
    """One statement's waiting, over as many tries as it takes."""

    def __init__(self, target: str, patience: Patience) -> None:
        self._target = target
        self._patience = patience
        self._pause = PAUSE_S[0]
        self._began: float | None = None
        self._stopped: float | None = None
        self._tries = 0

    def for_another_try(self) -> None:
        """Pause after a lost race, a little longer each time."""
        self._sleep()

    def for_server(self, error: psycopg.Error, *, connected_before: bool, down: bool) -> None:
        """Pause until the server may be back; `DatabaseUnreachable` where that is in vain."""
        now = time.monotonic()
        if self._began is None:
            self._began = now
        patience = self._patience
        seconds = patience.seconds
        if patience.stop.is_set():
            self._stopped = now if self._stopped is None else self._stopped
            seconds = min(seconds, self._stopped - self._began + patience.grace)
        hopeful = connected_before or patience.persistent
        if not hopeful or failures.refused_for_good(error) or now - self._began >= seconds:
            raise failures.unreachable(error, self._target, now - self._began) from error
        # A connection that was only cut is no outage.
        if down or self._tries >= CUTS:
            _notice.down(self._target, failures.reason(error), seconds)
        else:
            log.debug("lost the connection to %s: %s", self._target, failures.reason(error))
        self._tries += 1
        self._sleep()

    def over(self) -> None:
        """The statement went through."""
        if self._began is not None:
            _notice.up(self._target)

    def _sleep(self) -> None:
        seconds = self._pause * (0.5 + random.random() / 2)
        self._pause = min(self._pause * 2, PAUSE_S[1])
        if self._patience.stop.is_set():
            time.sleep(seconds)
        else:
            self._patience.stop.wait(seconds)


def cause(error: psycopg.Error | DatabaseUnreachable) -> psycopg.Error | None:
    """The driver's error, where waiting for the server may mend it."""
    found = error.__cause__ if isinstance(error, DatabaseUnreachable) else error
    if isinstance(found, psycopg.Error) and (
        failures.is_connection_lost(found) or failures.is_trouble(found)
    ):
        return found
    return None
