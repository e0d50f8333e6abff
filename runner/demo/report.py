"""What the demo prints at its end: tables as psql prints them, and histograms of scores."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from rich.box import Box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

BANDS = (("high", 80, 100), ("medium", 60, 79), ("low", 0, 59))
"""Name, lowest and highest score of each band, the best first."""

BAR_WIDTH = 40
EIGHTHS = " ▏▎▍▌▋▊▉"
PSQL = Box(
    "    \n"
    "  | \n"
    "--+-\n"
    "  | \n"
    "    \n"
    "    \n"
    "  | \n"
    "    \n",
    ascii=True,
)  # fmt: skip

ByScore = Mapping[int, int]
"""How many rows have each score (0..100)."""


def bands(by_score: ByScore) -> dict[str, int]:
    """The number of scores in each band, the best band first, empty ones included."""
    return {f"{name} {low}..{high}": _between(by_score, low, high) for name, low, high in BANDS}


def buckets(by_score: ByScore) -> dict[str, int]:
    """The number of scores in each ten points, the best first; the first one has 100 as well."""
    return {
        f"{low}..{high}": _between(by_score, low, high)
        for low, high in ((low, 100 if low == 90 else low + 9) for low in range(90, -1, -10))
    }


def _between(by_score: ByScore, low: int, high: int) -> int:
    return sum(n for score, n in by_score.items() if low <= score <= high)


@dataclass(frozen=True, slots=True)
class _Histogram:
    counts: Mapping[str, int]
    title: str
    width: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.title:
            yield Text(self.title, style="bold")
        if not self.counts:
            yield Text("(nothing to show)", style="dim")
            return
        most, total = max(self.counts.values()), sum(self.counts.values())
        label_width = max(map(len, self.counts))
        number_width = len(str(most))
        taken = label_width + number_width + len("  |   100 %")
        room = max(1, min(self.width, options.max_width - taken))
        for label, count in self.counts.items():
            yield Text.assemble(
                f" {label:<{label_width}} ",
                ("|" if options.ascii_only else "│", "dim"),
                (bar(count, most, room, ascii_only=options.ascii_only), _style(label)),
                f" {count:>{number_width}}",
                (f" {100 * count / total if total else 0:3.0f} %", "dim"),
                no_wrap=True,
            )


def histogram(
    counts: Mapping[str, int], *, title: str = "", width: int = BAR_WIDTH
) -> RenderableType:
    """A histogram of counts by label, in the order given; see `bands` and `buckets`.

    One line a label: a bar, the count and its share, with `#` for bars where blocks can't be
    shown. The longest bar has `width` characters, or fewer where the line is too short for that.
    """
    return _Histogram(counts, title, width)


def bar(count: int, most: int, width: int, *, ascii_only: bool = False) -> str:
    """A bar padded to `width` characters that `most` fills; whatever is there shows a little."""
    if count <= 0 or most <= 0:
        return " " * width
    if ascii_only:
        return ("#" * max(1, round(count * width / most))).ljust(width)
    full, rest = divmod(max(1, round(8 * count * width / most)), 8)
    return ("█" * full + (EIGHTHS[rest] if rest else "")).ljust(width)


def _style(label: str) -> str:
    lowest = re.search(r"(\d+)\.\.", label)
    if lowest is None:
        return "cyan"
    if int(lowest[1]) >= BANDS[0][1]:
        return "green"
    return "yellow" if int(lowest[1]) >= BANDS[1][1] else "red"


Rows = Iterable[Mapping[str, Any]] | Iterable[Sequence[Any]]


def table(rows: Rows, columns: Sequence[str] | None = None, *, title: str = "") -> RenderableType:
    """Rows as psql prints them, with the number of rows below.

    Rows are mappings, or sequences in the order of `columns`. Without `columns` a mapping's own
    keys are taken, from the first row.
    """
    found: list[Any] = list(rows)
    names = list(columns) if columns is not None else _names(found)
    cells = [[row[n] for n in names] if isinstance(row, Mapping) else row for row in found]
    drawn = Table(box=PSQL, show_edge=False, padding=(0, 1), header_style="bold")
    for n, name in enumerate(names):
        numeric = bool(cells) and all(_is_number(row[n]) for row in cells)
        drawn.add_column(
            Text(name), justify="right" if numeric else "left", overflow="fold", no_wrap=numeric
        )
    for row in cells:
        drawn.add_row(*(Text(cell(value)) for value in row))
    count = Text(f"({len(cells)} row{'' if len(cells) == 1 else 's'})")
    parts: list[RenderableType] = [drawn, count] if names else [count]
    return Group(Text(title, style="bold"), *parts) if title else Group(*parts)


def _names(rows: list[Any]) -> list[str]:
    if rows and not isinstance(rows[0], Mapping):
        raise TypeError("columns are needed for rows that don't name theirs")
    return list(rows[0]) if rows else []


def _is_number(value: Any) -> bool:
    return value is None or (
        isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    )


def cell(value: Any) -> str:
    """A value as psql shows it; null is empty, and times have no fractions of a second."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, timedelta):
        return str(timedelta(seconds=round(value.total_seconds())))
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
