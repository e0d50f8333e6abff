"""How values are shown to people and to machines."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from runner.cli.output import Column, emit_json, human, table
from runner.units import duration


@pytest.mark.parametrize(
    "seconds, shown",
    [
        (0, "0s"), (0.0004, "0ms"), (0.12, "120ms"), (0.9996, "1s"), (1.25, "1.2s"), (9.96, "10s"),
        (59.6, "1m"), (512, "8m 32s"), (3600, "1h"), (3661, "1h 1m"), (90_061, "1d 1h"),
        (-5, "-5s"),
    ],
)  # fmt: skip
def test_duration(seconds: float, shown: str) -> None:
    """A length of time is shown in its two largest units."""
    assert duration(seconds) == shown
    assert duration(timedelta(seconds=seconds)) == shown


def test_json_of_database_values(capsys: pytest.CaptureFixture[str]) -> None:
    """Times become ISO 8601, durations seconds, numbers stay numbers."""
    emit_json(
        {
            "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            "took": timedelta(minutes=2),
            "whole": Decimal("3.000000"),
            "part": Decimal("0.25"),
            "most": Decimal("Infinity"),
            "place": Path("a/b"),
            "words": {"b", "a"},
        }
    )
    assert json.loads(capsys.readouterr().out) == {
        "at": "2026-01-02T03:04:05+00:00",
        "took": 120.0,
        "whole": 3,
        "part": 0.25,
        "most": "Infinity",
        "place": "a/b",
        "words": ["a", "b"],
    }


def test_plain_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    """Off a terminal a table is plain text in columns, numbers to the right, without colours."""
    rows = [
        {"task": "a", "rows": 1200, "run": 12345, "what": None},
        {"task": "longer", "rows": 7, "run": 1, "what": "x\n\x1b[31my"},
    ]
    table(rows, ["task", "rows", "run", Column("what", "why")])
    assert capsys.readouterr().out.splitlines() == [
        "task     rows    run  why",
        "a       1,200  12345",
        "longer      7      1  x \\x1b[31my",
    ]


def test_terminal_table_keeps_text_as_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal what looks like markup in a row's error is shown, not obeyed."""
    monkeypatch.setattr("runner.cli.output.on_terminal", lambda: True)
    table([{"error": "[bold]not markup[/bold] \x1b[2J"}], ["error"])
    shown = capsys.readouterr().out
    assert "[bold]not markup[/bold] \\x1b[2J" in shown


@pytest.mark.parametrize(
    "value, shown",
    [
        (None, ""),
        (True, "yes"),
        (1234567, "1,234,567"),
        (Decimal("2526.1"), "2,526"),
        ({"a": 1}, '{"a": 1}'),
        ("a\n b", "a b"),
    ],
)
def test_human(value: object, shown: str) -> None:
    """Every value fits on one line."""
    assert human(value) == shown
