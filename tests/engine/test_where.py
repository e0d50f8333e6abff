"""Runs with a condition: they take what matches and nothing else, and write nothing by it."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.plugins.engine import Engine, Row, outcome


def keys(claim: Row) -> list[str]:
    """Keys of the jobs that were claimed."""
    return [job["key"] for job in claim["jobs"]]


def lanes(engine: Engine) -> dict[str, int]:
    """Each job's lane by its key."""
    return {row["key"]: row["lane"] for row in engine.rows("select key, lane from backfill.job")}


# --- lanes ------------------------------------------------------------------------------------


def test_a_run_takes_only_what_matches_its_condition(engine: Engine) -> None:
    """A run with a condition gets the rows that match, one without gets none of those."""
    engine.add(1, 6)
    narrow = engine.start(where="native_key % 2 = 0")
    assert engine.one("select found, found_exact from backfill.run") == {
        "found": 3, "found_exact": True,
    }  # fmt: skip
    runner = engine.join(narrow)
    assert engine.sweep(narrow) == 3
    wide = engine.start()
    engine.sweep(wide)
    assert keys(engine.claim(engine.join(wide))) == ["1", "3", "5"]
    assert keys(engine.claim(runner)) == ["2", "4", "6"]


def test_a_run_takes_over_what_waits_in_the_common_lane(engine: Engine) -> None:
    """Rows that match and are enqueued for everybody are moved over: fresh ones, retries, orphans;
    what is running stays where it is.
    """
    run, runner = engine.at_work(6)
    jobs = engine.claim(runner, 2)["jobs"]
    engine.finish(runner, [outcome(jobs[0], "retry", after=60)])
    other = engine.join(run)
    engine.claim(other, 1, after=jobs[-1]["id"])
    engine.silent(other, 100)
    engine.rescue()
    narrow = engine.start(where="native_key < 5")
    engine.sweep(narrow)
    assert lanes(engine) == {"1": narrow, "2": 0, "3": narrow, "4": narrow, "5": 0, "6": 0}
    engine.due()
    later = engine.join(narrow)
    assert keys(engine.claim(later, alone=True)) == ["3"]
    assert keys(engine.claim(later)) == ["1", "4"]


def test_two_runs_with_conditions_share_nothing(engine: Engine) -> None:
    """A row that matches two runs' conditions is the first one's while that one lasts."""
    engine.add(1, 4)
    one, two = engine.start(where="native_key <= 3"), engine.start(where="native_key >= 2")
    engine.sweep(one)
    engine.sweep(two)
    assert keys(engine.claim(engine.join(two))) == ["4"]
    assert keys(engine.claim(engine.join(one))) == ["1", "2", "3"]


def test_jobs_are_handed_back_at_the_runs_end(engine: Engine) -> None:
    """What a run with a condition leaves undone is anybody's: fresh, retries, orphans, held."""
    engine.add(1, 5)
    narrow = engine.start(where="true")
    one, two = engine.join(narrow), engine.join(narrow)
    engine.sweep(narrow)
    (job,) = engine.claim(one, 1)["jobs"]
    engine.finish(one, [outcome(job, "retry", after=3600)])
    engine.claim(two, 1)
    engine.silent(two, 100)
    engine.rescue()
    engine.claim(one, 1)
    engine.leave(one)
    assert engine.value("select status from backfill.run") == "ended"
    assert set(lanes(engine).values()) == {0}
    assert engine.states() == {"ready": 5}
    assert engine.value("select count(*) from backfill.sweep where lane <> 0") == 0
    wide = engine.join(engine.start())
    engine.due()
    assert keys(engine.claim(wide, alone=True)) == ["2"]
    assert sorted(keys(engine.claim(wide))) == ["1", "3", "4", "5"]


