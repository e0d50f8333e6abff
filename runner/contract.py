"""The contract of a task: what a built-in or a user's own backfill has to provide in Python.

The other two pieces, the view `backfill.needs_<task>` and the function
`backfill.apply_<task>(jsonb)`, live in the database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Protocol
from uuid import UUID, uuid4

from runner.errors import Figure

Row = Mapping[str, Any]
"""One row of the needs view, as JSON types: uuid, numeric and timestamps arrive as text/number.

It has an entry `effects` where earlier attempts left calls unsettled, the oldest first: id, state
(`intended`: may have been charged, `answered`: was), provider, operation, region, subject,
reference, usd, attempt. See `Limiter.found`.
"""


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


EFFECT_TEXT_LIMIT = 300
EFFECT_NAME_LIMIT = 60
"""Characters; constraints of `backfill.effect`."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that costs money, or leaves something behind elsewhere, that is about to be made.

    `subject` is what it changes there, `reference` the name by which that can be found again, so
    that an attempt after a crash can ask the provider; `payer` is for whom it is paid. `usd` is
    what it costs, where `backfill.price` can't know; 0: nothing.
    """

    provider: str
    operation: str
    region: str = "*"
    subject: str = ""
    reference: str = ""
    payer: str = ""
    usd: Decimal | None = None

    TEXTS: ClassVar[tuple[str, ...]] = (
        "provider", "operation", "region", "subject", "reference", "payer",
    )  # fmt: skip

    def __post_init__(self) -> None:
        for name in self.TEXTS:
            text = getattr(self, name)
            most = EFFECT_NAME_LIMIT if name in self.TEXTS[:3] else EFFECT_TEXT_LIMIT
            if not text.isprintable() or len(text) > most or (name in self.TEXTS[:3] and not text):
                raise ValueError(f"a call's {name} can't be {text[:most]!r}")
        if self.usd is not None and not (self.usd.is_finite() and self.usd >= 0):
            raise ValueError(f"a call can't cost {self.usd} dollars")


@dataclass(slots=True)
class Effect:
    """A call whose intent is written. `usd` may be set to what it cost in the end."""

    usd: Decimal
    id: UUID = field(default_factory=uuid4)
    state: str = "answered"
    note: str | None = None

    def refused(self, note: str) -> None:
        """The provider said no, in these words, and bills nothing."""
        self.state, self.note = "refused", note


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

    def effect(self, key: str, call: Call) -> AbstractContextManager[Effect]:
        """Entered, the intent of this call for the row with that key is committed.

        To be made in the block, once. Left by an exception nobody knows whether it was charged,
        unless the block has said that it was `refused`. Raises `Retry` (`budget`) with
        `counts=False` where a budget in money is used up, and `Halt` where it has no price.
        """
        ...

    def found(self, key: str, effect: UUID | str, charged: bool, note: str | None = None) -> None:
        """What became of one of `row["effects"]`: calls that earlier attempts left unsettled."""
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

    def effect(self, key: str, call: Call) -> AbstractContextManager[Effect]:
        """Written nowhere."""
        return nullcontext(Effect(call.usd or Decimal(0)))

    def found(self, key: str, effect: UUID | str, charged: bool, note: str | None = None) -> None:
        """Nobody else has to know."""


Settings = Mapping[str, Any]
"""Values of the task's `options` by name; what was not given has the option's default."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a task; `base_url` becomes `--base-url` and is kept in the run's options.

    A secret is not an option, since options are stored: read it from the environment. A string
    goes through `stored_as` before it is stored, so that it means the same wherever a process
    works for the run; it raises `UsageError`.

    `place` is for what names a host, a path or a network, or is sent somewhere: whoever starts the
    process decides that, by the command line or the variable BACKFILL_<TASK>_<OPTION>. A run that
    workers serve can't have it, since who starts it would borrow their files, network and
    credentials.
    """

    name: str
    help: str
    kind: type[str] | type[int] | type[float] | type[bool] = str
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    stored_as: Callable[[str], Any] | None = None
    place: bool = False


@dataclass(frozen=True, slots=True)
class Pacing:
    """How fast one process may go unless told otherwise: seeds for `backfill.task`.

    `limit`: rows of a run where `--limit` is not given; None: all. With `limit_by`, a column of the
    needs view, it is that many rows for each of its values, such as each user.
    """

    batch_size: int = 100
    batch_size_max: int = 10_000
    delay_ms: int = 0
    delay_ms_max: int = 30_000
    threads: int = 8
    limit: int | None = None
    limit_by: str | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """Paid calls that rows are expected to need, for the question before paid work.

    `a_row` calls of the operation for each row, on average; `basis` says how that is known, such as
    `2.3 faces a picture in 12 of yours`. Where it is only `assumed`, what earlier runs tell is
    taken instead, as soon as they tell. `rate` is the shared rate that the calls keep to. `usd` is
    what a call costs, where `backfill.price` can't know.
    """

    provider: str
    operation: str
    a_row: float
    region: str = "*"
    basis: str = ""
    rate: str = ""
    assumed: bool = False
    usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Input:
    """Columns of one of the application's tables that the needs view reads as inputs.

    `key` is its column with the native key of the job that a row belongs to. All are names of the
    task's binding; what the binding does not have is the application's own name. Columns that a
    binding leaves empty are left out.
    """

    columns: tuple[str, ...]
    table: str = "table"
    key: str = "key"


@dataclass(frozen=True, slots=True)
class Task:
    """One backfill. `open(settings)` sets up once a process (HTTP client, models) and yields
    the compute function; it raises `UsageError` where a setting can't work. `open_limited` is the
    same with the rates that all processes share as its second argument; a run prefers it.

    `condition(settings)` is a condition on the needs view that an option stands for, as SQL.
    `expected(settings, rows)` is what rows need of paid calls, judged by `sample` rows of the needs
    view at most; no calls: nothing is asked before the work. It makes no paid call itself.
    `binding` names the application's tables and columns with their defaults; the task's migration
    (an alembic folder, `migrations`) takes them as options. `inputs` are the columns whose changes
    `backfill watch` has noted, so that new and changed rows are done first.
    """

    name: str
    version: int
    summary: str
    open: Callable[[Settings], AbstractContextManager[Compute]]
    options: tuple[Option, ...] = ()
    pacing: Pacing = field(default_factory=Pacing)
    expected: Callable[[Settings, Sequence[Row]], Sequence[Expected]] | None = None
    sample: int = 0
    binding: Mapping[str, str] = field(default_factory=dict)
    migrations: Path | None = None
    open_limited: Callable[[Settings, Limiter], AbstractContextManager[Compute]] | None = None
    condition: Callable[[Settings], str | None] | None = None
    inputs: tuple[Input, ...] = ()

    def opened(self, settings: Settings, limiter: Limiter) -> AbstractContextManager[Compute]:
        """What a run enters: `open_limited` where there is one, else `open`."""
        if self.open_limited is None:
            return self.open(settings)
        return self.open_limited(settings, limiter)
