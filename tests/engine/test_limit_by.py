"""A limit for each group: so many rows of each value of a column, whoever does them."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import psycopg
import pytest
from alembic import command
from psycopg.types.json import Jsonb

from runner.database import migrate
from tests.cli.catalog import catalog
from tests.engine.roles import login
from tests.plugins.engine import Connection, Engine, Row, outcome

EACH = {"limit_by": "input", "limit_each": 2}


def add(engine: Engine, **groups: int) -> None:
    """Add so many items of each group, in this order; an item's group is its input."""
    for name, number in groups.items():
        first = engine.value("select coalesce(max(id), 0) + 1 from item")
        engine.add(first, first + number - 1)
        engine.rows("update item set input = %s where id >= %s", name, first)


def start(engine: Engine, options: object = None, *more: Any, on: Connection | None = None) -> int:
    """Start a run with these options; its number. `more`: where, limit, retry_failed."""
    arguments = [*more, *(None, None, False)[len(more) :]]
    query = "select backfill.start('sample', %s, %s, %s, %s, p_source => 'cli')"
    return int(engine.value(query, Jsonb(EACH if options is None else options), *arguments, on=on))


def keys(claim: Row) -> list[str]:
    """Keys of the jobs that were claimed."""
    return [job["key"] for job in claim["jobs"]]


def work_off(engine: Engine, run: int, kind: str = "ok", chunk: int = 1000) -> list[str]:
    """Do all that this run takes, let it end; the keys."""
    runner = engine.join(run)
    engine.sweep(run, chunk)
    done = []
    while jobs := engine.claim(runner)["jobs"]:
        engine.finish(runner, [outcome(job, kind) for job in jobs])
        done += [job["key"] for job in jobs]
    engine.leave(runner)
    return done


def ended(engine: Engine, run: int) -> tuple[str, int, bool]:
    """Why it ended, and how many rows it had said that it would do."""
    row = engine.one("select * from backfill.runs where run = %s", run)
    return row["exit_reason"], row["found"], row["found_exact"]


# --- how many -------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_a_run_takes_so_many_rows_of_each_group(engine: Engine, chunk: int) -> None:
    """The first ones of each, wherever the chunks of its sweep end; it ends by its limit."""
    add(engine, alice=5, bob=1, carol=3, alice_=2)
    run = start(engine)
    assert work_off(engine, run, chunk=chunk) == ["1", "2", "6", "7", "8", "10", "11"]
    assert ended(engine, run) == ("limit", 7, True)
    assert engine.value("select count(*) from item where writes = 1") == 7


def test_one_run_after_the_other_does_all(engine: Engine) -> None:
    """Each takes the next rows of each group; the one that leaves nothing over is done."""
    add(engine, alice=5, bob=3)
    runs = []
    for expected in (["1", "2", "6", "7"], ["3", "4", "8"], ["5"]):
        runs.append(start(engine))
        assert work_off(engine, runs[-1]) == expected
    assert [ended(engine, run)[:2] for run in runs] == [("limit", 4), ("limit", 3), ("done", 1)]
    assert engine.states() == {"ok": 8}


def test_rows_that_failed_before_leave_their_place_to_the_next(engine: Engine) -> None:
    """They don't count, unless the run takes failed ones up: then they come first, and do."""
    add(engine, alice=6)
    assert work_off(engine, start(engine), "failed") == ["1", "2"]
    assert work_off(engine, start(engine)) == ["3", "4"]
    assert work_off(engine, start(engine, EACH, None, None, True)) == ["1", "2"]
    assert work_off(engine, start(engine)) == ["5", "6"]