@pytest.mark.parametrize("how", ["rescue", "release", "leave", "retry"])
def test_jobs_of_a_run_that_was_ended_under_its_processes_are_not_lost(
    engine: Engine, how: str
) -> None:
    """A job that a process still holds when its run is ended goes back to everybody's lane."""
    engine.add(1)
    narrow = engine.start(where="true")
    runner = engine.join(narrow)
    engine.sweep(narrow)
    (job,) = engine.claim(runner)["jobs"]
    engine.rows("select backfill.end_run(%s, 'error')", narrow)
    if how == "rescue":
        engine.silent(runner, 100)
        engine.rescue()
    elif how == "release":
        engine.release(runner)
    elif how == "leave":
        engine.leave(runner)
    else:
        engine.finish(runner, [outcome(job, "retry")])
        engine.due()
    wide = engine.join(engine.start())
    assert keys(engine.claim(wide, alone=True)) == ["1"]


def test_a_failed_job_of_a_run_that_ended_can_be_retried(engine: Engine) -> None:
    """Retry puts a job into everybody's lane where the run that it failed in is over."""
    engine.add(1, 2)
    narrow = engine.start(where="true")
    runner = engine.join(narrow)
    engine.sweep(narrow)
    engine.finish(runner, [outcome(job, "failed") for job in engine.claim(runner)["jobs"]])
    engine.value("select backfill.retry('sample', null, '{1}')")
    assert lanes(engine)["1"] == narrow
    engine.leave(runner)
    engine.value("select backfill.retry('sample')")
    assert set(lanes(engine).values()) == {0}
    assert len(engine.claim(engine.join(engine.start()))["jobs"]) == 2


def test_the_next_sweep_takes_over_what_a_race_left_in_a_dead_lane(engine: Engine) -> None:
    """Where a job was handed back at the very moment that its run ended, the next run finds it."""
    engine.add(1)
    narrow = engine.start(where="true")
    runner = engine.join(narrow)
    engine.sweep(narrow)
    engine.claim(runner)
    session, ender = engine.connect(autocommit=False), engine.connect()
    engine.rows("select backfill.release(%s)", runner, on=session)
    engine.rows("select backfill.end_run(%s, 'error')", narrow, on=ender)
    session.commit()
    assert lanes(engine) == {"1": narrow}
    wide = engine.start()
    engine.sweep(wide)
    assert keys(engine.claim(engine.join(wide))) == ["1"]


def test_the_end_of_a_run_waits_for_a_sweep_in_flight(engine: Engine) -> None:
    """What a sweep enqueues while its run is being ended is handed back as well."""
    engine.add(1, 3)
    narrow = engine.start(where="true")
    session, ender = engine.connect(autocommit=False), engine.connect()
    engine.discover(narrow, on=session)
    ending = engine.meanwhile(engine.rows, "select backfill.end_run(%s, 'error')", narrow, on=ender)
    engine.blocked(ender)
    session.commit()
    ending.result()
    assert set(lanes(engine).values()) == {0}
    assert engine.discover(narrow)["state"] == "ended"


# --- a condition writes nothing ---------------------------------------------------------------

WRITER = """
create table witness (n int);
create function bump(key bigint) returns boolean language plpgsql as $$
begin
    insert into public.witness values (key);
    return true;
end $$;
"""


def everything(engine: Engine) -> list[list[Row]]:
    """All that a condition might have changed."""
    tables = ("witness", "item", "backfill.job", "backfill.run", "backfill.event")
    return [engine.rows(f"select * from {table} t order by t::text") for table in tables]


@pytest.mark.parametrize(
    "call",
    [
        "select backfill.start('sample', '{}', %s, p_source => 'cli')",
        "select * from backfill.count_pending('sample', %s)",
        "select * from backfill.preview('sample', %s)",
    ],
)
def test_a_condition_with_a_side_effect_is_refused(engine: Engine, call: str) -> None:
    """A condition that writes gives an error and leaves nothing, wherever it is given."""
    engine.rows(WRITER)
    engine.add(1, 3)
    before = everything(engine)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        engine.rows(call, "public.bump(native_key)")
    assert everything(engine) == before


def test_a_condition_that_writes_at_the_second_chunk_is_refused_there(engine: Engine) -> None:
    """A side effect that shows itself later leaves nothing either, and what was swept stays."""
    engine.rows(WRITER)
    engine.add(1, 2)
    run = engine.start(where="native_key < 10 or public.bump(native_key)")
    assert engine.discover(run, 2)["enqueued"] == 2
    engine.rows("update backfill.sweep set high = '20' where lane <> 0")
    engine.add(11, 12)
    before = everything(engine)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        engine.discover(run, 2)
    assert everything(engine) == before
    assert engine.states() == {"ready": 2}


