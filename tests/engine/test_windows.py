"""Hours in which a task's rows are handed out."""

from __future__ import annotations

import psycopg
import pytest

from tests.engine.test_requests import watched
from tests.plugins.engine import Engine

NOW = (
    "select n.open, to_char(n.changes_at at time zone 'UTC', 'MM-DD HH24:MI') as changes"
    " from backfill.task_window w, backfill.window_now(w, %s::timestamptz) n"
)
CLOSED = """
select backfill.set_window('sample', (localtime + interval '2 hours')::time(0),
                           (localtime + interval '4 hours')::time(0), current_setting('timezone'))
"""
OPEN = """
select backfill.set_window('sample', (localtime - interval '2 hours')::time(0),
                           (localtime + interval '2 hours')::time(0), current_setting('timezone'))
"""


@pytest.mark.parametrize(
    "window, moment, is_open, changes",
    [
        ("22:00 06:00 UTC", "2026-06-01 21:59Z", False, "06-01 22:00"),
        ("22:00 06:00 UTC", "2026-06-01 22:00Z", True, "06-02 06:00"),
        ("22:00 06:00 UTC", "2026-06-02 05:59Z", True, "06-02 06:00"),
        ("22:00 06:00 UTC", "2026-06-02 06:00Z", False, "06-02 22:00"),
        ("09:00 17:00 UTC", "2026-06-01 08:00Z", False, "06-01 09:00"),
        ("09:00 17:00 UTC", "2026-06-01 09:00Z", True, "06-01 17:00"),
        ("09:00 17:00 UTC", "2026-06-01 17:00Z", False, "06-02 09:00"),
        ("18:00 24:00 UTC", "2026-06-01 23:59Z", True, "06-02 00:00"),
        ("22:00 06:00 Europe/Berlin", "2026-06-01 20:00Z", True, "06-02 04:00"),
        ("22:00 06:00 Europe/Berlin", "2026-12-01 20:00Z", False, "12-01 21:00"),
        # the night in which clocks are put forward is an hour shorter
        ("22:00 06:00 Europe/Berlin", "2026-03-28 21:30Z", True, "03-29 04:00"),
    ],
)
def test_a_window_is_open_between_two_times_of_day(
    engine: Engine, window: str, moment: str, is_open: bool, changes: str
) -> None:
    """Past midnight too, in its own time zone, in summer and winter."""
    engine.rows("select backfill.set_window('sample', %s, %s, %s)", *window.split())
    assert engine.one(NOW, moment) == {"open": is_open, "changes": changes}


def test_outside_its_window_a_task_s_rows_wait(engine: Engine) -> None:
    """The claim and the progress say until when; inside it they are handed out."""
    engine.at_work(1)
    runner = engine.value("select max(id) from backfill.runner")
    engine.rows(CLOSED)
    claim = engine.claim(runner)
    assert claim["status"] == "held"
    assert claim["reason"].startswith("outside its window ")
    assert engine.progress()["wait_reason"] == claim["reason"]
    assert engine.progress()["eta"] is None
    engine.rows(OPEN)
    assert engine.claim(runner)["status"] == "jobs"


def test_a_window_that_is_cleared_holds_nothing(engine: Engine) -> None:
    """It holds from the next claim on, and both leave their event."""
    _, runner = engine.at_work(1)
    engine.rows(CLOSED)
    assert engine.claim(runner)["status"] == "held"
    engine.rows("select backfill.clear_window('sample')")
    assert engine.claim(runner)["status"] == "jobs"
    assert engine.events("set_window")[0]["detail"]["zone"]
    assert len(engine.events("clear_window")) == 1
    engine.rows("select backfill.clear_window('sample')")
    assert len(engine.events("clear_window")) == 1


def test_new_rows_have_no_hours(engine: Engine) -> None:
    """They are done at any time, and so is another try of theirs."""
    run = watched(engine)
    runner = engine.join(run)
    engine.rows(CLOSED)
    engine.add(1)
    news = engine.one("select * from backfill.claim_new(%s, 10)", runner)
    assert [job["key"] for job in news["jobs"]] == ["1"]
    engine.release(runner)
    engine.due()
    assert engine.claim(runner)["status"] == "jobs"


def test_a_time_zone_that_is_gone_holds_its_task_alone(engine: Engine) -> None:
    """Its rows wait, with the reason; the views of all tasks can still be read."""
    engine.rows(OPEN)
    engine.rows("update backfill.task_window set zone = 'Mars/Phobos'")
    engine.at_work(1)
    runner = engine.value("select max(id) from backfill.runner")
    assert "Mars/Phobos, is unknown" in engine.claim(runner)["reason"]
    assert engine.one("select open, changes_at from backfill.windows") == {
        "open": False,
        "changes_at": None,
    }
    reason = "select wait_reason from backfill.progress where task = 'sample'"
    assert "Mars/Phobos" in engine.value(reason)


def test_outside_its_window_nobody_is_sent_to_a_run(engine: Engine) -> None:
    """Its seats are in the queue when it opens."""
    engine.rows(CLOSED)
    engine.rows("select backfill.start('sample')")
    engine.rows("select backfill.serve()")
    assert engine.rows("select from backfill.pgqueuer") == []
    engine.rows(OPEN)
    assert engine.one("select * from backfill.serve()")["queued"] == 1


@pytest.mark.parametrize(
    "given, words",
    [
        (("22:00", "22:00", "UTC"), "closes at another"),
        (("00:00", "24:00", "UTC"), "closes at another"),
        ((None, "22:00", "UTC"), "closes at another"),
        (("22:00", "06:00", "Nowhere"), "no time zone 'Nowhere'"),
    ],
)
def test_what_is_no_window_is_refused(
    engine: Engine, given: tuple[str | None, str, str], words: str
) -> None:
    """It says what a window has."""
    with pytest.raises(psycopg.Error, match=words) as caught:
        engine.rows("select backfill.set_window('sample', %s::time, %s, %s)", *given)
    assert caught.value.sqlstate == "BF014"