def test_what_waits_in_the_common_lane_counts(engine: Engine) -> None:
    """Jobs that an interrupted run left ready, retries among them, are taken over and counted."""
    add(engine, alice=5)
    _, runner = engine.at_work()
    (job,) = engine.claim(runner, 1)["jobs"]
    engine.finish(runner, [outcome(job, "retry")])
    engine.leave(runner, "interrupted")
    narrow = start(engine)
    engine.sweep(narrow)
    engine.due()
    assert sorted(keys(engine.claim(engine.join(narrow)))) == ["1", "2"]
    wide = engine.start()
    engine.sweep(wide)
    assert keys(engine.claim(engine.join(wide))) == ["3", "4", "5"]


def test_a_retry_and_an_orphan_are_no_further_rows(engine: Engine) -> None:
    """A row that is handed out again is the same row, whatever happened to the first process."""
    add(engine, alice=5)
    run = start(engine)
    runner = engine.join(run)
    engine.sweep(run)
    first, _second = engine.claim(runner)["jobs"]
    engine.finish(runner, [outcome(first, "retry")])
    engine.silent(runner, 100)
    engine.rescue()
    engine.due()
    other = engine.join(run)
    assert engine.sweep(run) == 0
    assert keys(engine.claim(other, alone=True)) == ["2"]
    assert keys(engine.claim(other)) == ["1"]
    assert engine.claim(other)["status"] == "none"


def test_a_limit_of_rows_and_a_condition_hold_as_well(engine: Engine) -> None:
    """The limit of each group is one of the rows that match; --limit is one of the whole run."""
    add(engine, alice=4, bob=4)
    run = start(engine, EACH, "native_key % 2 = 0")
    assert work_off(engine, run) == ["2", "4", "6", "8"]
    assert ended(engine, run)[0] == "done"
    run = start(engine, {**EACH, "limit_each": 1}, None, 1)
    runner = engine.join(run)
    engine.sweep(run)
    assert keys(engine.claim(runner)) == ["1"]
    assert engine.claim(runner)["status"] == "limit"


def test_groups_are_told_apart_whatever_they_are_called(engine: Engine) -> None:
    """Null, an empty text, quotes, and long texts with the same beginning."""
    names = [None, "", "''", "null", "x" * 5000 + "1", "x" * 5000 + "2", "%s"]
    engine.rows("alter table item alter column input drop not null")
    for name in names:
        add(engine, any=3)
        engine.rows("update item set input = %s where id > (select max(id) - 3 from item)", name)
    run = start(engine)
    assert len(work_off(engine, run, "nothing_found")) == 2 * len(names)
    assert ended(engine, run)[:2] == ("limit", 2 * len(names))


# --- beside others --------------------------------------------------------------------------------


def test_two_runs_at_once_take_different_rows(engine: Engine) -> None:
    """The second, which had meant to take the same, takes the next ones of each group."""
    add(engine, alice=5, bob=5)
    one, two = start(engine), start(engine)
    session, other = engine.connect(autocommit=False), engine.connect()
    engine.discover(one, on=session)
    sweeping = engine.meanwhile(engine.discover, two, on=other)
    engine.blocked(other)
    session.commit()
    assert sweeping.result()["enqueued"] == 4
    assert keys(engine.claim(engine.join(one))) == ["1", "2", "6", "7"]
    assert keys(engine.claim(engine.join(two))) == ["3", "4", "8", "9"]


def test_rows_that_others_have_in_hand_leave_their_place(engine: Engine) -> None:
    """What a process of another run holds or is just taking is not waited for, nor counted."""
    add(engine, alice=5)
    _, runner = engine.at_work()
    engine.claim(runner, 1)
    session = engine.connect(autocommit=False)
    engine.claim(runner, 1, on=session)
    run = start(engine)
    assert engine.sweep(run) == 2
    session.rollback()
    assert keys(engine.claim(engine.join(run))) == ["3", "4"]
    assert keys(engine.claim(runner)) == ["2", "5"]


def test_a_process_that_dies_in_a_sweep_takes_its_share_along(engine: Engine) -> None:
    """What it had enqueued and what it had counted are undone together."""
    add(engine, alice=5)
    run = start(engine)
    session = engine.connect(autocommit=False)
    assert engine.discover(run, on=session)["enqueued"] == 2
    assert engine.discover(run)["state"] == "busy"
    session.rollback()
    assert work_off(engine, run) == ["1", "2"]


