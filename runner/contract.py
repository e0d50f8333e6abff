"""The contract of a task: what a built-in or a user's own backfill has to provide in Python.

The other two pieces, the view `backfill.needs_<task>` and the function
`backfill.apply_<task>(jsonb)`, live in the database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from runner.errors import Figure

Row = Mapping[str, Any]
"""One row of the needs view, as JSON types: uuid, numeric and timestamps arrive as text/number."""


@dataclass(frozen=True, slots=True)
class Result:
    """A computed result (JSON types only) and the money that computing it cost, in US dollars.

    `figures` are added up over the run and are in its summary. With `more` it is one step of
    several: it is applied and committed, and the row is handed out again, after so many seconds,
    with what the needs view then says of it. At most 1,000 steps a row.
    """

    value: Mapping[str, Any]
    spend_usd: float = 0.0
    more: bool = False
    after: float | None = None
    figures: tuple[Figure, ...] = ()


Compute = Callable[[Row], Result | Mapping[str, Any]]
"""Called from several threads at once; never touches the database.

May raise `Skip`, `NothingFound`, `Permanent`, `Retry` or `Halt`; any other exception is a retryable
failure of that row alone.
"""


@dataclass(slots=True)
class Spending:
    """A part of a run's budget that is reserved; the block that it is for says what it `used`."""

    reserved: float
    used: float = 0.0


class Limiter(Protocol):
    """Rates and budgets that all processes on all hosts share.

    Rates have names: `host:example.com`, `rekognition`. A budget is one run's: its option
    `max_bytes` sets that of the meter `bytes`.

    Called from computing threads, several at once.
    """

    def acquire(
        self, name: str, tokens: int = 1, *, timeout: float | None = None
    ) -> AbstractContextManager[None]:
        """Entered, it blocks until one call may be made, which is to end before it is left.

        Raises `Retry` with `counts=False` where that would take more than `timeout` seconds.
        """
        ...

    def throttled(self, name: str, after: float | None) -> None:
        """The call was refused for its rate; `after`: the seconds of its Retry-After, if any."""
        ...

    def succeeded(self, name: str) -> None:
        """The call was not refused: a rate that was lowered may rise again."""
        ...

    def budget(
        self, meter: str, amount: float, at_least: float | None = None
    ) -> AbstractContextManager[Spending]:
        """Entered, it reserves an amount, or what is left where that is `at_least`.

        Raises `Retry` (`budget`) with `counts=False` where the run's budget is used up.
        """
        ...


class NoLimits:
    """A `Limiter` without limits, for dry runs and tests of a computation."""

    def acquire(
        self, name: str, tokens: int = 1, *, timeout: float | None = None
    ) -> AbstractContextManager[None]:
        """No wait."""
        return nullcontext()

    def throttled(self, name: str, after: float | None) -> None:
        """Nobody else has to know."""

    def succeeded(self, name: str) -> None:
        """Nobody else has to know."""

    def budget(
        self, meter: str, amount: float, at_least: float | None = None
    ) -> AbstractContextManager[Spending]:
        """As much as is asked for."""
        return nullcontext(Spending(amount))


Settings = Mapping[str, Any]
"""Values of the task's `options` by name; what was not given has the option's default."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a task; `base_url` becomes `--base-url` and is kept in the run's options.

    A secret is not an option, since options are stored: read it from the environment. A string
    goes through `stored_as` before it is stored, so that it means the same wherever a process
    works for the run; it raises `UsageError`.
    """

    name: str
    help: str
    kind: type[str] | type[int] | type[float] | type[bool] = str
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    stored_as: Callable[[str], Any] | None = None


@dataclass(frozen=True, slots=True)
class Pacing:
    """How fast one process may go unless told otherwise: seeds for `backfill.task`.

    `limit`: rows of a run where `--limit` is not given; None: all.
    """

    batch_size: int = 100
    batch_size_max: int = 10_000
    delay_ms: int = 0
    delay_ms_max: int = 30_000
    threads: int = 8
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One backfill. `open(settings)` sets up once a process (HTTP client, models) and yields
    the compute function; it raises `UsageError` where a setting can't work. `open_limited` is the
    same with the rates that all processes share as its second argument; a run prefers it.

    `condition(settings)` is a condition on the needs view that an option stands for, as SQL.
    `price_usd(settings)` is what one row costs at most in US dollars, for the question before paid
    work; None: nothing. `binding` names the application's tables and columns with their defaults;
    the task's migration (an alembic folder, `migrations`) takes them as options.
    """

    name: str
    version: int
    summary: str
    open: Callable[[Settings], AbstractContextManager[Compute]]
    options: tuple[Option, ...] = ()
    pacing: Pacing = field(default_factory=Pacing)
    price_usd: Callable[[Settings], float] | None = None
    binding: Mapping[str, str] = field(default_factory=dict)
    migrations: Path | None = None
    open_limited: Callable[[Settings, Limiter], AbstractContextManager[Compute]] | None = None
    condition: Callable[[Settings], str | None] | None = None

    def opened(self, settings: Settings, limiter: Limiter) -> AbstractContextManager[Compute]:
        """What a run enters: `open_limited` where there is one, else `open`."""
        if self.open_limited is None:
            return self.open(settings)
        return self.open_limited(settings, limiter)
