"""The server's connections: each call is one transaction, under the role of whoever asks."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from runner.database import failures, times
from runner.database.conninfo import describe, with_application_name
from runner.database.files import statement
from runner.web.principal import Principal
from runner.web.problems import Problem

log = logging.getLogger(__name__)
# it tells each try to connect, in several lines
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)

NAME = "backfill serve"
LONGEST_MS = 30_000
"""For a statement; what takes longer is no answer to a request."""
LOCKED_MS = 3_000
"""For a lock: whoever holds one for longer must not keep every connection waiting."""
TRIES = 3
"""For a transaction that lost a race against another."""

_NOT_FOUND = {"BF001": "not_installed", "BF002": "not_found", "BF010": "not_found"}
_SERVER_GONE_DETAIL = "the database can't be reached; try again in a few seconds"

Row = dict[str, Any]
Connection = psycopg.Connection[Row]


class Calls:
    """Calls in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def call(self, name: str, /, **parameters: Any) -> list[Row]:
        """Run `sql/runtime/<name>.sql`; the rows it returns."""
        cursor = self._connection.execute(statement(name), parameters)
        return cursor.fetchall() if cursor.description else []

    def one(self, name: str, /, **parameters: Any) -> Row:
        """Run a statement that returns exactly one row; that row."""
        (row,) = self.call(name, **parameters)
        return row


class Database:
    """A small pool of connections that outlives the server's restarts; thread-safe.

    Every method raises `Problem`: forbidden where the database refuses, not_found, conflict or
    invalid where a function says so, unavailable where the server is gone or too slow.
    """

    def __init__(self, conninfo: str, *, connections: int = 8, patience_s: float = 3.0) -> None:
        self.target = describe(conninfo)
        self._patience_s = patience_s
        self._down = False
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            with_application_name(conninfo, NAME),
            min_size=1,
            max_size=max(connections, 1),
            open=False,
            timeout=patience_s,
            # each wait is short, so that the first request after an outage finds a connection
            reconnect_timeout=2.0,
            max_idle=60.0,
            check=ConnectionPool.check_connection,
            name=NAME,
            connection_class=psycopg.Connection[Row],
            configure=times.read_all,
            kwargs={
                # no prepared statements: a transaction pooler needs no setting then
                "prepare_threshold": None,
                "row_factory": dict_row,
                "connect_timeout": "5",
                "keepalives_idle": "30",
                "tcp_user_timeout": "30000",
            },
        )

    def open(self) -> None:
        """Begin to connect; doesn't wait for the server."""
        self._pool.open(wait=False)

    def close(self) -> None:
        """Give every connection back."""
        self._pool.close(timeout=self._patience_s)

    def call(
        self,
        principal: Principal | None,
        name: str,
        /,
        *,
        read_only: bool = False,
        **parameters: Any,
    ) -> list[Row]:
        """Run one statement in a transaction of its own; see `transaction`.

        Raises `Problem`. A transaction that lost a race is tried again.
        """
        tries = TRIES
        while True:
            tries -= 1
            try:
                with self._transaction(principal, read_only) as calls:
                    return calls.call(name, **parameters)
            except psycopg.Error as error:
                waited = isinstance(error, errors.LockNotAvailable)
                if waited or not failures.is_transient(error) or not tries:
                    raise problem_of(error, principal) from error

    @contextmanager
    def transaction(
        self, principal: Principal | None, /, *, read_only: bool = False
    ) -> Iterator[Calls]:
        """Several statements in one transaction, which is committed at the block's end.

        They run under the principal's PostgreSQL role, and the audit has its token's name; with
        None they run with the rights of the server's login. Where it is `read_only`, the database
        itself refuses to change anything. Raises `Problem`.
        """
        try:
            with self._transaction(principal, read_only) as calls:
                yield calls
        except psycopg.Error as error:
            raise problem_of(error, principal) from error

    @contextmanager
    def _transaction(self, principal: Principal | None, read_only: bool) -> Iterator[Calls]:
        try:
            with self._pool.connection() as connection, connection.transaction():
                # as settings of the transaction, since a pooler hands the session to others
                connection.execute(
                    statement("web_act_as"),
                    {
                        "pg_role": "none" if principal is None else principal.pg_role,
                        "token": "" if principal is None else principal.name,
                        "read_only": "on" if read_only else "off",
                        "timeout": str(LONGEST_MS),
                        "lock_timeout": str(LOCKED_MS),
                    },
                )
                self._tell(down=False)
                yield Calls(connection)
        except (PoolTimeout, PoolClosed) as error:
            self._tell(down=True)
            raise _unavailable(_SERVER_GONE_DETAIL) from error

    def _tell(self, *, down: bool) -> None:
        """Say once that there is no connection to be had, and once that there is one again."""
        if down == self._down:
            return
        self._down = down
        if down:
            log.warning(
                "no connection to the database %s; requests are answered with 503", self.target
            )
        else:
            log.warning("the database %s can be used again", self.target)


def problem_of(error: psycopg.Error, principal: Principal | None) -> Problem:
    """The answer for a database error in a transaction of the principal's."""
    state, words = error.sqlstate or "", failures.first_line(error)
    if failures.is_connection_lost(error) or failures.is_trouble(error):
        return _unavailable(_SERVER_GONE_DETAIL)
    if isinstance(error, errors.QueryCanceled):
        return _unavailable(f"the database took longer than {LONGEST_MS // 1000} s for it")
    if failures.is_transient(error):
        return _unavailable("somebody else is changing the same thing; try again")
    if isinstance(error, errors.InsufficientPrivilege):
        if principal is None or _may_not_act_as(words):
            log.error(
                "the server's login lacks a right: %s; make it a member of backfill_server", words
            )
            return _unavailable("the server's login lacks rights in the database; see its log")
        return Problem("forbidden", f"the database refused: {words}")
    if isinstance(
        error, (errors.UndefinedTable, errors.UndefinedFunction, errors.InvalidSchemaName)
    ):
        log.error("%s", failures.explain(error))
        return _unavailable("pgbackfill is not installed in this database, or an older one")
    if state.startswith("BF"):
        return _of_function(error, state, words)
    if isinstance(error, (errors.CheckViolation, errors.DataError)):
        return Problem("invalid", words, errors=[_blamed(error, words)])
    if isinstance(error, errors.IntegrityError):
        return Problem("conflict", words)
    log.error("unexpected database error %s: %s", state, words)
    return Problem("internal", "the database reported an error that was not expected")


def _may_not_act_as(words: str) -> bool:
    return "permission denied to set role" in words


LIVE_RUN = "BF011"
KEY_REUSED = "BF012"


def _of_function(error: psycopg.Error, state: str, words: str) -> Problem:
    if state == LIVE_RUN:
        found = re.search(r"\d+", error.diag.message_detail or "")
        more: dict[str, Any] = {"run": int(found[0])} if found else {}
        return Problem("live_run", words, **more)
    if state == KEY_REUSED:
        return Problem("key_reused", words)
    if state in _NOT_FOUND:
        return Problem(_NOT_FOUND[state], words, sqlstate=state)
    return Problem("conflict", words, sqlstate=state)


def _blamed(error: psycopg.Error, words: str) -> dict[str, str]:
    place = error.diag.column_name or error.diag.constraint_name or ""
    return {"place": place, "message": words}


def _unavailable(detail: str) -> Problem:
    return Problem("unavailable", detail, headers={"Retry-After": "5"})
