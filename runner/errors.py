"""What can go wrong, for users (`BackfillError`) and for rows (`Skip`, `NothingFound`, ...)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple

LAST_WORDS = "backfill: "
"""How the line on stderr begins that says why a command did not come to its end."""


class ExitCode(IntEnum):
    """Exit codes of every `backfill` command; documented in `docs/exit-codes.md`."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    FAILED_ITEMS = 3
    PAUSED = 4
    UNREACHABLE = 5
    CANCELLED = 6
    INTERRUPTED = 130


class BackfillError(Exception):
    """An error shown to the user as one line: what happened, to what, and what to do next."""

    exit_code: ExitCode = ExitCode.ERROR


class UsageError(BackfillError):
    """The command, an option or a setting can't be used as given."""

    exit_code = ExitCode.USAGE


class DatabaseUnreachable(BackfillError):
    """No connection to the database could be had, or it was lost for longer than we wait."""

    exit_code = ExitCode.UNREACHABLE


class TaskPaused(BackfillError):
    """The task is paused, so no run is started."""

    exit_code = ExitCode.PAUSED


class TaskHalted(BackfillError):
    """The task was paused here and now, since none of its rows can be done until somebody acts."""


class Figure(NamedTuple):
    """An amount that a run's rows add up to: bytes stored, or what came of things by kind.

    `label` says of what, as kind:thing (`host:example.com`); empty: of all.
    """

    name: str
    amount: float
    label: str = ""


class RowOutcome(Exception):
    """Base of what a computation raises to end one row other than with a result.

    `spend_usd` is for a computation that paid for a call before it came to this: US dollars.
    `figures` count as those of a result do. `received` is for a download that failed: bytes that
    came all the same.
    """

    spend_usd: float = 0.0
    received: int = 0
    figures: tuple[Figure, ...] = ()


class Halt(RowOutcome):
    """No row can be computed until somebody acts: a storage is full, credentials are refused.

    The row is handed back with no attempt counted, and the process stops with this message. With
    `pauses` it is the same wherever the task is worked at: the task is paused for this reason.
    """

    def __init__(self, message: str, *, pauses: bool = False) -> None:
        super().__init__(message)
        self.pauses = pauses


class Skip(RowOutcome):
    """The row is not a subject after all; it is finished as `skipped` with this reason."""


class NothingFound(RowOutcome):
    """The computation ran and found nothing; the row is finished as `nothing_found`.

    `result`, where given, is handed to the task's apply function like any other result.
    """

    def __init__(self, reason: str, result: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.result = result


class Permanent(RowOutcome):
    """Trying again can't help; the row is `failed` at once.

    `code` is a short stable word that failures are grouped by, such as `http_404`.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class Retry(RowOutcome):
    """The attempt failed and another may succeed.

    `after` is seconds to wait at least (a server's Retry-After); without it the task's backoff
    decides. With `counts=False` (throttling) the attempt is not held against the row. `host` is
    the one that has to be waited for, where that is known.
    """

    host: str | None = None

    def __init__(
        self, message: str, *, code: str, after: float | None = None, counts: bool = True
    ) -> None:
        super().__init__(message)
        self.code = code
        self.after = after
        self.counts = counts
