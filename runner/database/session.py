"""One connection that outlives the server's restarts.

Every statement that the runner sends is one call of a function in schema `backfill`, in a
transaction of its own, and either fenced or harmless when done twice. So a lost connection is
met by a new one and the same statement again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from runner.database import failures, outage, times
from runner.database.conninfo import describe, with_application_name
from runner.database.files import statement
from runner.database.outage import Patience
from runner.errors import DatabaseUnreachable

log = logging.getLogger(__name__)

Connection = psycopg.Connection[dict[str, Any]]

PATIENCE_S = 300.0
CANCEL_S = 5.0
LOST_TIMES = 3
"""Times that a statement is sent before it, and not chance, is blamed for lost connections."""

_DEFAULTS = {
    "connect_timeout": "10",
    # A server whose host vanished says nothing; noticed within about a minute instead of hours.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}


def connect(conninfo: str, *, name: str, autocommit: bool = True) -> Connection:
    """A connection that works behind a transaction pooler too: no prepared statements.

    Raises `DatabaseUnreachable`.
    """
    given = conninfo_to_dict(conninfo)
    defaults: dict[str, Any] = {k: v for k, v in _DEFAULTS.items() if k not in given}
    try:
        connection = psycopg.connect(
            with_application_name(conninfo, name),
            autocommit=autocommit,
            prepare_threshold=None,
            row_factory=dict_row,
            **defaults,
        )
    except psycopg.OperationalError as error:
        raise failures.unreachable(error, describe(conninfo)) from error
    times.read_all(connection)
    return connection


def is_direct(connection: Connection) -> bool:
    """Whether the connection's server session is its own.

    A pooler hands out a cancellation key of its own making, so the process id that the client was
    told differs from the one that the server knows itself by.
    """
    row = connection.execute("select pg_backend_pid() as pid").fetchone()
    return row is not None and bool(row["pid"] == connection.info.backend_pid)


class Session:
    """A connection, opened at its first use, that waits for a server that went away.

    It waits for `patience` seconds before it gives up with `DatabaseUnreachable`, or for `grace`
    seconds once `stop` is set. It waits for its first connection, too, if it is `persistent`.
    `on_open` runs on each new connection. Not thread-safe: one session a thread.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        name: str,
        patience: float = PATIENCE_S,
        stop: threading.Event | None = None,
        grace: float = 0.0,
        persistent: bool = False,
        on_open: Callable[[Connection], None] | None = None,
    ) -> None:
        self._conninfo = conninfo
        self._target = describe(conninfo)
        self._name = name
        self._patience = Patience(patience, stop or threading.Event(), grace, persistent)
        self._on_open = on_open
        self._connection: Connection | None = None
        self._connected_before = False
        self.aborted = False
        self.reconnects = 0

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; a later use opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def direct(self) -> bool:
        """Whether the server session is this connection's own; see `is_direct`."""
        (row,) = self.execute("select pg_backend_pid() as pid")
        return self._connection is not None and row["pid"] == self._connection.info.backend_pid

    def abort(self) -> None:
        """End whatever another thread does with this session; it raises what came of it."""
        self.aborted = True
        connection = self._connection
        if connection is None or connection.closed:
            return
        try:
            connection.cancel_safe(timeout=CANCEL_S)
        except psycopg.Error as error:
            log.debug("%s: could not cancel: %s", self._name, failures.first_line(error))

    def call(self, name: str, /, **parameters: Any) -> list[dict[str, Any]]:
        """Run the statement in `sql/runtime/<name>.sql`; the rows it returns.

        Raises `psycopg.Error` for what trying again can't mend, `DatabaseUnreachable` after
        `patience` without a server.
        """
        return self.execute(statement(name), parameters)

    def one(self, name: str, /, **parameters: Any) -> dict[str, Any]:
        """Run a statement that returns exactly one row; that row."""
        (row,) = self.call(name, **parameters)
        return row

    def execute(
        self,
        query: str,
        parameters: Mapping[str, Any] | Sequence[Any] | None = None,
        *,
        once: bool = False,
        timeout_ms: int | None = None,
    ) -> list[dict[str, Any]]:
        """Run one statement in a transaction of its own, again after a lost race or connection.

        With `timeout_ms` the server cancels it after that long. With `once` these are the caller's:
        a lost race (serialization failure, deadlock, lock timeout), and a statement that loses its
        connection each time it is sent.
        """
        wait = outage.Wait(self._target, self._patience)
        sent = 0
        while True:
            try:
                connection = self._opened()
                sent += 1
                rows = _send(connection, query, parameters, timeout_ms)
            except (psycopg.Error, DatabaseUnreachable) as error:
                if self.aborted or (once and sent >= LOST_TIMES):
                    raise
                self._recover(error, wait, once=once)
            else:
                wait.over()
                return rows

    def _recover(
        self, error: psycopg.Error | DatabaseUnreachable, wait: outage.Wait, *, once: bool
    ) -> None:
        """Return once it is time for another try; raise where there is none to be had."""
        if isinstance(error, psycopg.Error) and failures.is_transient(error) and not once:
            log.debug("%s: %s, trying again", self._name, failures.first_line(error))
            wait.for_another_try()
            return
        cause = outage.cause(error)
        # What a caller's own condition tried to write is no sign of a server in recovery.
        if cause is None or (failures.is_trouble(cause) and not self._patience.persistent):
            raise error
        if self._connection is not None:
            self._connection.close()
        down = cause is not error or failures.is_trouble(cause)
        wait.for_server(cause, connected_before=self._connected_before, down=down)

    def _opened(self) -> Connection:
        if self._connection is None or self._connection.closed:
            if self._connected_before:
                self.reconnects += 1
            connection = connect(self._conninfo, name=self._name)
            self._connection = connection
            self._connected_before = True
            if self._on_open is not None:
                try:
                    self._on_open(connection)
                except BaseException:
                    connection.close()
                    raise
        return self._connection


def _send(
    connection: Connection,
    query: str,
    parameters: Mapping[str, Any] | Sequence[Any] | None,
    timeout_ms: int | None,
) -> list[dict[str, Any]]:
    if timeout_ms is None:
        cursor = connection.execute(query, parameters)
        return cursor.fetchall() if cursor.description else []
    # a setting of the transaction, since a pooler would hand one of the session to somebody else
    with connection.transaction():
        connection.execute(statement("timeout"), {"milliseconds": str(timeout_ms)})
        return _send(connection, query, parameters, None)
