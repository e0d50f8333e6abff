"""When a schedule is due: in its time zone, each time once, and what is late."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runner.errors import UsageError
from runner.worker.cron import Cron, ticks

LATE = timedelta(seconds=15)


def times(expression: str, zone: str, since: str, number: int) -> list[str]:
    """The next times, in UTC."""
    cron, at, found = Cron(expression, zone), datetime.fromisoformat(since), []
    for _ in range(number):
        following = cron.after(at)
        assert following is not None
        at = following
        found.append(f"{at:%m-%d %H:%M}")
    return found


@pytest.mark.parametrize(
    "expression, since, expected",
    [
        # 02:30 is left out on 29 March, and comes right after; the next day it is as usual
        ("30 2 * * *", "2026-03-28T12:00Z", ["03-29 01:00", "03-30 00:30"]),
        # 02:30 comes twice on 25 October, and is taken once
        ("30 2 * * *", "2026-10-24T12:00Z", ["10-25 00:30", "10-26 01:30"]),
        # by the minute: no gap and nothing twice in either night
        ("*/30 * * * *", "2026-03-29T00:29Z", ["03-29 00:30", "03-29 01:00", "03-29 01:30"]),
        (
            "*/30 * * * *",
            "2026-10-25T00:01Z",
            ["10-25 00:30", "10-25 01:00", "10-25 01:30", "10-25 02:00"],
        ),
        ("*/30 22-2 * * *", "2026-10-25T00:31Z", ["10-25 01:00", "10-25 01:30", "10-25 21:00"]),
    ],
)
def test_clocks_that_change_lose_no_tick_and_repeat_none(
    expression: str, since: str, expected: list[str]
) -> None:
    """In the nights of spring and autumn in Berlin."""
    assert times(expression, "Europe/Berlin", since, len(expected)) == expected


def test_a_year_of_ticks_is_in_order_and_complete() -> None:
    """One tick a day in every zone, whatever its clocks do, and each later than the one before."""
    for zone in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "UTC"):
        cron = Cron("15 2 * * *", zone)
        at = datetime(2026, 1, 1, 12, tzinfo=UTC)
        days = 0
        while (following := cron.after(at)) is not None and following.year == 2026:
            assert timedelta(hours=2) <= following - at <= timedelta(hours=25)
            at, days = following, days + 1
        assert days in (364, 365), zone


def test_seconds_stand_last() -> None:
    """A sixth field is the second."""
    cron = Cron("* * * * * */20", "UTC")
    assert cron.after(datetime(2026, 1, 1, 0, 0, 21, tzinfo=UTC)) == datetime(
        2026, 1, 1, 0, 0, 40, tzinfo=UTC
    )


def test_what_is_never_due_has_no_time() -> None:
    """30 February is in no year."""
    assert Cron("0 0 30 2 *", "UTC").after(datetime(2026, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    "expression, zone",
    [
        ("61 * * * *", "UTC"),
        ("* * * *", "UTC"),
        ("a b c d e", "UTC"),
        ("@daily", "UTC"),
        ("*/0 * * * *", "UTC"),
        ("R R * * *", "UTC"),
        ("H(0-29) * * * *", "UTC"),
        ("* * * * *", "Mars/Olympus"),
        ("* * * * *", "../etc/passwd"),
    ],
)
def test_what_can_t_be_understood_is_refused(expression: str, zone: str) -> None:
    """In one line, with an example of what would be."""
    with pytest.raises(UsageError, match=r"\*/10 \* \* \* \*|Europe/Berlin"):
        Cron(expression, zone)


def test_each_tick_that_is_a_little_late_is_fired() -> None:
    """After a pause of four seconds there are four, each followed by the next."""
    due = datetime(2026, 1, 1, 0, 0, 0, tzinfo=UTC)
    found = ticks(Cron("* * * * * *", "UTC"), due, due + timedelta(seconds=3.5), LATE)
    assert [at.second for at, _ in found] == [0, 1, 2, 3]
    assert [following.second for _, following in found if following] == [1, 2, 3, 4]


def test_ticks_that_are_long_past_are_one() -> None:
    """A schedule that nobody fired for a month is fired once for it, and for the last seconds."""
    due = datetime(2026, 1, 1, tzinfo=UTC)
    now = datetime(2026, 2, 1, 12, 0, 0, 500_000, tzinfo=UTC)
    assert [at for at, _ in ticks(Cron("0 4 * * *", "UTC"), due, now, LATE)] == [
        datetime(2026, 2, 1, 4, tzinfo=UTC)
    ]
    assert len(ticks(Cron("* * * * * *", "UTC"), due, now, LATE)) == 16
