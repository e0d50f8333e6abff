"""What a database error means: try again, wait for the server, or tell the user."""

from __future__ import annotations

import psycopg
from psycopg import errors

from runner.errors import BackfillError, DatabaseUnreachable, UsageError

# The transaction was rolled back for no fault of its own; the same again may succeed.
TRY_AGAIN = (errors.SerializationFailure, errors.DeadlockDetected, errors.LockNotAvailable)

# The connection or the server went away; a new connection may succeed.
SERVER_GONE = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.TooManyConnections,
    errors.IdleSessionTimeout,
)

# No fault of the statement's either; better tried again later, on a new connection: the disk is
# full, or what was the primary is a standby now.
SERVER_IN_TROUBLE = (errors.DiskFull, errors.ReadOnlySqlTransaction)

# The same for every row: a name or a right that the apply function lacks.
NOT_OF_A_ROW = (
    errors.InsufficientPrivilege,
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.UndefinedFunction,
    errors.InvalidSchemaName,
    errors.SyntaxError,
)

# libpq reports a refused start of a session by message alone, without an SQLSTATE. A host name
# that can't be resolved is not among them: name servers fail for a while, too.
_REFUSED_FOR_GOOD = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    '" does not exist',
    "is not permitted to log in",
    "certificate verify failed",
    "server does not support SSL",
)


def is_transient(error: psycopg.Error) -> bool:
    """Whether the same transaction is worth another try on the same connection."""
    return isinstance(error, TRY_AGAIN)


def is_connection_lost(error: psycopg.Error) -> bool:
    """Whether the server or the connection is gone, and waiting may bring it back."""
    if isinstance(error, SERVER_GONE):
        return True
    # 08xxx, or none at all where libpq noticed before the server could say anything
    state = error.sqlstate
    return isinstance(error, psycopg.OperationalError) and (state is None or state[:2] == "08")


def is_trouble(error: psycopg.Error) -> bool:
    """Whether the server can't do its work for a while, whatever it is asked."""
    return isinstance(error, SERVER_IN_TROUBLE)


def refused_for_good(error: psycopg.Error) -> bool:
    """Whether a connection was refused for a reason that waiting doesn't mend."""
    text = str(error)
    return any(words in text for words in _REFUSED_FOR_GOOD)


def first_line(error: BaseException) -> str:
    """The error's message on one line, without libpq's preamble and context."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def reason(error: BaseException) -> str:
    """Why the server is gone, in the fewest words: without addresses, user names and advice."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    said = [line for line in lines if "FATAL: " in line]
    if said:
        return said[-1].split("FATAL: ")[-1].strip()
    failed = [line for line in lines if "failed: " in line]
    if failed:
        return failed[-1].split("failed: ")[-1].strip()
    return lines[0].split("failed: ")[-1]


def unreachable(error: BaseException, target: str, waited: float = 0.0) -> DatabaseUnreachable:
    """The user's line for a database that can't be reached, not even after `waited` seconds."""
    after = f" for {waited:.0f} s" if waited >= 1 else ""
    return DatabaseUnreachable(
        f"can't reach the database {target}{after}: {reason(error)}; "
        "check DATABASE_URL and that it is running"
    )


def explain(error: psycopg.Error) -> BackfillError:
    """The user's line for any other database error."""
    message, hint = first_line(error), error.diag.message_hint
    missing = (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedFunction)
    if isinstance(error, missing) and "backfill" in message:
        return BackfillError(
            f"pgbackfill is not installed in this database ({message}); run: backfill migrate"
        )
    if isinstance(error, errors.InsufficientPrivilege):
        return BackfillError(
            f"the database refused: {message}; connect as a member of the role that may do this"
        )
    if error.sqlstate and error.sqlstate.startswith("BF"):
        return UsageError(f"{message}; {hint}" if hint else message)
    return BackfillError(f"the database said: {message}" + (f" ({hint})" if hint else ""))
