"""A thread that hears what is notified, on a connection of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import psycopg
from psycopg import sql

from runner.database import failures
from runner.database.hearing import PROOF, listens
from runner.database.session import Connection, connect
from runner.errors import DatabaseUnreachable

log = logging.getLogger(__name__)

NAP_S = 1.0
"""How often the thread looks whether it is to end."""

RECONNECT_S = 1.0
"""Pause before another connection, after one was lost."""


class Ear:
    """Calls `heard` with the payload of each notification on a channel, until `close()`.

    Where nothing can be heard (a transaction pooler swallows it without an error) the thread ends;
    polling is what is left.
    """

    def __init__(
        self, conninfo: str, name: str, channel: str, heard: Callable[[str], None]
    ) -> None:
        self._conninfo = conninfo
        self._name = f"{name} listen"
        self._channel = channel
        self._heard = heard
        self._stop = threading.Event()
        self.hears: bool | None = None
        """Whether it was proven to hear; None: not known yet."""
        self._thread = threading.Thread(target=self._work, name="ear", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.is_set() and self.hears is not False:
            try:
                with connect(self._conninfo, name=self._name) as connection:
                    self.hears = self._listens(connection)
                    while self.hears and not self._stop.is_set():
                        for said in connection.notifies(timeout=NAP_S):
                            if not said.payload.startswith(PROOF):
                                self._heard(said.payload)
            except (psycopg.Error, DatabaseUnreachable) as error:
                # polling goes on meanwhile, on a connection that tells of the outage
                log.debug("%s: %s", self._name, failures.first_line(error))
                self._stop.wait(RECONNECT_S)

    def _listens(self, connection: Connection) -> bool:
        listen = sql.SQL("listen {}").format(sql.Identifier(self._channel))
        if listens(connection, self._channel, listen):
            return True
        log.info("nothing is notified through this connection; what is new is found by polling")
        return False
