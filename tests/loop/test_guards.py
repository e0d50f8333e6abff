"""What processes do about guards: wait, slow down, measure them in turn, go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from runner.contract import Row
from runner.database.session import Session
from runner.loop.claiming import Claimer
from tests.plugins.processes import SampleDatabase, StartRun, proxied, result_of
from tests.plugins.waiting import wait_until

Meanwhile = Callable[..., Future[str]]


@pytest.fixture
def meanwhile() -> Iterator[Meanwhile]:
    """Runs a call on a thread of its own."""
    with ThreadPoolExecutor() as threads:
        yield threads.submit


def gate(database: SampleDatabase, **settings: str) -> None:
    """A guard that holds above 10 and slows above 5, by a number in a table."""
    database.do("create table gate as select 0 as v")
    given = {"p_hold_above": "10", "p_slow_above": "5", "p_every": "'1 second'", **settings}
    words = ", ".join(f"{name} => {value}" for name, value in given.items())
    database.do(
        f"select backfill.set_guard('gate', 'sql', p_sql => 'select v from public.gate', {words})"
    )


def turn(database: SampleDatabase, value: int) -> None:
    """Set that number."""
    database.do("update gate set v = %s", value)


def waits(database: SampleDatabase) -> str:
    """Why nothing moves, as the view and the processes say; nothing where they don't agree yet."""
    reason = database.one("select coalesce(wait_reason, '') from backfill.progress")
    notes = {row["note"] for row in database.all("select note from backfill.runner")}
    return str(reason) if notes == {reason} else ""


def test_a_run_waits_and_goes_on(sampled: SampleDatabase, meanwhile: Meanwhile) -> None:
    """A run that is started while a guard holds computes no row, and says why; when it is over it
    goes on by itself and finishes.
    """
    sampled.items(ok=50)
    gate(sampled)
    turn(sampled, 11)
    process = sampled.process(sampled.start(), result_of, exit_on_pause=True)
    ended = meanwhile(process.work)
    wait_until(lambda: waits(sampled).startswith("held by guard gate: its query's value is 11"))
    assert sampled.states() in ({}, {"ready": 50})
    turn(sampled, 3)
    assert ended.result(30) == "done"
    sampled.assert_each_written_once()
    actions = sampled.all("select action from backfill.event where action ~ '^hold' order by id")
    assert [row["action"] for row in actions] == ["hold", "hold_over"]


def test_rows_in_hand_are_finished(sampled: SampleDatabase, meanwhile: Meanwhile) -> None:
    """A guard that begins to hold in the middle of a run stops claims, and nothing else."""
    sampled.items(ok=300)
    sampled.do("update backfill.task set batch_size = 10")
    gate(sampled)
    computed: list[str] = []

    def compute(row: Row) -> dict[str, Any]:
        computed.append(str(row["key"]))
        time.sleep(0.02)
        return result_of(row)

    ended = meanwhile(sampled.process(sampled.start(), compute, threads=2).work)
    wait_until(lambda: len(computed) > 20)
    turn(sampled, 11)
    wait_until(lambda: waits(sampled).startswith("held by guard gate"))
    wait_until(lambda: "running" not in sampled.states())
    held = sampled.done()
    assert 20 <= held < 300
    turn(sampled, 0)
    assert ended.result(60) == "done"
    sampled.assert_each_written_once()


def test_a_run_that_is_slowed_takes_longer(sampled: SampleDatabase, meanwhile: Meanwhile) -> None:
    """Its rows are done all the same, and the process and the view say that it is slowed."""
    sampled.items(ok=40)
    sampled.do("update backfill.task set batch_size = 4")
    gate(sampled, p_slow_by="6")
    turn(sampled, 6)

    def compute(row: Row) -> dict[str, Any]:
        time.sleep(0.01)
        return result_of(row)

    began = time.monotonic()
    ended = meanwhile(sampled.process(sampled.start(), compute, threads=1).work)
    words = "slowed by guard gate: its query's value is 6, above 5"
    wait_until(lambda: waits(sampled) == words)
    assert ended.result(30) == "done"
    assert time.monotonic() - began > 2 * 40 * 0.01
    sampled.assert_each_written_once()


