"""What commands print: tables, JSON and values as people read them.

Colours and lines only on a terminal; elsewhere plain text in aligned columns.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from runner.cli.logs import as_json
from runner.redaction import printable
from runner.units import duration

log = logging.getLogger(__name__)

Row = Mapping[str, Any]

STYLES = {
    "running": "green", "ok": "green", "installed": "green", "live": "green",
    "paused": "yellow", "warn": "yellow", "outdated": "yellow", "cancelling": "yellow",
    "stalled": "yellow", "fail": "red", "failed": "red", "lost": "red", "broken": "red",
}  # fmt: skip


IDENTIFIERS = frozenset({"run", "runner", "pid", "version", "installed"})
"""Columns whose numbers are names: without a separator of thousands."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: the rows' key, and its heading where that differs."""

    key: str
    heading: str = ""

    @property
    def title(self) -> str:
        """What stands above it."""
        return self.heading or self.key.replace("_", " ")


def on_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty()


def table(rows: Sequence[Row], columns: Sequence[str | Column]) -> None:
    """Print rows as a table on stdout; numbers and times stand to the right."""
    shown = [Column(c) if isinstance(c, str) else c for c in columns]
    cells = [[_cell(row, column.key) for column in shown] for row in rows]
    right = [_is_number_column(rows, column.key) for column in shown]
    if on_terminal():
        _rich_table(shown, cells, right)
    else:
        _plain_table(shown, cells, right)


def _cell(row: Row, key: str) -> str:
    value = row.get(key)
    return str(value) if key in IDENTIFIERS and isinstance(value, int) else human(value)


def pairs(values: Mapping[str, Any]) -> None:
    """Print names and their values, a line each, without those that are None."""
    kept = {name: value for name, value in values.items() if value is not None}
    width = max((len(name) for name in kept), default=0)
    for name, value in kept.items():
        click.echo(f"  {click.style(f'{name:<{width}}', dim=True)}  {human(value)}")


def heading(text: str) -> None:
    """Print a heading."""
    click.echo(click.style(text, bold=True))


def note(text: str) -> None:
    """Print a line for the user beside the output proper: on stderr, in the log's format."""
    if as_json():
        log.info(text)
    else:
        click.echo(printable(text), err=True)


def emit_json(value: Any, *, one_line: bool = False) -> None:
    """Print a value as JSON on stdout: times as ISO 8601, durations in seconds."""
    text = json.dumps(value, default=_jsonable, indent=None if one_line else 2)
    click.echo(text)


def human(value: Any) -> str:
    """A value as people read it, on one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, (Decimal, float)):
        return f"{value:,.0f}" if abs(float(value)) >= 100 else f"{value:,}"
    if isinstance(value, timedelta):
        return duration(value)
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, (Mapping, list, tuple)):
        value = json.dumps(value, default=_jsonable)
    return printable(" ".join(str(value).split()))


def _is_number_column(rows: Sequence[Row], key: str) -> bool:
    values = [row.get(key) for row in rows if row.get(key) is not None]
    kinds = (int, float, Decimal, timedelta)
    return bool(values) and all(isinstance(v, kinds) and not isinstance(v, bool) for v in values)


def _plain_table(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], right: Sequence[bool]
) -> None:
    titles = [column.title for column in columns]
    widths = [max(map(len, (titles[i], *(row[i] for row in cells)))) for i in range(len(columns))]
    for row in (titles, *cells):
        line = "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        )
        click.echo(line.rstrip())


def _rich_table(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], right: Sequence[bool]
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column, to_right in zip(columns, right, strict=True):
        drawn.add_column(
            column.title, justify="right" if to_right else "left", overflow="fold", no_wrap=to_right
        )
    for row in cells:
        # Text, since a string would be read for rich's markup
        drawn.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    Console().print(drawn)


def _jsonable(value: Any) -> Any:
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        if not value.is_finite():
            return str(value)
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")
