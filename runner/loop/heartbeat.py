"""The thread of a runner's heartbeats, on a connection of its own.

On a direct connection it also holds the session lock that vanishes with the process. It looks for
runners that died, too: every live process does, so nobody in particular has to.
"""

from __future__ import annotations

import logging
import threading

import psycopg

from runner.database import failures
from runner.database.session import Connection, Session, is_direct

log = logging.getLogger(__name__)

BEAT_S = 1.0
RESCUE_EVERY = 2
"""Every how many beats a process looks for dead ones."""

SETTLE_BEATS = 6
"""Beats after a new connection before it looks again: a restarted server has forgotten all session
locks, and processes that are not back yet are not dead."""

RESCUE_GRACE = "3 seconds"
"""A process that has just joined has its lock by then."""


class Heartbeat:
    """Beats for one runner until `close()`; `lost` is set when it was presumed dead.

    `note` says what the process waits for. An error that can't be helped is in `fatal`.
    """

    def __init__(
        self, conninfo: str, name: str, runner: int, wake: threading.Event, patience: float
    ) -> None:
        self._runner = runner
        self._wake = wake
        self._stop = threading.Event()
        self.note: str | None = None
        self.lost = threading.Event()
        self.fatal: Exception | None = None
        self._direct = self._locked = False
        self._session = Session(
            conninfo,
            name=f"{name} heartbeat",
            patience=patience,
            stop=self._stop,
            persistent=True,
            on_open=self._look_at,
        )
        self._thread = threading.Thread(target=self._work, name="heartbeat", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and let go of the lock."""
        self._stop.set()
        self._thread.join()

    def _look_at(self, connection: Connection) -> None:
        self._direct, self._locked = is_direct(connection), False

    def _work(self) -> None:
        beats, settled, connection = 0, 0, 0
        try:
            while not self._stop.is_set() and not self.lost.is_set():
                self._beat()
                beats += 1
                if connection != self._session.reconnects:
                    connection, settled = self._session.reconnects, beats + SETTLE_BEATS
                # with the first beat, too: where processes die young, there may be no second
                if beats % RESCUE_EVERY == 1 and beats >= settled:
                    self._rescue()
                self._stop.wait(BEAT_S)
        except psycopg.Error as error:
            self._fail(failures.explain(error))
        except Exception as error:  # noqa: BLE001 - the main thread raises it
            self._fail(error)
        finally:
            self._session.close()

    def _fail(self, error: Exception) -> None:
        # While stopping, a server that is gone is the main thread's to tell of.
        if not self._stop.is_set():
            self.fatal = error
            self._wake.set()

    def _beat(self) -> None:
        row = self._session.one("heartbeat", runner=self._runner, note=self.note)
        if row["status"] != "live":
            if not self._stop.is_set():
                self.lost.set()
                self._wake.set()
        elif self._direct and not self._locked:
            # A session that was cut may be seen to hold the lock for a while yet.
            self._locked = self._session.one("mark_alive", runner=self._runner)["taken"]

    def _rescue(self) -> None:
        for row in self._session.call("rescue", grace=RESCUE_GRACE):
            log.warning(
                "runner %s died; its %s jobs are ready again", row["runner_id"], row["jobs"]
            )
            self._wake.set()
