"""Schedules: set by operators, planned and fired by workers, each tick by one of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.engine.roles import login
from tests.plugins.engine import Engine, Row
from tests.plugins.waiting import wait_until

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SET = "select backfill.set_schedule(%s, 'sample', %s, %s, %s)"


def schedule(engine: Engine, name: str = "s", cron: str = "* * * * *", **options: Any) -> None:
    """Set a schedule."""
    engine.rows(SET, name, cron, Jsonb(options), "UTC")


def planned(engine: Engine, **options: Any) -> None:
    """Set a schedule that is due at NOW."""
    schedule(engine, **options)
    set_at = engine.value("select set_at from backfill.schedule")
    assert engine.value("select backfill.plan_schedule('s', %s, %s, null)", set_at, NOW)


def fire(
    engine: Engine,
    *,
    expected: datetime = NOW,
    at: datetime = NOW,
    own: str | None = None,
    on: Any = None,
) -> Row:
    """Fire it; what came of it."""
    query = "select * from backfill.fire_schedule('s', %s, %s, %s, null, %s)"
    return engine.one(query, expected, at, at + timedelta(minutes=1), own, on=on)


def ticks(engine: Engine) -> list[Row]:
    """The ticks, in order."""
    return engine.rows("select at, outcome, run, reason from backfill.tick order by at")


def refused(engine: Engine, query: str, *parameters: Any) -> psycopg.Error:
    """What a statement is refused with."""
    with pytest.raises(psycopg.Error) as caught:
        engine.rows(query, *parameters)
    return caught.value


def test_a_tick_starts_a_run_with_the_schedule_s_options(engine: Engine) -> None:
    """Limit, condition, batch and delay go to the run, all else to the computation."""
    planned(
        engine, limit=3, where="native_key > 1", retry_failed=True, batch_size=7, delay_ms=9,
        processes=2, folder="/x",
    )  # fmt: skip
    engine.add(1, 5)
    fired = fire(engine)
    run = engine.one("select * from backfill.run where id = %s", fired["run"])
    assert fired["outcome"] == "started"
    assert (run["max_jobs"], run["where_sql"], run["retry_failed"]) == (3, "native_key > 1", True)
    assert (run["batch_size"], run["delay_ms"]) == (7, 9)
    assert (run["source"], run["seats"]) == ("schedule", 2)
    assert run["options"] == {"folder": "/x", "processes": 2}
    assert ticks(engine) == [{"at": NOW, "outcome": "started", "run": run["id"], "reason": None}]
    (shown,) = engine.rows("select * from backfill.schedules")
    assert (shown["last_at"], shown["last_run"]) == (NOW, run["id"])
    assert shown["next_at"] == NOW + timedelta(minutes=1)


def test_a_tick_is_fired_once(engine: Engine) -> None:
    """Of two workers that fire it at the same moment one starts a run; the other finds it taken."""
    planned(engine)
    engine.add(1)
    first, second = engine.connect(autocommit=False), engine.connect()
    assert fire(engine, on=first)["outcome"] == "started"
    # it does not wait for the other one's start
    assert fire(engine, on=second) == {"outcome": "taken", "run": None, "reason": None}
    first.commit()
    assert fire(engine, on=second)["outcome"] == "taken"
    assert len(ticks(engine)) == 1


def test_a_worker_that_dies_in_the_middle_has_fired_nothing(engine: Engine) -> None:
    """Run, tick and the schedule's next time commit together."""
    planned(engine)
    engine.add(1)
    dying = engine.connect(autocommit=False)
    fire(engine, on=dying)
    dying.close()
    assert ticks(engine) == []
    assert engine.rows("select from backfill.run") == []
    # until the server has noticed that the other one is gone, it is at it
    wait_until(lambda: fire(engine)["outcome"] == "started")


