"""Values as people read them on a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from runner import units

SAID = {
    "started": "Run {run} was started.",
    "again": "Run {run} was started by this request before; it was not started twice.",
    "paused": "The task is paused: every process stops at its next claim.",
    "resumed": "The task goes on.",
    "cancelled": "Run {run} is being cancelled; rows in the works are finished first.",
    "retried": "{run} failed rows are ready to be tried again; a run takes them up.",
    "retried_one": "The failed row is ready to be tried again; a run takes it up.",
    "retried_none": "No failed row was there to be tried again.",
    "assigned": "The face has a name now.",
    "skipped": "The face was left without a name.",
    "marked": "The judgement is written down.",
    "unmarked": "The judgement was taken back.",
    "revoked": "The token is revoked.",
    "logged_out": "You are logged out.",
}
"""What a page says after a change: an address names the sentence, and can't say another."""

EXIT_REASONS = {
    "done": "every row was finished",
    "limit": "its limit was reached",
    "max_duration": "its time was over",
    "budget": "its budget is used up",
    "paused": "the task was paused",
    "cancelled": "somebody cancelled it",
    "interrupted": "its process was stopped",
    "lost": "all its processes died; their rows are ready again",
    "error": "an error stopped it",
}


MISSING = "\N{EN DASH}"
"""What stands where there is no value."""


def said(code: str | None, run: str | None) -> str | None:
    """The sentence for a code, None for no such code."""
    words = SAID.get(code or "")
    number = run if run and run.isascii() and run.isdigit() and len(run) < 19 else ""
    if words is None or ("{run}" in words and not number):
        return None
    return words.format(run=f"{int(number):,}" if code == "retried" else number)


def number(value: float | Decimal | None) -> str:
    """With separators of thousands, and at most one decimal."""
    if value is None:
        return MISSING
    amount = round(float(value), 1)
    return f"{amount:,.0f}" if abs(amount) >= 100 or amount.is_integer() else f"{amount:,.1f}"


def percent(value: float | Decimal | None) -> str:
    """With one decimal at most."""
    return MISSING if value is None else f"{number(value)} %"


def dollars(value: float | Decimal | None) -> str:
    """US dollars; small amounts with as many decimals as it takes to see them."""
    if value is None:
        return MISSING
    exact = Decimal(str(value))
    if exact < 0:
        return f"-{dollars(-exact)}"
    return f"${exact:,.4f}" if 0 < exact < Decimal("0.01") else f"${exact:,.2f}"


def budget_words(budget: Mapping[str, Any]) -> str:
    """For what a budget is."""
    if budget["per"] == "run":
        return f"Run {budget['run']}"
    return "This month" if budget["per"] == "month" else "In total"


def duration(value: timedelta | float | None) -> str:
    """A length of time (a number is seconds), or that there is none."""
    return MISSING if value is None else units.duration(value)


def ago(seconds: float) -> str:
    """How long it is since then."""
    return "just now" if seconds < 2 else f"{duration(seconds)} ago"


def amount(figure: Mapping[str, Any]) -> str:
    """A run's figure in the unit that its name says."""
    return units.size(figure["amount"]) if figure["name"] == "bytes" else number(figure["amount"])


def iso(at: datetime | str) -> str:
    """As the attribute `datetime` wants it."""
    return at if isinstance(at, str) else at.astimezone(UTC).isoformat(timespec="milliseconds")


def shown(at: datetime | str) -> str:
    """A time in UTC, which a script turns into the reader's own zone."""
    return f"{_time(at):%Y-%m-%d %H:%M} UTC"


def clock(at: datetime | str) -> str:
    """The time of day, in UTC."""
    return f"{_time(at):%H:%M:%S}"


def _time(at: datetime | str) -> datetime:
    return (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(UTC)


def sentence(text: str) -> str:
    """With a capital letter."""
    return text[:1].upper() + text[1:]


def label(name: str) -> str:
    """An option's name as a field's label: `Base URL`."""
    words = ("URL" if word == "url" else word for word in name.split("_"))
    return sentence(" ".join(words))


def details(value: Any) -> str:
    """The audit's details on one line."""
    if not value:
        return ""
    if not isinstance(value, Mapping):
        return json.dumps(value, default=str)
    return ", ".join(f"{name.replace('_', ' ')}: {_plain(one)}" for name, one in value.items())


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping) and set(value) == {"from", "to"}:
        return f"from {_plain(value['from'])} to {_plain(value['to'])}"
    return value if isinstance(value, str) else json.dumps(value, default=str)


def state_word(state: str, wait_reason: str | None, live: bool) -> str:
    """What a task's badge says: paused, running, waiting or idle. `live`: a run of it has not
    ended; a process that stays for new rows alone may have nothing to do.
    """
    if state == "paused":
        return "paused"
    if state == "running" and not wait_reason:
        return "running"
    return "waiting" if live else "idle"


def shares(state: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """Outcomes as parts of a bar 1,000 wide: name, left edge, width."""
    total = state["total"] or 0
    parts: list[tuple[str, int, int]] = []
    before = 0
    outcomes = {"ok": "ok", "nothing": "nothing_found", "skipped": "skipped", "failed": "failed"}
    for name, key in outcomes.items():
        after = before + state[key]
        left, right = (min(1000, round(1000 * n / total)) if total else 0 for n in (before, after))
        parts.append((name, left, right - left))
        before = after
    return parts


def spark(values: Sequence[float]) -> dict[str, Any]:
    """Bars of numbers, the oldest first, in a drawing 40 high and 4 wide for each."""
    most = max(values, default=0)
    bars = [
        f"M{4 * place} 40v-{_height(value, most)}h3V40z"
        for place, value in enumerate(values)
        if value
    ]
    return {"width": max(4 * len(values), 4), "minutes": len(values), "most": most,
            "path": "".join(bars)}  # fmt: skip


def _height(value: float, most: float) -> str:
    # what is there at all can be seen
    return f"{max(1.5, 38 * value / most):.1f}"
