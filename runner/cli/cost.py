"""What the paid calls of a run are expected to cost, and how long they take at their quota."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from runner.contract import Expected
from runner.database.files import statement
from runner.database.session import Connection


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of one operation. US dollars: `each` is what the next one costs, `usd` all of them,
    through the price tiers; both are None where no price is set. `taken_from` is the region whose
    price it is, where that of this region is not set.
    """

    provider: str
    operation: str
    region: str
    number: int
    each: Decimal | None
    usd: Decimal | None
    basis: str
    taken_from: str | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """US dollars that may be spent, `per` run, month or in total, and what is left of them."""

    per: str
    usd: Decimal
    left: Decimal


@dataclass(frozen=True, slots=True)
class Cost:
    """`seconds` is the least that the calls take at the shared rates that they keep to, and
    `pace` the slowest of these, in words; None where there is no such rate.
    """

    calls: tuple[Calls, ...]
    budgets: tuple[Budget, ...]
    seconds: float | None
    pace: str | None

    @property
    def usd(self) -> Decimal | None:
        """US dollars of all calls; None where one of them has no price."""
        known = [one.usd for one in self.calls if one.usd is not None]
        return sum(known, Decimal(0)) if len(known) == len(self.calls) else None

    @property
    def free(self) -> bool:
        """Whether nothing is to be paid."""
        return self.usd == 0

    def enough_for(self, rows: int) -> int:
        """For how many of so many rows the budgets have money."""
        left = min((budget.left for budget in self.budgets), default=None)
        if left is None or not self.usd or left >= self.usd:
            return rows
        return int(rows * max(left, Decimal(0)) / self.usd)


def estimate(
    connection: Connection,
    task: str,
    settings: Mapping[str, Any],
    expected: Sequence[Expected],
    rows: int,
) -> Cost:
    """What so many rows of a task cost. Only reads."""
    found = [_better(connection, task, one) for one in expected]
    calls = tuple(_calls(connection, one, rows) for one in found)
    seconds, pace = _time(connection, found, calls)
    return Cost(calls, _budgets(connection, task, settings), seconds, pace)


def _better(connection: Connection, task: str, one: Expected) -> Expected:
    """The same by what earlier runs tell, where it is an assumption and they tell."""
    if not one.assumed:
        return one
    asked = {"task": task, "provider": one.provider, "operation": one.operation}
    known = _one(connection, "calls_so_far", asked)
    calls, rows = known["calls"], known["rows"]
    if not rows:
        return one
    basis = f"{calls / rows:.3g} a row in earlier runs: {calls:,} for {rows:,} rows"
    return replace(one, a_row=calls / rows, basis=basis, assumed=False)


def _calls(connection: Connection, one: Expected, rows: int) -> Calls:
    # what a fraction leaves behind the ninth place is no call
    number = math.ceil(round(rows * one.a_row, 9))
    if one.usd is not None:
        return Calls(
            one.provider, one.operation, one.region, number, one.usd, number * one.usd, one.basis
        )
    asked = {"provider": one.provider, "operation": one.operation, "region": one.region}
    price = _one(connection, "price_estimate", {**asked, "calls": number})
    return Calls(
        **asked,
        number=number,
        each=price["each"],
        usd=price["usd"] if number else Decimal(0),
        basis=one.basis,
        taken_from=price["taken_from"],
    )


def _time(
    connection: Connection, expected: Sequence[Expected], calls: Sequence[Calls]
) -> tuple[float | None, str | None]:
    """Rates are kept to side by side, so the slowest decides."""
    numbers: dict[str, int] = {}
    for one, made in zip(expected, calls, strict=True):
        if one.rate:
            numbers[one.rate] = numbers.get(one.rate, 0) + made.number
    slowest: tuple[float | None, str | None] = (None, None)
    for name, number in numbers.items():
        found = connection.execute(statement("rate"), {"name": name}).fetchall()
        for rate in found:
            seconds = number / rate["per_second"]
            if slowest[0] is None or seconds > slowest[0]:
                slowest = seconds, f"{number:,} calls at {rate['per_second']:g} a second"
    return slowest


def _budgets(connection: Connection, task: str, settings: Mapping[str, Any]) -> tuple[Budget, ...]:
    """This run's own, and those of its task."""
    rows = connection.execute(statement("budgets"), {"task": task}).fetchall()
    of_task = [Budget(r["per"], r["usd"], r["left_usd"]) for r in rows if r["run"] is None]
    most = settings.get("max_cost")
    own = [] if most is None else [Budget("run", Decimal(str(most)), Decimal(str(most)))]
    return (*own, *of_task)


def _one(connection: Connection, name: str, parameters: Mapping[str, object]) -> Mapping[str, Any]:
    (row,) = connection.execute(statement(name), parameters).fetchall()
    return row
