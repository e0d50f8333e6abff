"""What the books say of paid calls."""

from __future__ import annotations

from decimal import Decimal

from tests.plugins.processes import SampleDatabase

PRICE = Decimal("0.001")
"""Of a call of the sample task with its provider."""


def spent(sampled: SampleDatabase) -> Decimal:
    """US dollars of all days."""
    found: Decimal = sampled.one("select coalesce(sum(usd), 0) from backfill.spend")
    return found


def states(sampled: SampleDatabase) -> dict[str, int]:
    """How many effects there are in each state."""
    rows = sampled.all("select state, count(*) as n from backfill.effect group by state")
    return {row["state"]: row["n"] for row in rows}
