"""The thread that hears of new rows while its process sleeps, on a connection of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import psycopg

from runner.database import failures
from runner.database.files import statement
from runner.database.hearing import heard, listens
from runner.database.session import Connection, connect
from runner.errors import DatabaseUnreachable

log = logging.getLogger(__name__)

CHANNEL = "backfill_arrival"
"""Where `backfill.wake` notifies."""

NAP_S = 0.5
"""Longest sleep; then the process is asked again whether it still sleeps."""

RECONNECT_S = 5.0
"""Pause before another connection, after one was lost."""


class Listener:
    """Calls `woken` when rows of the task arrive while the process sleeps, until `close()`.

    Whoever inserts notifies only while somebody sleeps; see `backfill.wake`. Where nothing is heard
    (a transaction pooler swallows it without an error) the thread ends; polling is what is left.
    """

    def __init__(self, conninfo: str, name: str, task: str, woken: Callable[[], None]) -> None:
        self._conninfo = conninfo
        self._name = f"{name} listen"
        self._task = task
        self._woken = woken
        self._stop = threading.Event()
        self._asleep = threading.Event()
        self.hears: bool | None = None
        """Whether it was proven to hear; None: not known yet."""
        self._thread = threading.Thread(target=self._work, name="listen", daemon=True)
        self._thread.start()

    def sleep(self) -> None:
        """The process has nothing to do for the next moment."""
        self._asleep.set()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._asleep.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.is_set() and self.hears is not False:
            try:
                with connect(self._conninfo, name=self._name) as connection:
                    self.hears = self._listens(connection)
                    while self.hears and not self._stop.is_set():
                        self._nap(connection)
            except (psycopg.Error, DatabaseUnreachable) as error:
                # polling goes on meanwhile, on a connection that tells of the outage
                log.debug("%s: %s", self._name, failures.first_line(error))
                self._stop.wait(RECONNECT_S)

    def _listens(self, connection: Connection) -> bool:
        if listens(connection, CHANNEL, statement("listen")):
            return True
        log.debug("%s: nothing is heard here; new rows are found by polling", self._name)
        return False

    def _nap(self, connection: Connection) -> None:
        self._asleep.wait()
        self._asleep.clear()
        if self._stop.is_set():
            return
        task = {"task": self._task}
        connection.execute(statement("sleep"), task)
        woken = heard(connection, self._task, NAP_S)
        connection.execute(statement("awake"), task)
        if woken:
            self._woken()
