"""`backfill guard`: setting, listing and dropping guards."""

from __future__ import annotations

import re
from decimal import Decimal

import click
import pytest

from runner.cli.guard import KINDS, Threshold
from runner.errors import ExitCode
from tests.cli.conftest import Backfill
from tests.plugins.processes import SampleDatabase


@pytest.fixture
def guarded(
    sampled: SampleDatabase, backfill: Backfill, monkeypatch: pytest.MonkeyPatch
) -> Backfill:
    """`backfill` on a database with the sample task."""
    monkeypatch.setenv("DATABASE_URL", sampled.url)
    monkeypatch.setenv("BACKFILL_TASKS", "tests.sample:task")
    return backfill


@pytest.mark.parametrize(
    "text, value",
    [("30", 30), ("1.5s", Decimal("1.5")), ("5m", 300), ("250ms", Decimal("0.25")), ("2h", 7200),
     ("16MB", 16 * 2**20), ("1 GB", 2**30), ("-1", -1)],
)  # fmt: skip
def test_thresholds_have_units(text: str, value: object) -> None:
    """Of time, in seconds, or of bytes, in powers of 1024."""
    assert Threshold().convert(text, None, None) == value


@pytest.mark.parametrize("text", ["", "many", "5 minutes", "1e5x", "--3", "1.2.3", "MB"])
def test_what_is_no_threshold_is_refused(text: str) -> None:
    """With a word on what would be one."""
    with pytest.raises(click.BadParameter, match="like 30, 5m or 16MB"):
        Threshold().convert(text, None, None)


def test_the_kinds_are_those_of_the_database(sampled: SampleDatabase) -> None:
    """The command offers what the database takes."""
    rule = sampled.one(
        "select pg_get_constraintdef(oid) from pg_constraint where conname = 'guard_kind_is_known'"
    )
    assert tuple(re.findall(r"'(\w+)'", rule)) == KINDS


def test_a_guard_is_set_changed_and_dropped(guarded: Backfill, sampled: SampleDatabase) -> None:
    """It is measured at once, and what is not given stays."""
    ended = guarded(
        "guard", "set", "old", "oldest_transaction", "--hold-above", "5m", "--clear-below", "60",
        "--task", "sample", "--slow-by", "2.5", "--every", "2s", "--timeout", "500ms",
        "--on-failure", "pass",
    )  # fmt: skip
    assert (ended.code, ended.out) == (ExitCode.DONE, "old is set: clear, at 0 s\n")
    assert guarded("guard", "set", "old", "--slow-above", "2m").code == ExitCode.DONE
    (row,) = guarded("guard", "list", "--json").json
    assert {key: row[key] for key in ("kind", "task", "slow_above", "hold_above", "clear_below",
        "slow_by", "every", "timeout", "on_failure", "state")} == {
        "kind": "oldest_transaction", "task": "sample", "slow_above": 120, "hold_above": 300,
        "clear_below": 60, "slow_by": 2.5, "every": 2, "timeout": 0.5, "on_failure": "pass",
        "state": "clear",
    }  # fmt: skip
    assert guarded("guard", "drop", "old").out == "old is dropped\n"
    assert sampled.one("select count(*) from backfill.guard") == 0


def test_the_list_says_what_each_does(guarded: Backfill) -> None:
    """A line for each, and why those that hold do."""
    assert "no guard is set; see: backfill guard set --help" in guarded("guard", "list").err
    held = guarded("guard", "set", "q", "sql", "--sql", "select 5", "--hold-above", "4")
    assert held.out == "q is set: held by guard q: its query's value is 5, above 4\n"
    guarded("guard", "set", "lag", "replication_lag", "--of", "east", "--hold-above", "30",
            "--on-failure", "pass")  # fmt: skip
    ended = guarded("guard", "list", "sample")
    header, lag, query = (line.split() for line in ended.out.splitlines())
    assert header[:3] == ["name", "kind", "for"]
    assert lag[:4] == ["lag", "replication_lag", "east", "clear"]
    assert query[:4] == ["q", "sql", "hold", "5"]
    assert "lag: replica east is not connected" in ended.err
    assert "q: held by guard q" in ended.err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["set", "new", "--hold-above", "1"], "there is no guard named 'new'; a new one needs"),
        (["set", "new", "wal_rate"], "the guard is refused, since this is the rule: guard has a t"),
        (["set", "Bad Name", "wal_rate", "--hold-above", "1"], "guard name is a word"),
        (["set", "new", "speed"], "'speed' is not one of"),
        (["set", "new", "wal_rate", "--hold-above", "1", "--task", "gone"], "gone"),
        (["set", "new", "sql", "--sql", "select 1", "--hold-above", "1", "--run-as", "nobody_x"],
         "may not have a query evaluated with the rights of nobody_x; who has that role may"),
        (["drop", "new"], "there is no guard named 'new'; there are: none"),
        (["list", "gone"], "gone"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_a_line(guarded: Backfill, arguments: list[str], words: str) -> None:
    """With what to do instead; nothing is set."""
    ended = guarded("guard", *arguments)
    assert ended.code == ExitCode.USAGE
    assert words in ended.err
    assert guarded("guard", "list", "--json").json == []


def test_what_somebody_else_evaluates_is_left_to_him(
    guarded: Backfill, sampled: SampleDatabase
) -> None:
    """A query for another login's sessions is set, and not measured here."""
    role = f"login_{sampled.one('select current_database()')}"
    sampled.do(f"create role {role} login")
    try:
        ended = guarded("guard", "set", "q", "sql", "--sql", "select 5", "--hold-above", "1",
                        "--run-as", role)  # fmt: skip
        assert ended.out == "q is set: unknown\n"
        assert sampled.one("select run_as from backfill.guards") == role
    finally:
        sampled.do(f"drop role {role}")
