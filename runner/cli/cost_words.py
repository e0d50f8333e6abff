"""Money in words: the estimate before paid work, and what was spent after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from runner.cli.common import count
from runner.cli.cost import Budget, Calls, Cost
from runner.redaction import printable
from runner.units import duration

CENT = Decimal("0.01")

ANYWHERE = "*"
"""The region of a price that holds where a region has none of its own."""

_PERIODS = {"run": "for this run", "month": "a month", "total": "in total"}

Rows = Sequence[Mapping[str, Any]]


def dollars(usd: Decimal | float) -> str:
    """`$12.30`; of less than a cent what is significant, as of a call: `$0.0008`."""
    amount = Decimal(str(usd))
    if amount < 0:
        return f"-{dollars(-amount)}"
    if not amount or amount >= CENT:
        # what has more digits than decimals are counted with has no cents to speak of
        exact = amount if amount.adjusted() > 20 else amount.quantize(CENT, ROUND_HALF_UP)
        return f"${exact:,f}"
    places = amount.adjusted()
    return f"${amount.quantize(Decimal(1).scaleb(places - 2)).normalize():f}"


def price(usd: Decimal) -> str:
    """What one call costs, to its last place: `$0.0125`, `$0.25`."""
    exact = usd.normalize()
    exponent = exact.as_tuple().exponent
    return dollars(usd) if isinstance(exponent, int) and exponent > -3 else f"${exact:f}"


def times_price(number: int, each: Decimal | None, usd: Decimal) -> str:
    """`198 calls x $0.001 = $0.20`; without a price where not all calls had the same."""
    if each is not None and number * each == usd:
        return f"{count(number, 'call')} x {price(each)} = {dollars(usd)}"
    return f"{count(number, 'call')} = {dollars(usd)}"


def estimate_lines(cost: Cost, rows: int, seconds: float | None) -> list[str]:
    """What so many rows are expected to take; `seconds`: of the work in all."""
    values = list(_estimated(cost, rows, seconds))
    width = max(len(name) for name, _ in values)
    return [printable(f"  {name:<{width}}  {value}") for name, value in values]


def _estimated(cost: Cost, rows: int, seconds: float | None) -> Iterator[tuple[str, str]]:
    for calls in cost.calls:
        basis = f"  ({calls.basis})" if calls.basis else ""
        yield calls.operation, f"{_priced(calls)}{basis}"
    if cost.usd is not None and len(cost.calls) > 1:
        yield "total", f"about {dollars(cost.usd)}"
    yield from _stand_ins(cost)
    for budget in cost.budgets:
        yield "budget", _budget(budget)
    enough = cost.enough_for(rows)
    if enough < rows:
        yield "", f"enough for about {enough:,} of {rows:,} rows; then it stops"
    if seconds is not None:
        at = f" ({cost.pace})" if cost.pace and seconds == cost.seconds else ""
        yield "time", f"at least {duration(seconds)}{at}"


def _stand_ins(cost: Cost) -> Iterator[tuple[str, str]]:
    """The first price that is another region's, with how to set this one's."""
    for calls in cost.calls:
        if calls.usd and calls.taken_from and calls.region not in (ANYWHERE, calls.taken_from):
            yield "price", f"that of {calls.taken_from}; if it is another: {_set_price(calls)}"
            return


def _set_price(calls: Calls) -> str:
    """The statement that sets a price for these, with an example for the amount."""
    region = "" if calls.region == ANYWHERE else f", 0, '{calls.region}'"
    return (
        f"select backfill.set_price('{calls.provider}', '{calls.operation}', "
        f"{calls.each or Decimal('0.001'):f}{region})"
    )


def _priced(calls: Calls) -> str:
    if calls.usd is not None:
        return times_price(calls.number, calls.each, calls.usd)
    return (
        f"{count(calls.number, 'call')}, for which no price is set, and the first ends the run; "
        f"set it: {_set_price(calls)}"
    )


def period(usd: Decimal, per: str) -> str:
    """`$25.00 a month`."""
    return f"{dollars(usd)} {_PERIODS[per]}"


def raise_to(usd: Decimal) -> str:
    """An amount to raise a budget to, as it is typed: twice what it was."""
    return f"{max(2 * usd, CENT).quantize(CENT, ROUND_HALF_UP):f}"


def money_column(amounts: Sequence[Decimal]) -> list[str]:
    """Amounts for a table, the points below each other where all have cents."""
    texts = [dollars(amount) for amount in amounts]
    width = max(map(len, texts), default=0)
    return [text.rjust(width) for text in texts]


def _budget(budget: Budget) -> str:
    whole = period(budget.usd, budget.per)
    if budget.per == "run":
        return whole
    return f"{whole}, of which {dollars(max(budget.left, Decimal(0)))} is left"


def estimate_as_json(cost: Cost | None) -> dict[str, Any]:
    """The same for programs: dollars as numbers; null where no price is set."""
    if cost is None:
        return {"expected_usd": 0.0}
    return {
        "expected_usd": None if cost.usd is None else float(round(cost.usd, 6)),
        "expected_calls": [
            {
                "provider": calls.provider,
                "operation": calls.operation,
                "region": calls.region,
                "calls": calls.number,
                "usd": None if calls.usd is None else float(calls.usd),
                "basis": calls.basis,
            }
            for calls in cost.calls
        ],
        "budgets": [
            {"per": budget.per, "usd": float(budget.usd), "left_usd": float(budget.left)}
            for budget in cost.budgets
        ],
    }


def spent(costs: Rows) -> Iterator[tuple[str, str]]:
    """What was really spent, as names and values, by rows of backfill.run_costs."""
    for row in costs:
        if row["operation"] is not None and row["calls"]:
            yield row["operation"], times_price(row["calls"], _uniform(row), row["usd"])
    total = sum((row["usd"] for row in costs), Decimal(0))
    if total:
        yield "spent", dollars(total)
    open_calls = sum(row["open_calls"] for row in costs)
    if open_calls:
        usd = sum((row["open_usd"] for row in costs), Decimal(0))
        yield (
            "unsettled",
            (
                f"{count(open_calls, 'call')} that may have been charged, {dollars(usd)}; "
                "which: the view backfill.effects"
            ),
        )


def _uniform(row: Mapping[str, Any]) -> Decimal:
    """What each call cost, if all cost the same."""
    each: Decimal = row["usd"] / row["calls"]
    return each.quantize(Decimal("1e-9"))


def costs_as_json(costs: Rows) -> list[dict[str, Any]]:
    """The same for programs."""
    names = ("provider", "operation", "region", "calls", "open_calls")
    return [
        {
            **{name: row[name] for name in names},
            "usd": float(row["usd"]),
            "open_usd": float(row["open_usd"]),
        }
        for row in costs
    ]
