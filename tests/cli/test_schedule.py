"""`backfill schedule` and `backfill window`: when runs are started, and when they may go on."""

from __future__ import annotations

import json

import pytest

from runner.errors import ExitCode
from tests.cli.conftest import Backfill
from tests.plugins.processes import SampleDatabase


@pytest.fixture
def on(sampled: SampleDatabase, backfill: Backfill, monkeypatch: pytest.MonkeyPatch) -> Backfill:
    """`backfill` on a database with the sample task."""
    monkeypatch.setenv("DATABASE_URL", sampled.url)
    monkeypatch.setenv("BACKFILL_TASKS", "tests.sample:narrowed")
    return backfill


def test_a_schedule_is_added_listed_and_dropped(on: Backfill, sampled: SampleDatabase) -> None:
    """With its name, zone and options; a second one of the task gets a name of its own."""
    ended = on(
        "schedule", "add", "sample", "*/10 22-6 * * *", "--limit", "500", "--tz", "Europe/Berlin",
        "--processes", "2", "--set", "folder=/x",
    )  # fmt: skip
    assert ended.out == "sample is set: sample at */10 22-6 * * * Europe/Berlin\n"
    assert "due next at " in ended.err
    assert on("schedule", "add", "sample", "0 4 * * *", "--resume").code == ExitCode.DONE
    listed = json.loads(on("schedule", "list", "--json").out)
    assert [(row["name"], row["cron"], row["timezone"]) for row in listed] == [
        ("sample", "*/10 22-6 * * *", "Europe/Berlin"),
        ("sample-2", "0 4 * * *", "UTC"),
    ]
    assert listed[0]["options"] == {"limit": 500, "folder": "/x", "processes": 2}
    # the task's own limit, where none is given
    assert listed[1]["options"]["limit"] == 3
    assert listed[1]["options"]["retry_failed"] is True
    shown = on("schedule", "list", "sample")
    assert "no worker is there to fire it" in shown.err
    assert on("schedule", "drop", "sample").out == "sample is dropped\n"
    assert sampled.one("select count(*) from backfill.schedule") == 1


def test_a_condition_of_the_task_s_is_left_to_whoever_fires_it(
    on: Backfill, sampled: SampleDatabase
) -> None:
    """What an option stands for is no SQL in the schedule."""
    on("schedule", "add", "sample", "0 4 * * *", "--set", "up_to=7")
    options = sampled.one("select options from backfill.schedule")
    assert options["up_to"] == 7
    assert "where" not in options


def test_a_schedule_is_disabled_and_enabled(on: Backfill, sampled: SampleDatabase) -> None:
    """It says so, and is not fired in between."""
    on("schedule", "add", "sample", "0 4 * * *", "--name", "night")
    assert on("schedule", "disable", "night").out == "night is disabled\n"
    assert not sampled.one("select enabled from backfill.schedule")
    assert on("schedule", "enable", "night").out == "night is enabled\n"
    assert sampled.one("select enabled from backfill.schedule")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("add", "sample", "61 * * * *"), "can't be understood"),
        (("add", "sample", "* * * * *", "--tz", "Mars"), "there is no time zone 'Mars'"),
        (("add", "sample", "* * * * *", "--set", "color=red"), "color: is no option of this task"),
        (("add", "sample", "* * * * *", "--name", "!"), "schedule name is plain"),
        (("add", "nosuch", "* * * * *"), "nosuch"),
        (("drop", "nosuch"), "there is no schedule named 'nosuch'"),
    ],
)
def test_what_can_t_be_is_refused_in_a_line(
    on: Backfill, arguments: tuple[str, ...], words: str
) -> None:
    """Before anything is written."""
    ended = on("schedule", *arguments)
    assert ended.code == ExitCode.USAGE
    assert words in ended.err
    assert len(ended.err.splitlines()) == 1


def test_no_schedule_says_how_to_make_one(on: Backfill) -> None:
    """An empty list is no dead end; nor are hours that nobody set."""
    assert "backfill schedule add TASK" in on("schedule", "list").err
    assert "backfill window TASK 22:00-06:00" in on("window").err


def test_a_window_is_set_shown_and_cleared(on: Backfill, sampled: SampleDatabase) -> None:
    """In its own time zone."""
    ended = on("window", "sample", "22:00-6:00", "--tz", "Europe/Berlin")
    assert ended.code == ExitCode.DONE
    assert "22:00-06:00  Europe/Berlin" in ended.out
    (row,) = json.loads(on("window", "--json").out)
    assert (row["task"], row["zone"], row["opens"]) == ("sample", "Europe/Berlin", "22:00")
    assert "18:00-00:00  UTC" in on("window", "sample", "18:00-24:00").out
    assert on("window", "sample", "--always").out == "sample may run at any hour\n"
    assert sampled.one("select count(*) from backfill.task_window") == 0


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("sample", "22-6"), "two times of day"),
        (("sample", "22:00-22:00"), "closes at another"),
        (("sample", "22:00-25:00"), "25:00"),
        (("sample", "22:00-06:00", "--tz", "Mars"), "no time zone 'Mars'"),
        (("sample", "22:00-06:00", "--always"), "can't be given with hours"),
        (("--always",), "say of which task"),
    ],
)
def test_hours_that_can_t_be_are_refused(
    on: Backfill, arguments: tuple[str, ...], words: str
) -> None:
    """With what would be."""
    ended = on("window", *arguments)
    assert ended.code == ExitCode.USAGE
    assert words in ended.err