def test_a_tick_beside_a_live_run_is_skipped(engine: Engine) -> None:
    """It says which run was live, and the next tick is fired as usual."""
    planned(engine)
    engine.add(1)
    run = fire(engine)["run"]
    later = NOW + timedelta(minutes=1)
    fired = fire(engine, expected=later, at=later)
    assert fired == {"outcome": "skipped", "run": None, "reason": f"run {run} of sample is live"}
    engine.rows("select backfill.cancel(%s)", run)
    last = later + timedelta(minutes=1)
    assert fire(engine, expected=last, at=last)["outcome"] == "started"
    assert [tick["outcome"] for tick in ticks(engine)] == ["started", "skipped", "started"]


def test_a_paused_task_s_tick_is_skipped(engine: Engine) -> None:
    """It says who paused it."""
    planned(engine)
    engine.rows("select backfill.pause('sample')")
    fired = fire(engine)
    assert fired["outcome"] == "skipped"
    assert fired["reason"].startswith("sample is paused by ")


def test_a_tick_that_can_t_start_a_run_says_why(engine: Engine) -> None:
    """What start() refuses is the tick's reason, and the schedule goes on."""
    planned(engine, where="no_such_column > 1")
    fired = fire(engine)
    assert (fired["outcome"], fired["run"]) == ("failed", None)
    assert "no_such_column" in fired["reason"]
    assert engine.value("select next_at from backfill.schedule") == NOW + timedelta(minutes=1)


def test_a_tick_with_nothing_to_do_needs_no_process(engine: Engine) -> None:
    """Its run is there for whoever watches whether the schedule is kept, and has ended."""
    planned(engine)
    run = fire(engine)["run"]
    assert engine.value("select exit_reason from backfill.run where id = %s", run) == "done"
    assert engine.rows("select from backfill.pgqueuer") == []


def test_a_tick_is_not_fired_before_its_time(engine: Engine) -> None:
    """A worker whose idea of time is wrong fires nothing: the database's clock decides."""
    future = datetime.now(UTC) + timedelta(hours=1)
    schedule(engine)
    set_at = engine.value("select set_at from backfill.schedule")
    engine.rows("select backfill.plan_schedule('s', %s, %s, null)", set_at, future)
    assert fire(engine, expected=future, at=future)["outcome"] == "taken"


def test_a_schedule_that_is_changed_is_planned_anew(engine: Engine) -> None:
    """Also by a plain update; who had planned or fired it as it was comes too late."""
    planned(engine)
    set_at = engine.value("select set_at from backfill.schedule")
    engine.rows("update backfill.schedule set cron = '0 * * * *'")
    assert engine.one("select planned, next_at from backfill.schedule") == {
        "planned": False, "next_at": None,
    }  # fmt: skip
    assert fire(engine)["outcome"] == "taken"
    assert not engine.value("select backfill.plan_schedule('s', %s, %s, null)", set_at, NOW)
    changed = engine.events("set_schedule")[-1]["detail"]
    assert (changed["schedule"], changed["cron"]) == ("s", "0 * * * *")


def test_other_options_leave_the_plan_alone(engine: Engine) -> None:
    """A new limit does not move the next time."""
    planned(engine)
    engine.rows("""update backfill.schedule set options = '{"limit": 1}'""")
    assert engine.value("select next_at from backfill.schedule") == NOW


def test_a_disabled_schedule_is_not_fired(engine: Engine) -> None:
    """Nor is what was due meanwhile when it is enabled again."""
    planned(engine)
    engine.rows("select backfill.enable_schedule('s', false)")
    assert fire(engine)["outcome"] == "taken"
    engine.rows("select backfill.enable_schedule('s')")
    row = engine.one("select planned, set_at from backfill.schedule")
    assert not row["planned"]
    assert row["set_at"] > NOW


@pytest.mark.parametrize(
    "cron, zone, words",
    [
        ("* * * *", "UTC", "has five fields"),
        ("", "UTC", "has five fields"),
        ("* * * * * * *", "UTC", "has five fields"),
        ("* * * * *", "Mars/Olympus", "there is no time zone 'Mars/Olympus'"),
    ],
)
def test_what_is_no_schedule_is_refused(engine: Engine, cron: str, zone: str, words: str) -> None:
    """Fields and zone are looked at when it is set."""
    error = refused(engine, SET, "s", cron, Jsonb({}), zone)
    assert error.sqlstate == "BF013"
    assert words in str(error)


