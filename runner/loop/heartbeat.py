"""The thread of a runner's heartbeats, on a connection of its own.

On a direct connection it also holds the session lock that vanishes with the process. It looks for
runners that died, too: every live process does, so nobody in particular has to.
"""

from __future__ import annotations

import logging
import threading

import psycopg

from runner.database import failures
from runner.database.files import statement
from runner.database.session import Connection, Session, is_direct
from runner.errors import BackfillError

log = logging.getLogger(__name__)

BEAT_S = 1.0
RESCUE_EVERY = 2
"""Every how many beats a process looks for dead ones."""


class Heartbeat:
    """Beats for one runner until `close()`; `lost` is set when it was presumed dead."""

    def __init__(self, conninfo: str, name: str, runner: int, wake: threading.Event) -> None:
        self._runner = runner
        self._wake = wake
        self._stop = threading.Event()
        self.note: str | None = None
        self.lost = threading.Event()
        self.fatal: BackfillError | None = None
        self._session = Session(
            conninfo, name=f"{name} heartbeat", stop=self._stop, on_open=self._mark
        )
        self._thread = threading.Thread(target=self._work, name="heartbeat", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and let go of the lock."""
        self._stop.set()
        self._thread.join()

    def _mark(self, connection: Connection) -> None:
        if is_direct(connection):
            connection.execute(statement("mark_alive"), {"runner": self._runner})

    def _work(self) -> None:
        beats = 0
        try:
            while not self._stop.is_set() and not self.lost.is_set():
                self._beat()
                beats += 1
                if beats % RESCUE_EVERY == 0:
                    self._rescue()
                self._stop.wait(BEAT_S)
        except BackfillError as error:
            self._fail(error)
        except psycopg.Error as error:
            self._fail(failures.explain(error))
        finally:
            self._session.close()

    def _fail(self, error: BackfillError) -> None:
        # While stopping, a server that is gone is the main thread's to tell of.
        if not self._stop.is_set():
            self.fatal = error
            self._wake.set()

    def _beat(self) -> None:
        row = self._session.one("heartbeat", runner=self._runner, note=self.note)
        if row["status"] != "live" and not self._stop.is_set():
            self.lost.set()
            self._wake.set()

    def _rescue(self) -> None:
        for row in self._session.call("rescue"):
            log.warning(
                "runner %s died; its %s jobs are ready again", row["runner_id"], row["jobs"]
            )
            self._wake.set()
