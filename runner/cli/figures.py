"""What a run's rows add up to, in its summary: lines, tables by kind of thing, JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from runner.cli.output import Column, human
from runner.units import size

SHOWN_THINGS = 20
"""Rows of a table at most; the others are added up in a last one."""

Figures = Sequence[Mapping[str, Any]]


def shown(name: str, amount: float | Decimal) -> str:
    """An amount in the unit that its name says."""
    return size(amount) if name == "bytes" else human(_number(amount))


def plain_figures(figures: Figures) -> Iterator[tuple[str, str]]:
    """Names and amounts of what is counted over all rows."""
    for figure in figures:
        if not figure["label"]:
            yield figure["name"].replace("_", " "), shown(figure["name"], figure["amount"])


def tables(figures: Figures) -> Iterator[tuple[list[dict[str, Any]], list[str | Column]]]:
    """For each kind of thing its rows and columns: the things with most first."""
    for kind, things in by_kind(figures).items():
        totals: dict[str, Decimal] = {}
        for counted in things.values():
            for name, amount in counted.items():
                totals[name] = totals.get(name, Decimal(0)) + amount
        names = sorted(totals, key=lambda name: (name == "bytes", -totals[name], name))
        ordered = sorted(things, key=lambda thing: (-_weight(things[thing]), thing))
        rows = [_row(kind, thing, things[thing], names) for thing in ordered[:SHOWN_THINGS]]
        if rest := ordered[SHOWN_THINGS:]:
            sums = {n: sum((things[t].get(n, Decimal(0)) for t in rest), Decimal(0)) for n in names}
            rows.append(_row(kind, f"and {len(rest):,} more", sums, names))
        yield rows, [kind, *names]


def figures_as_json(figures: Figures) -> dict[str, Any]:
    """`figures`: amounts by name; `by_<kind>`: the same for each thing. Empty where nothing is."""
    told: dict[str, Any] = {}
    plain = {f["name"]: _number(f["amount"]) for f in figures if not f["label"]}
    if plain:
        told["figures"] = plain
    for kind, things in by_kind(figures).items():
        told[f"by_{kind}"] = {
            thing: {name: _number(amount) for name, amount in counted.items()}
            for thing, counted in things.items()
        }
    return told


def by_kind(figures: Figures) -> dict[str, dict[str, dict[str, Decimal]]]:
    """Amounts by kind, thing and name, of figures whose label says kind:thing."""
    found: dict[str, dict[str, dict[str, Decimal]]] = {}
    for figure in figures:
        kind, _, thing = figure["label"].partition(":")
        if thing:
            found.setdefault(kind, {}).setdefault(thing, {})[figure["name"]] = figure["amount"]
    return found


def _number(amount: float | Decimal) -> int | float:
    """A whole number as such."""
    return int(amount) if amount == int(amount) else float(amount)


def _weight(counted: Mapping[str, Decimal]) -> Decimal:
    return sum((amount for name, amount in counted.items() if name != "bytes"), Decimal(0))


def _row(
    kind: str, thing: str, counted: Mapping[str, Decimal], names: Sequence[str]
) -> dict[str, Any]:
    amounts = {
        name: size(counted.get(name, Decimal(0)))
        if name == "bytes"
        else _number(counted.get(name, Decimal(0)))
        for name in names
    }
    return {kind: thing, **amounts}
