"""What can be set about the service, when it starts or while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self, TypeVar

EVERY = "*"
"""Stands for every operation that isn't named."""

LOST = "lost"
"""The code of a fault that closes the connection without an answer."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Fault:
    """A share of an operation's calls that go wrong.

    `code`: an error code, or `lost`. `when`: "before" the effect or "after" it; a reply that is
    lost after the effect is billed, an error never is. `status`: the HTTP status, where it is not
    the code's usual one. `sticky`: chosen by the request alone, so that it fails again when it is
    repeated; otherwise each repetition has its own luck.
    """

    operation: str
    code: str
    rate: float
    when: Literal["before", "after"] = "before"
    status: int | None = None
    sticky: bool = False

    def __post_init__(self) -> None:
        """Raises `ValueError` for a rate or a moment that there isn't."""
        if not 0 <= self.rate <= 1 or self.when not in ("before", "after"):
            raise ValueError(f"no such fault: {self}")


@dataclass(frozen=True)
class LookAlike:
    """Two persons whose pictures are similar by so many percent."""

    one: int
    other: int
    similarity: float


@dataclass(frozen=True)
class Settings:
    """All of them; mappings are by operation, `*` is every other one."""

    tps: Mapping[str, int] = field(default_factory=lambda: {EVERY: 50})
    """Calls in any second. Those above get ProvisionedThroughputExceededException."""
    latency_s: Mapping[str, float] = field(default_factory=dict)
    """Waited after the effect and before the answer."""
    faults: tuple[Fault, ...] = ()
    seed: int = 0
    """Of the faults."""
    look_alikes: tuple[LookAlike, ...] = ()
    faces_per_collection: int = 20_000_000
    """Above it: ServiceQuotaExceededException."""
    deduplicates: bool = True
    """Whether the same picture with the same external id is stored once, as documented."""
    violations: Literal["documented", "observed"] = "documented"
    """The error for values that the API's model refuses.

    The documentation has InvalidParameterException and ImageTooLargeException; what callers of the
    real service report is ValidationException.
    """

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """These settings with others of the names in `changes`, given as JSON has them.

        Raises `TypeError` for a name that there isn't, `ValueError` for a fault that can't be.
        """
        return replace(self, **{name: _read(name, value) for name, value in changes.items()})

    def as_json(self) -> dict[str, Any]:
        """What `changed` reads."""
        return asdict(self)


def _read(name: str, value: Any) -> Any:
    if name == "faults":
        return tuple(Fault(**one) for one in value)
    if name == "look_alikes":
        return tuple(LookAlike(**one) for one in value)
    return value


def for_operation(values: Mapping[str, Value], operation: str, default: Value) -> Value:
    """An operation's own value, or that of every other one."""
    return values.get(operation, values.get(EVERY, default))