def test_many_processes_share_the_limit(engine: Engine) -> None:
    """Processes that sweep and claim at the same time take together what one would have taken."""
    add(engine, **{f"user{n}": n for n in range(1, 21)})
    run = start(engine, {**EACH, "limit_each": 7})

    def work(runner: int) -> list[str]:
        session, done = engine.connect(), []
        while True:
            state = engine.discover(run, 10, on=session)["state"]
            jobs = engine.claim(runner, 5, on=session)["jobs"]
            engine.finish(runner, [outcome(job) for job in jobs], on=session)
            done += [job["input"]["input"] for job in jobs]
            if state == "ended" and not jobs:
                return done

    parts = [engine.meanwhile(work, engine.join(run)) for _ in range(4)]
    done = Counter(name for part in parts for name in part.result())
    assert done == {f"user{n}": min(n, 7) for n in range(1, 21)}


def test_the_end_of_the_run_leaves_nothing_of_it(engine: Engine) -> None:
    """What is not done goes back to the common lane; the shares are forgotten."""
    add(engine, alice=5)
    run = start(engine)
    runner = engine.join(run)
    engine.sweep(run)
    assert engine.rows("select grp, taken from backfill.sweep_group") == [
        {"grp": "'alice'", "taken": 2}
    ]
    engine.leave(runner, "interrupted")
    assert ended(engine, run)[0] == "interrupted"
    assert engine.rows("select * from backfill.sweep_group") == []
    assert engine.column("select distinct lane from backfill.job") == [0]
    assert work_off(engine, engine.start()) == ["1", "2", "3", "4", "5"]


# --- before it starts -----------------------------------------------------------------------------


def test_counts_and_previews_are_those_of_the_run(engine: Engine) -> None:
    """Rows that would be taken, those not enqueued yet and those done before, and the first."""
    add(engine, alice=5, bob=1, carol=3)
    work_off(engine, engine.start(where="native_key in (1, 6)"), "failed")
    _, runner = engine.at_work()
    engine.leave(runner)
    options = Jsonb(EACH)
    count = "select * from backfill.count_pending('sample', null, %s, 50000, %s)"
    assert engine.one(count, False, options) == {
        "pending": 4, "exact": True, "unqueued": 0, "again": 0,
    }  # fmt: skip
    assert engine.one(count, True, options) == {
        "pending": 5, "exact": True, "unqueued": 2, "again": 2,
    }  # fmt: skip
    preview = "select key from backfill.preview('sample', null, true, %s, %s)"
    for number, first in ((2, ["1", "2"]), (5, ["1", "2", "6", "7", "8"])):
        assert engine.column(preview, number, options) == first
    (row,) = engine.rows("select * from backfill.preview('sample', null, true, 3, %s)", options)[2:]
    plain = engine.one("select * from backfill.preview('sample', 'native_key = 6', true)")
    assert row == plain


def test_beyond_what_is_counted_the_planner_is_asked(engine: Engine) -> None:
    """The number of groups times the limit of each, and no more than there are rows."""
    add(engine, **{f"user{n}": 30 for n in range(10)})
    engine.at_work()
    engine.rows("analyze item, backfill.job")
    count = "select pending, exact from backfill.count_pending('sample', null, false, 100, %s)"
    assert engine.one(count, Jsonb(EACH)) == {"pending": 20, "exact": False}
    found = engine.one(count, Jsonb({**EACH, "limit_each": 1000}))
    assert (200 <= found["pending"] <= 400, found["exact"]) == (True, False)


