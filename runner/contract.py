"""The contract of a task: what a built-in or a user's own backfill has to provide in Python.

The other two pieces, the view `backfill.needs_<task>` and the function
`backfill.apply_<task>(jsonb)`, live in the database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]
"""One row of the needs view, as JSON types: uuid, numeric and timestamps arrive as text/number."""


@dataclass(frozen=True, slots=True)
class Result:
    """A computed result (JSON types only) and the money that computing it cost, in US dollars.

    With `more` it is one step of several: it is applied and committed, and the row is handed out
    again, after so many seconds, with what the needs view then says of it. At most 100 steps a row.
    """

    value: Mapping[str, Any]
    spend_usd: float = 0.0
    more: bool = False
    after: float | None = None


Compute = Callable[[Row], Result | Mapping[str, Any]]
"""Called from several threads at once; never touches the database.

May raise `Skip`, `NothingFound`, `Permanent` or `Retry`; any other exception is a retryable
failure of that row alone.
"""

Settings = Mapping[str, Any]
"""Values of the task's `options` by name; what was not given has the option's default."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a task; `base_url` becomes `--base-url` and is kept in the run's options.

    A secret is not an option, since options are stored: read it from the environment.
    """

    name: str
    help: str
    kind: type[str] | type[int] | type[float] | type[bool] = str
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pacing:
    """How fast one process may go unless told otherwise: seeds for `backfill.task`."""

    batch_size: int = 100
    batch_size_max: int = 10_000
    delay_ms: int = 0
    delay_ms_max: int = 30_000
    threads: int = 8


@dataclass(frozen=True, slots=True)
class Task:
    """One backfill. `open(settings)` sets up once a process (HTTP client, models) and yields
    the compute function; it raises `UsageError` where a setting can't work.

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
