"""What the demo's report looks like."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console, RenderableType

from runner.demo import report


def printed(renderable: RenderableType, *, encoding: str = "utf-8", width: int = 80) -> list[str]:
    """The lines that a file with this encoding gets, without blanks at their ends."""
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding=encoding) as file:
        Console(file=file, width=width).print(renderable)
        file.flush()
        text = raw.getvalue().decode(encoding)
    return [line.rstrip() for line in text.splitlines()]


def test_table_looks_like_psql() -> None:
    """Mappings become a table with psql's rules, numbers to the right and the count below."""
    rows = [{"task": "quality_score", "done": 388}, {"task": "other", "done": 7}]
    assert printed(report.table(rows, title="progress")) == [
        "progress",
        " task          | done",
        "---------------+------",
        " quality_score |  388",
        " other         |    7",
        "(2 rows)",
    ]


def test_table_takes_sequences_with_columns() -> None:
    """Sequences are shown under the columns given, of mappings only the columns asked for."""
    lines = [" b", "---", " 1", "(1 row)"]
    assert printed(report.table([(1,)], ["b"])) == lines
    assert printed(report.table([{"a": 2, "b": 1}], ["b"])) == lines


def test_table_needs_names_for_sequences() -> None:
    """Sequences without columns are a mistake of the caller."""
    with pytest.raises(TypeError, match="columns are needed"):
        report.table([(1, 2)])


def test_table_without_rows() -> None:
    """No rows still show the columns, where they are known."""
    assert printed(report.table([], ["a", "b"])) == [" a | b", "---+---", "(0 rows)"]
    assert printed(report.table([])) == ["(0 rows)"]


def test_long_cells_are_folded_not_cut() -> None:
    """A long message is whole on a narrow terminal, on several lines."""
    message = " ".join(f"word{n}" for n in range(40))
    lines = printed(report.table([("k", message)], ["key", "message"]), width=50)
    assert max(map(len, lines)) <= 50
    assert " ".join(" ".join(line.split("|")[1] for line in lines[2:-1]).split()) == message


def test_square_brackets_are_text() -> None:
    """What looks like rich's markup in a row is shown as it stands."""
    assert printed(report.table([("[red]x[/red]",)], ["message"]))[2] == " [red]x[/red]"


@pytest.mark.parametrize(
    "value, shown",
    [
        (None, ""),
        (True, "t"),
        (False, "f"),
        (Decimal("1.50"), "1.50"),
        (datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC), "2026-01-02 03:04:05+00:00"),
        (timedelta(seconds=61.7), "0:01:02"),
        ({"a": ["ü"]}, '{"a": ["ü"]}'),
    ],
)
def test_values_are_shown_as_psql_does(value: Any, shown: str) -> None:
    """Null is empty, booleans are t and f, times have whole seconds, JSON is JSON."""
    assert report.cell(value) == shown


def test_bands_and_buckets_count_every_score_once() -> None:
    """Each score from 0 to 100 is in one band and in one bucket."""
    by_score = dict.fromkeys(range(101), 1)
    assert report.bands(by_score) == {"high 80..100": 21, "medium 60..79": 20, "low 0..59": 60}
    buckets = report.buckets(by_score)
    assert next(iter(buckets)) == "90..100"
    assert list(buckets.values()) == [11] + [10] * 9


@pytest.mark.parametrize(
    "encoding, expected",
    [
        ("utf-8", [" high │████████ 16  84 %", " mid  │█▌        3  16 %", " low  │          0   0 %"]),  # noqa: E501
        ("ascii", [" high |######## 16  84 %", " mid  |##        3  16 %", " low  |          0   0 %"]),  # noqa: E501
    ],
)  # fmt: skip
def test_histogram_suits_the_encoding(encoding: str, expected: list[str]) -> None:
    """Bars are blocks where the encoding has them and `#` where not; nothing has no bar."""
    counts = {"high": 16, "mid": 3, "low": 0}
    lines = printed(report.histogram(counts, title="bands", width=8), encoding=encoding)
    assert lines == ["bands", *expected]


@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_little_is_not_nothing(ascii_only: bool) -> None:
    """One among a million still has a bar that can be seen; the most fills the width."""
    assert report.bar(1, 1_000_000, 20, ascii_only=ascii_only).strip() != ""
    assert len(report.bar(7, 7, 20, ascii_only=ascii_only).strip()) == 20
    assert report.bar(0, 7, 20, ascii_only=ascii_only) == " " * 20


def test_histogram_fits_the_terminal() -> None:
    """No line is longer than the terminal is wide."""
    counts = report.buckets(dict.fromkeys(range(101), 1000))
    assert max(map(len, printed(report.histogram(counts), width=40))) <= 40


def test_empty_histogram_says_so() -> None:
    """Without counts there is a line that says so, and no error."""
    assert printed(report.histogram({})) == ["(nothing to show)"]
    assert len(printed(report.histogram({"high": 0}))) == 1