def test_an_unknown_schedule_names_those_that_are_there(engine: Engine) -> None:
    """Dropping or enabling what is not there says what is."""
    schedule(engine, "nightly")
    for call in ("drop_schedule('x')", "enable_schedule('x')"):
        error = refused(engine, f"select backfill.{call}")
        assert (error.sqlstate, error.diag.message_hint) == ("BF013", "there are: nightly")
    engine.rows("select backfill.drop_schedule('nightly')")
    assert engine.events("drop_schedule")[0]["detail"] == {"schedule": "nightly"}


def test_a_condition_is_not_evaluated_with_somebody_else_s_rights(engine: Engine) -> None:
    """Only workers of the login that set it fire it; who changes it makes it his own."""
    planned(engine, where="native_key > 0")
    engine.add(1)
    with (
        login(engine.database.url, "backfill_runner") as runner,
        login(engine.database.url, "backfill_operator") as operator,
    ):
        fired = fire(engine, on=engine.connect(conninfo=runner))
        assert fired["outcome"] == "failed"
        assert "its condition is of " in fired["reason"]
        update = """update backfill.schedule set options = '{"where": "true"}'"""
        other = engine.connect(conninfo=operator)
        other.execute(update.encode())
        assert engine.value("select condition_by from backfill.schedule") == engine.value(
            "select session_user::text", on=other
        )


def test_the_task_s_own_condition_is_the_worker_s(engine: Engine) -> None:
    """What the task's code makes of its options narrows the run, beside the schedule's own."""
    planned(engine, where="native_key < 3 -- few")
    engine.add(1, 5)
    run = fire(engine, own="native_key > 1")["run"]
    assert engine.value("select found from backfill.run where id = %s", run) == 1


def test_a_schedule_that_can_t_be_planned_says_why(engine: Engine) -> None:
    """What a worker can't make of it is told, and is gone when it is mended."""
    schedule(engine, cron="61 * * * *")
    set_at = engine.value("select set_at from backfill.schedule")
    engine.rows("select backfill.plan_schedule('s', %s, null, 'no such minute')", set_at)
    assert engine.value("select note from backfill.schedules") == "no such minute"
    schedule(engine, cron="1 * * * *")
    assert engine.value("select note from backfill.schedules") == (
        "no worker is there to fire it: backfill worker"
    )


def test_a_task_in_use_leaves_its_tick_for_later(engine: Engine) -> None:
    """Nobody waits for whoever keeps a transaction open; the tick is not lost."""
    planned(engine)
    engine.add(1)
    other = engine.connect(autocommit=False)
    engine.rows("select backfill.pause('sample')", on=other)
    with pytest.raises(psycopg.errors.LockNotAvailable):
        fire(engine)
    other.rollback()
    assert fire(engine)["outcome"] == "started"


def test_options_that_the_task_refuses_fail_the_tick(engine: Engine) -> None:
    """The worker's code says why, and the schedule goes on."""
    planned(engine)
    query = "select * from backfill.fire_schedule('s', %s, %s, %s, null, null, 'no number')"
    fired = engine.one(query, NOW, NOW, NOW + timedelta(minutes=1))
    assert fired == {"outcome": "failed", "run": None, "reason": "no number"}
    assert engine.value("select next_at from backfill.schedule") > NOW


def test_a_schedule_that_is_set_again_leaves_one_event(engine: Engine) -> None:
    """And none where nothing changes."""
    schedule(engine)
    schedule(engine)
    schedule(engine, cron="0 4 * * *")
    assert [event["detail"]["cron"] for event in engine.events("set_schedule")] == [
        "* * * * *", "0 4 * * *",
    ]  # fmt: skip