def test_a_held_run_can_be_told_to_go(sampled: SampleDatabase, meanwhile: Meanwhile) -> None:
    """By its longest duration, by cancelling it, by a signal."""
    sampled.items(ok=5)
    gate(sampled)
    turn(sampled, 11)
    assert sampled.process(sampled.start(), result_of, max_duration=0.5).work() == "max_duration"
    run = sampled.start()
    ended = meanwhile(sampled.process(run, result_of).work)
    wait_until(lambda: sampled.live() != [])
    sampled.do("select backfill.cancel(%s)", run)
    assert ended.result(30) == "cancelled"
    stop = threading.Event()
    ended = meanwhile(sampled.process(sampled.start(), result_of, stop=stop).work)
    stop.set()
    assert ended.result(30) == "interrupted"
    assert sampled.writes() == {0: 5}


def test_processes_measure_in_turn(sampled: SampleDatabase, meanwhile: Meanwhile) -> None:
    """However many processes wait for a guard, it is measured once in its interval."""
    sampled.items(ok=5)
    gate(sampled)
    turn(sampled, 11)
    sampled.do("""
        create table measured (at timestamptz);
        create function measured() returns trigger language plpgsql as $$
        begin insert into public.measured values (new.evaluated_at); return null; end $$;
        create trigger measured after update of evaluated_at on backfill.guard_reading
            for each row when (old.evaluated_at is distinct from new.evaluated_at)
            execute function measured()""")
    run = sampled.start()
    three = [meanwhile(sampled.process(run, result_of).work) for _ in range(3)]
    wait_until(lambda: sampled.one("select count(*) from measured") >= 4)
    turn(sampled, 0)
    assert {one.result(30) for one in three} == {"done"}
    gaps = sampled.all(
        "select extract(epoch from at - lag(at) over (order by at))::float as gap from measured"
        " order by at offset 1"
    )
    assert min(row["gap"] for row in gaps) >= 0.9


@pytest.mark.parametrize("pooled", [False, True])
def test_a_guard_that_hangs_is_passed(sampled: SampleDatabase, pooled: bool) -> None:
    """It is cut off by its timeout, and where it is to pass the run is done, also with several of
    them; behind a pooler no later statement has that timeout.
    """
    sampled.items(ok=50)
    for name in ("a", "b", "c"):
        sampled.do(
            "select backfill.set_guard(%s, 'sql', p_sql => 'select pg_sleep(60)',"
            " p_hold_above => 1, p_every => '1 second', p_timeout => '100 ms',"
            " p_on_failure => 'pass')",
            name,
        )
    with proxied(sampled.url, pooled=pooled) as proxy:
        process = sampled.process(sampled.start(), result_of, url=proxy.url)
        assert process.work() == "done"
    sampled.assert_each_written_once()
    errors = sampled.all("select distinct error from backfill.guards")
    assert errors == [{"error": "no answer within 0.1 s"}]


def test_a_slow_guard_is_not_taken_for_a_slow_scan(sampled: SampleDatabase) -> None:
    """The queue is looked through from its start again as soon as if there were no guard."""
    sampled.items(ok=5)
    sampled.do(
        "select backfill.set_guard('slow', 'sql', p_hold_above => 1,"
        " p_sql => 'select length(pg_sleep(1)::text)')"
    )
    run = sampled.start()
    runner = sampled.one("select backfill.join_run(%s, 1, 'test', 1, false)", run)
    sampled.do("select backfill.discover(%s)", run)
    with Session(sampled.url, name="test") as session:
        claimer = Claimer(session, runner)
        assert claimer.claim(3, alone=False, held={}).status == "jobs"
        # fifty times the scan, and not fifty times the second
        assert claimer._next_full_look - time.monotonic() < 40


def test_the_progress_line_says_why(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """So does a run without a terminal, in its log."""
    sampled.items(ok=5)
    gate(sampled)
    turn(sampled, 11)
    command = run_sample(sampled)
    command.says("held by guard gate: its query's value is 11, above 10")
    turn(sampled, 0)
    assert command.ended() == 0
