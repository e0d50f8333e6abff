"""One connection that outlives the server's restarts.

Every statement that the runner sends is one call of a function in schema `backfill`, in a
transaction of its own, and either fenced or harmless when done twice. So a lost connection is
met by a new one and the same statement again.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import Any

import psycopg
from psycopg.rows import dict_row

from runner.database import failures
from runner.database.conninfo import describe, with_application_name
from runner.database.files import statement
from runner.errors import DatabaseUnreachable

log = logging.getLogger(__name__)

Connection = psycopg.Connection[dict[str, Any]]

RETRY_TRANSIENT_S = (0.01, 1.0)
"""Shortest and longest wait before a transaction that lost a race is tried again."""


def connect(conninfo: str, *, name: str, autocommit: bool = True) -> Connection:
    """A connection that works behind a transaction pooler too: no prepared statements.

    Raises `DatabaseUnreachable`.
    """
    try:
        return psycopg.connect(
            with_application_name(conninfo, name),
            autocommit=autocommit,
            prepare_threshold=None,
            row_factory=dict_row,
            connect_timeout=10,
        )
    except psycopg.OperationalError as error:
        raise failures.unreachable(error, describe(conninfo)) from error


def is_direct(connection: Connection) -> bool:
    """Whether the connection's server session is its own.

    A pooler hands out a cancellation key of its own making, so the process id that the client was
    told differs from the one that the server knows itself by.
    """
    row = connection.execute("select pg_backend_pid() as pid").fetchone()
    return row is not None and bool(row["pid"] == connection.info.backend_pid)


class Session:
    """A connection, opened at its first use, that waits for a server that went away.

    `patience` is how long in seconds it waits before it gives up with `DatabaseUnreachable`;
    `stop`, once set, ends the wait early. `on_open` runs on each new connection. Not thread-safe:
    one session a thread.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        name: str,
        patience: float = 300.0,
        stop: Event | None = None,
        on_open: Callable[[Connection], None] | None = None,
    ) -> None:
        self._conninfo = conninfo
        self._name = name
        self._patience = patience
        self._stop = stop or Event()
        self._on_open = on_open
        self._connection: Connection | None = None
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
        self, query: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None
    ) -> list[dict[str, Any]]:
        """Run one statement in a transaction of its own, again after a lost race or connection."""
        deadline: float | None = None
        pause = RETRY_TRANSIENT_S[0]
        while True:
            try:
                connection = self._opened()
                cursor = connection.execute(query, parameters)
                rows = cursor.fetchall() if cursor.description else []
            except (psycopg.Error, DatabaseUnreachable) as error:
                if isinstance(error, psycopg.Error) and failures.is_transient(error):
                    log.debug("%s: %s, trying again", self._name, failures.first_line(error))
                else:
                    deadline = self._wait_or_raise(error, deadline)
                self._stop.wait(pause * (0.5 + random.random() / 2))
                pause = min(pause * 2, RETRY_TRANSIENT_S[1])
            else:
                if deadline is not None:
                    log.warning("the database is back; going on")
                return rows

    def _opened(self) -> Connection:
        if self._connection is None or self._connection.closed:
            if self._connection is not None:
                self.reconnects += 1
            self._connection = connect(self._conninfo, name=self._name)
            if self._on_open is not None:
                self._on_open(self._connection)
        return self._connection

    def _wait_or_raise(
        self, error: psycopg.Error | DatabaseUnreachable, deadline: float | None
    ) -> float:
        cause = error.__cause__ if isinstance(error, DatabaseUnreachable) else error
        if not isinstance(cause, psycopg.Error) or not failures.is_connection_lost(cause):
            raise error
        fatal = isinstance(error, DatabaseUnreachable) and failures.refused_for_good(cause)
        now = time.monotonic()
        if self._connection is None or fatal or self._stop.is_set():
            # never connected: a wrong address should be told at once, not after minutes
            raise _as_unreachable(error, self._conninfo)
        if deadline is None:
            log.warning(
                "lost the database %s (%s); waiting for it up to %.0f s",
                describe(self._conninfo),
                failures.first_line(cause),
                self._patience,
            )
            deadline = now + self._patience
        if now >= deadline:
            raise _as_unreachable(error, self._conninfo)
        if not self._connection.closed:
            self._connection.close()
        return deadline


def _as_unreachable(
    error: psycopg.Error | DatabaseUnreachable, conninfo: str
) -> DatabaseUnreachable:
    if isinstance(error, DatabaseUnreachable):
        return error
    return failures.unreachable(error, describe(conninfo))