@pytest.mark.parametrize(
    "condition",
    [
        "set_config('transaction_read_only', 'off', true) is not null and public.bump(native_key)",
        "nextval('public.numbers') > 0",
        "true)) n; insert into public.witness values (1); select count(*), 1, 1 from (select (1",
        "true)) n; set transaction read write; insert into public.witness values (1); select (((1",
        "true)) n; drop table public.witness; --",
        "native_key in (delete from public.item returning id)",
    ],
)
def test_no_trick_makes_a_condition_write(engine: Engine, condition: str) -> None:
    """Neither settings, sequences nor statements smuggled in by parentheses write anything."""
    engine.rows(WRITER + "create sequence numbers;")
    engine.add(1, 3)
    before = everything(engine)
    for call in (
        engine.start,
        lambda where: engine.rows("select * from backfill.preview('sample', %s)", where),
    ):
        with pytest.raises(psycopg.Error):
            call(where=condition)
    assert everything(engine) == before
    assert engine.value("select last_value from numbers") == 1
    assert engine.value("select not is_called from numbers")


@pytest.mark.parametrize(
    "condition, found",
    [
        ("native_key = 2 -- only the second", [2]),
        ("native_key = 2 /* only the second */", [2]),
        ("native_key = 1) or (native_key = 3", [1, 3]),
        ("  native_key = 2  ", [2]),
        ("behaviour = 'o''k' or input = 'a' and native_key > 1", [2, 3]),
        ("input like '%' and native_key < 2", [1]),
        ("native_key in (select max(id) from public.item)", [3]),
        ("'%s' <> '' and native_key = 1", [1]),
        ("   ", [1, 2, 3]),
    ],
)
def test_a_condition_means_what_it_says(engine: Engine, condition: str, found: list[int]) -> None:
    """Comments, quotes, percent signs and parentheses of a condition select what they should."""
    engine.add(1, 3)
    expected = [str(key) for key in found]
    pending = "select pending from backfill.count_pending('sample', %s)"
    assert engine.value(pending, condition) == len(found)
    preview = "select key from backfill.preview('sample', %s)"
    assert [row["key"] for row in engine.rows(preview, condition)] == expected
    run = engine.start(where=condition)
    engine.sweep(run)
    assert keys(engine.claim(engine.join(run))) == expected


@pytest.mark.parametrize(
    "condition", ["native_key = 1 /*", "/* x", "j.state = 'ready'", "nonsense", "("]
)
def test_a_condition_that_is_none_is_refused(engine: Engine, condition: str) -> None:
    """What is no condition on the view's columns is an error at the start, and no run is made."""
    with pytest.raises(psycopg.ProgrammingError):
        engine.start(where=condition)
    assert engine.value("select count(*) from backfill.run") == 0


# --- whose rights -----------------------------------------------------------------------------


def as_somebody(engine: Engine, name: str) -> Callable[[], psycopg.Connection[Row]]:
    """Makes sessions of another superuser."""
    role = f"{name}_{engine.database.name}"
    engine.rows(f"create role {role} login superuser password 'x'")
    return lambda: engine.connect(
        conninfo=make_conninfo(engine.database.url, user=role, password="x")
    )


def test_a_condition_is_evaluated_in_its_authors_sessions_alone(engine: Engine) -> None:
    """Another user's process refuses a run with a condition, so its rights can't be borrowed."""
    other = as_somebody(engine, "other")
    try:
        session = other()
        engine.add(1)
        run = engine.start(where="true")
        for call in (engine.join, engine.discover):
            with pytest.raises(
                psycopg.Error, match="which is not evaluated with the rights of"
            ) as e:
                call(run, on=session)
            assert e.value.sqlstate == "BF005"
        assert engine.sweep(run) == 1
        assert engine.join(engine.start(), on=session)
        session.close()
    finally:
        engine.rows(f"drop role other_{engine.database.name}")