def test_progress_goes_by_the_limit(engine: Engine) -> None:
    """What is beyond it is no part of the total, and nothing remains at the end."""
    add(engine, alice=5, bob=1)
    run = start(engine)
    runner = engine.join(run)
    engine.discover(run, 2)
    row = engine.progress()
    assert (row["total"], row["total_exact"], row["remaining"]) == (3, True, 3)
    engine.sweep(run)
    jobs = engine.claim(runner)["jobs"]
    engine.finish(runner, [outcome(job) for job in jobs])
    row = engine.progress()
    assert (row["total"], row["done"], row["remaining"]) == (3, 3, 0)


def test_the_audit_has_the_limit(engine: Engine) -> None:
    """Who reads the event knows what was asked for."""
    start(engine)
    detail = engine.events("start")[-1]["detail"]
    assert (detail["limit_by"], detail["limit_each"]) == ("input", 2)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"limit_each": 5}, "needs both options, limit_by and limit_each"),
        ({"limit_by": "input"}, "needs both options"),
        ({**EACH, "limit_each": 0}, "a whole number above 0 and is '0'"),
        ({**EACH, "limit_each": "ten"}, "a whole number above 0 and is 'ten'"),
        ({**EACH, "limit_each": 1.5}, "a whole number above 0 and is '1.5'"),
        ({**EACH, "limit_each": 10**30}, "a whole number above 0"),
        ({**EACH, "limit_by": "nobody"}, "no column 'nobody' to limit by"),
        ({**EACH, "limit_by": "input)--"}, "no column"),
        ({**EACH, "limit_by": "tableoid"}, "no column"),
    ],
)
def test_what_is_no_limit_is_refused(engine: Engine, options: Row, message: str) -> None:
    """A start, a count and a preview with it are errors that say what is wrong; no run is made."""
    engine.add(1)
    for call in (
        "select backfill.start('sample', %s, p_source => 'cli')",
        "select * from backfill.count_pending('sample', p_options => %s)",
        "select * from backfill.preview('sample', p_options => %s)",
    ):
        with pytest.raises(psycopg.Error, match=message.replace("(", "[(]")) as caught:
            engine.rows(call, Jsonb(options))
        assert caught.value.sqlstate == "BF009"
    assert engine.value("select count(*) from backfill.run") == 0


# --- who, and the revision ------------------------------------------------------------------------


def test_any_process_of_the_runners_role_works_for_it(engine: Engine) -> None:
    """It has no SQL of anybody's, so it matters not who started it."""
    add(engine, alice=3)
    with login(engine.database.url, "backfill_runner") as conninfo:
        on = engine.connect(conninfo=conninfo)
        for run in (start(engine), start(engine, on=on)):
            runner = engine.join(run, on=on)
            engine.discover(run, on=on)
            jobs = engine.claim(runner, on=on)["jobs"]
            assert engine.finish(runner, [outcome(job) for job in jobs], on=on)["ok"] == len(jobs)
    assert engine.states() == {"ok": 3}


def move(url: str, step: Any, revision: str) -> list[str]:
    """Go up or down to a revision of the engine; the catalog there."""
    migrate._online(url, migrate._config([], {}), partial(step, revision=revision))
    return catalog(url)


def test_work_goes_on_without_this_revision_and_with_it_again(engine: Engine) -> None:
    """A run with such a limit is ended by the downgrade, since it would take everything."""
    add(engine, alice=5)
    over, live = start(engine), start(engine)
    work_off(engine, over)
    runner = engine.join(live)
    engine.sweep(live)
    (job,) = engine.claim(runner, 1)["jobs"]
    url = engine.database.url
    there = catalog(url)
    move(url, command.downgrade, "engine_0006")
    assert engine.value("select exit_reason from backfill.run where id = %s", live) == "cancelled"
    assert engine.claim(runner)["status"] == "cancelled"
    engine.finish(runner, [outcome(job, "retry")])
    engine.due()
    assert sorted(work_off(engine, engine.start())) == ["3", "4", "5"]
    assert move(url, command.upgrade, "engine@head") == there
    add(engine, bob=3)
    assert work_off(engine, start(engine)) == ["6", "7"]
