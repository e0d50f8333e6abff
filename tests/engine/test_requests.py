"""Runs that are asked for here and worked for by workers: one a task, each seat filled once."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.engine.serving import Fleet
from tests.plugins.engine import Engine

START = "select backfill.start('sample', %s, p_source => %s) as run"


@pytest.fixture
def fleet(engine: Engine) -> Fleet:
    """See `Fleet`."""
    return Fleet(engine)


def start(engine: Engine, source: str = "psql", on: Any = None, **options: Any) -> int:
    """Start a run for workers; its number."""
    return int(engine.value(START, Jsonb(options), source, on=on))


def refused(call: Any, *arguments: Any, **options: Any) -> psycopg.Error:
    """What a call is refused with."""
    with pytest.raises(psycopg.Error) as caught:
        call(*arguments, **options)
    return caught.value


@pytest.mark.parametrize("source", ["psql", "api", "page", "schedule"])
def test_a_start_hands_its_seats_to_workers(engine: Engine, fleet: Fleet, source: str) -> None:
    """Whoever starts a run but the command line: its seats are in pgqueuer's queue when it is."""
    run = start(engine, source, processes=2)
    jobs = engine.rows("select * from backfill.pgqueuer order by id")
    assert [(j["entrypoint"], j["dedupe_key"], j["priority"]) for j in jobs] == [
        ("seat:sample", f"run:{run}:1", 0),
        ("seat:sample", f"run:{run}:2", -1),
    ]
    assert json.loads(jobs[1]["payload"]) == {"run": run, "seat": 2, "task": "sample"}
    logged = engine.column("select job_id from backfill.pgqueuer_log where status = 'queued'")
    assert logged == [job["id"] for job in jobs]


def test_the_command_line_needs_no_worker(engine: Engine, fleet: Fleet) -> None:
    """A run that a command starts is that command's, and may be there beside another."""
    first, second = engine.start(), engine.start()
    assert start(engine)
    assert engine.value("select seats from backfill.run where id = %s", first) is None
    assert fleet.queued() == [f"run:{second + 1}:1"]


def test_a_start_that_is_taken_back_leaves_nothing_in_the_queue(
    engine: Engine, fleet: Fleet
) -> None:
    """Run, seats and queue commit together."""
    other = engine.connect(autocommit=False)
    start(engine, on=other)
    other.rollback()
    assert fleet.queued() == []
    assert engine.rows("select from backfill.run") == []


def test_workers_that_listen_are_told_of_a_start(engine: Engine) -> None:
    """A free seat is notified when the start commits."""
    if engine.database.pooled:
        pytest.skip("nothing is heard through a transaction pooler")
    listener = engine.connect()
    listener.execute("listen backfill_queue")
    start(engine)
    (said,) = listener.notifies(timeout=5, stop_after=1)
    assert json.loads(said.payload)["operation"] == "insert"


def test_of_a_task_one_run_is_served_at_a_time(engine: Engine) -> None:
    """The second start is refused with the number of the run that is live, until that has ended."""
    run = start(engine)
    error = refused(start, engine)
    assert error.sqlstate == "BF011"
    assert error.diag.message_primary == f"run {run} of sample is live"
    assert error.diag.message_detail == str(run)
    engine.rows("select backfill.cancel(%s)", run)
    assert start(engine) > run


def test_two_starts_at_once_make_one_run(engine: Engine) -> None:
    """The second waits for the first and is refused, though it saw no run when it began."""
    first, second = engine.connect(autocommit=False), engine.connect()
    run = start(engine, on=first)
    waiting = engine.meanwhile(refused, start, engine, on=second)
    engine.blocked(second)
    first.commit()
    error = waiting.result(20)
    assert (error.sqlstate, error.diag.message_detail) == ("BF011", str(run))
    assert engine.column("select id from backfill.run") == [run]


def test_another_is_started_beside_it_where_that_is_asked(engine: Engine, fleet: Fleet) -> None:
    """With the option beside a second run is live, and its seat comes after the first one's."""
    first = start(engine, processes=2)
    second = start(engine, beside=True)
    assert fleet.queued() == [f"run:{first}:1", f"run:{first}:2", f"run:{second}:1"]


@pytest.mark.parametrize("given", [0, 65, "many", -1, 1.5])
def test_processes_that_can_t_be_are_refused(engine: Engine, given: object) -> None:
    """A number of processes that is none is told at the start."""
    error = refused(start, engine, processes=given)
    assert error.sqlstate == "BF009"
    assert "processes" in str(error)


# --- the same request again -----------------------------------------------------------------------

ONCE = "select * from backfill.start_once(%s, 'sample', %s)"


def test_the_same_request_is_the_same_run(engine: Engine) -> None:
    """A key with the same request gives the run that it became, live or not."""
    first = engine.one(ONCE, "k", Jsonb({"a": 1}))
    assert first["created"]
    assert engine.one(ONCE, "k", Jsonb({"a": 1})) == {"run": first["run"], "created": False}
    engine.rows("select backfill.cancel(%s)", first["run"])
    assert engine.one(ONCE, "k", Jsonb({"a": 1})) == {"run": first["run"], "created": False}


def test_a_key_is_for_one_request(engine: Engine) -> None:
    """A key with another request is refused, and says which run it became."""
    first = engine.one(ONCE, "k", Jsonb({}))
    error = refused(engine.one, ONCE, "k", Jsonb({"a": 1}))
    assert (error.sqlstate, error.diag.message_detail) == ("BF012", str(first["run"]))


def test_a_request_that_was_refused_has_used_up_no_key(engine: Engine) -> None:
    """What failed may be asked for again with the same key."""
    run = start(engine)
    assert refused(engine.one, ONCE, "k", Jsonb({})).sqlstate == "BF011"
    engine.rows("select backfill.cancel(%s)", run)
    assert engine.one(ONCE, "k", Jsonb({}))["created"]


def test_the_same_request_twice_at_once_is_one_run(engine: Engine) -> None:
    """The second waits for the first, and gets its run."""
    first, second = engine.connect(autocommit=False), engine.connect()
    made = engine.one(ONCE, "k", Jsonb({}), on=first)
    waiting = engine.meanwhile(engine.one, ONCE, "k", Jsonb({}), on=second)
    engine.blocked(second)
    first.commit()
    assert waiting.result(20) == {"run": made["run"], "created": False}


def test_keys_are_kept_for_a_day(engine: Engine) -> None:
    """After 24 hours a key is new again."""
    first = engine.one(ONCE, "k", Jsonb({}))
    engine.rows("select backfill.cancel(%s)", first["run"])
    engine.rows("update backfill.request_key set at = now() - interval '25 hours'")
    assert engine.one(ONCE, "k", Jsonb({"a": 1}))["created"]


# --- seats ----------------------------------------------------------------------------------------


def test_a_seat_is_taken_by_one(engine: Engine, fleet: Fleet) -> None:
    """However often the queue hands a seat out, one worker has it."""
    run = start(engine)
    one, two = fleet.join(), fleet.join()
    assert fleet.take(one, run)
    assert not fleet.take(two, run)
    assert not fleet.take(one, run)
    assert not fleet.take(one, run, 2)


def test_a_seat_that_is_given_back_goes_to_the_end_of_the_queue(
    engine: Engine, fleet: Fleet
) -> None:
    """Who gives way is not the next one: the other task's run is."""
    worker = fleet.join()
    run = start(engine)
    job = fleet.pick()
    assert job is not None
    fleet.take(worker, run)
    other = other_task(engine)
    fleet.give_back(worker, run)
    fleet.done(job["id"])
    assert fleet.queued() == [f"run:{other}:1", f"run:{run}:1"]


def test_first_seats_come_before_second_ones(engine: Engine, fleet: Fleet) -> None:
    """A task that wants many processes leaves a place to each other task."""
    many = start(engine, processes=3)
    other = other_task(engine)
    assert fleet.queued() == [f"run:{many}:1", f"run:{other}:1", f"run:{many}:2", f"run:{many}:3"]


def other_task(engine: Engine) -> int:
    """A run of another task."""
    engine.rows("select backfill.register_task('other', 1, 'Another.', 1)")
    query = """
        select backfill.create_run(
            'other', '{}', null, null, false, null, null, 'psql', 0, 0, 0, true)"""
    return int(engine.value(query))


def waits(engine: Engine, seconds: float = 3) -> None:
    """Let what is in the queue have waited for so long."""
    engine.rows(
        "update backfill.pgqueuer set execute_after = clock_timestamp() - make_interval(secs => %s)"
        " where status = 'queued'",
        seconds,
    )


def test_a_seat_gives_way_after_its_time_where_others_wait(engine: Engine, fleet: Fleet) -> None:
    """A run keeps its process for a time slice, and for as long as nobody waits."""
    worker = fleet.join()
    run = start(engine)
    fleet.pick()
    fleet.take(worker, run)
    engine.rows("update backfill.seat set taken_at = clock_timestamp() - interval '61 s'")
    assert fleet.keep(worker)["seats"] == {(run, 1): False}
    beside = start(engine, beside=True)
    waits(engine)
    # it is the task's second seat, which does not take the first one's place
    assert fleet.keep(worker)["seats"] == {(run, 1): False}
    engine.rows(
        "update backfill.pgqueuer set priority = 0 where dedupe_key = %s", f"run:{beside}:1"
    )
    assert fleet.keep(worker)["seats"] == {(run, 1): True}
    assert fleet.keep(worker, 120)["seats"] == {(run, 1): False}


def test_a_run_that_would_wait_gives_way_at_once(engine: Engine, fleet: Fleet) -> None:
    """A paused task's process is no use to anybody while others wait for one."""
    worker = fleet.join()
    run = start(engine)
    fleet.pick()
    fleet.take(worker, run)
    start(engine, beside=True)
    waits(engine)
    engine.rows("select backfill.pause('sample')")
    assert fleet.keep(worker)["seats"] == {(run, 1): True}


def test_a_paused_task_s_seats_are_not_handed_out(engine: Engine, fleet: Fleet) -> None:
    """They leave the queue while it is paused, and come back when it goes on."""
    run = start(engine)
    engine.rows("select backfill.pause('sample')")
    fleet.serve()
    assert fleet.queued() == []
    engine.rows("select backfill.resume('sample')")
    assert fleet.serve()["queued"] == 1
    assert fleet.queued() == [f"run:{run}:1"]


def test_the_seats_of_a_silent_worker_are_handed_out_again(engine: Engine, fleet: Fleet) -> None:
    """After ten seconds of silence others get them, and the worker is told that it lost them."""
    worker = fleet.join()
    run = start(engine)
    fleet.pick()
    fleet.take(worker, run)
    fleet.silent(worker, 8)
    assert fleet.serve() == {"lost": 0, "queued": 0}
    fleet.silent(worker)
    engine.rows("update backfill.pgqueuer set updated = now() - interval '6 s'")
    assert fleet.serve() == {"lost": 1, "queued": 1}
    assert fleet.keep(worker) == {"alive": False, "seats": {}}
    assert fleet.take(fleet.join(), run)
    assert [event["detail"]["worker"] for event in engine.events("worker_lost")] == [worker]


def test_what_the_queue_lost_is_put_there_again(engine: Engine, fleet: Fleet) -> None:
    """A free seat without a job gets one; one whose job was picked by a worker that died, too."""
    run = start(engine)
    engine.rows("delete from backfill.pgqueuer")
    assert fleet.serve()["queued"] == 1
    job = fleet.pick()
    assert job is not None
    assert fleet.serve()["queued"] == 0
    engine.rows("update backfill.pgqueuer set updated = now() - interval '6 s'")
    assert fleet.serve()["queued"] == 1
    assert fleet.queued() == [f"run:{run}:1"]


def test_a_task_that_is_removed_leaves_nothing_in_the_queue(engine: Engine, fleet: Fleet) -> None:
    """Its runs go with it, and so do their jobs."""
    other_task(engine)
    engine.rows("select backfill.unregister_task('other')")
    fleet.serve()
    assert fleet.queued() == []


def test_serving_is_one_s_at_a_time(engine: Engine, fleet: Fleet) -> None:
    """Of two workers that put things in order at once, one does."""
    start(engine)
    engine.rows("delete from backfill.pgqueuer")
    other = engine.connect(autocommit=False)
    engine.rows("select backfill.serve()", on=other)
    assert fleet.serve() == {"lost": 0, "queued": 0}
    other.commit()
    assert len(fleet.queued()) == 1


# --- how such a run ends --------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["interrupted", "yielded", "paused", "max_duration", "error"])
def test_a_process_that_is_stopped_does_not_end_the_run(engine: Engine, reason: str) -> None:
    """A served run outlives the processes that work for it."""
    run = start(engine)
    engine.leave(engine.join(run), reason)
    assert engine.value("select status from backfill.run where id = %s", run) == "running"


@pytest.mark.parametrize("reason", ["done", "limit"])
def test_a_run_ends_with_its_last_process(engine: Engine, fleet: Fleet, reason: str) -> None:
    """What ends a run of the command line ends a served one, with its seats and their jobs."""
    run = start(engine, processes=2)
    engine.leave(engine.join(run), reason)
    assert engine.value("select exit_reason from backfill.run where id = %s", run) == reason
    assert fleet.queued() == []
    assert engine.rows("select from backfill.seat") == []


def test_a_served_run_is_not_lost_with_its_processes(engine: Engine) -> None:
    """When all its processes died it waits for others; one that was cancelled ends."""
    run = start(engine)
    runner = engine.join(run)
    engine.silent(runner, 100)
    engine.rescue()
    ended = "update backfill.runner set ended_at = now() - interval '1 hour'"
    engine.rows(ended)
    engine.rescue()
    assert engine.value("select status from backfill.run where id = %s", run) == "running"
    engine.rows("update backfill.run set status = 'cancelling'")
    engine.rescue()
    assert engine.value("select exit_reason from backfill.run where id = %s", run) == "cancelled"


def test_a_run_that_nobody_can_work_for_ends(engine: Engine, fleet: Fleet) -> None:
    """Once each worker has failed at it, and no process works for it; the audit says why."""
    run = start(engine)
    one, two = fleet.join(), fleet.join()
    status = "select status from backfill.run where id = %s"
    failed = "select backfill.fail_run(%s, %s, 'no key')"
    engine.rows(failed, run, one)
    assert engine.value(status, run) == "running"
    assert not fleet.take(one, run)
    runner = engine.join(run)
    engine.rows(failed, run, two)
    assert engine.value(status, run) == "running"
    engine.leave(runner, "error")
    engine.rows(failed, run, two)
    assert engine.value("select exit_reason from backfill.run where id = %s", run) == "error"
    assert engine.events("error")[-1]["detail"] == {"why": "no key", "worker": two}


def test_a_start_with_an_old_snapshot_makes_no_second_run(engine: Engine) -> None:
    """At a higher isolation level, where it does not see the first one."""
    first, second = engine.connect(autocommit=False), engine.connect(autocommit=False)
    second.execute("set transaction isolation level repeatable read")
    second.execute("select count(*) from backfill.run")
    start(engine, on=first)
    first.commit()
    assert refused(start, engine, on=second).sqlstate == "BF011"
    second.rollback()
    assert engine.value("select count(*) from backfill.run") == 1


def test_whoever_could_take_another_task_gives_way_to_it(engine: Engine, fleet: Fleet) -> None:
    """Where workers differ in what they serve, the right one is asked for room."""
    run = start(engine, processes=2)
    one = fleet.join(serves="{seat:sample}")
    two = fleet.join(serves="{seat:sample,seat:other}")
    for seat, worker in ((1, two), (2, one)):
        fleet.pick()
        assert fleet.take(worker, run, seat)
    engine.rows("update backfill.seat set taken_at = clock_timestamp() - interval '1 hour'")
    other_task(engine)
    waits(engine)
    keep = """
        select seats from backfill.keep_seats(
            %s, (select serves from backfill.worker where id = %s), '1 min')"""
    assert engine.value(keep, two, two) == [{"run": run, "seat": 1, "gives_way": True}]
    assert engine.value(keep, one, one) == [{"run": run, "seat": 2, "gives_way": False}]


def test_progress_says_what_a_run_waits_for(engine: Engine, fleet: Fleet) -> None:
    """No worker at all; all workers busy; and nothing once a process works for it."""
    engine.add(1)
    run = start(engine)
    assert engine.progress()["wait_reason"] == "waits for a worker: backfill worker"
    fleet.join()
    assert engine.progress()["wait_reason"] == "waits for its turn at a worker"
    engine.join(run)
    assert engine.progress()["wait_reason"] is None


# --- new rows -------------------------------------------------------------------------------------


def watched(engine: Engine) -> int:
    """Watch the sample task; the number of the run that stands for its new rows."""
    engine.rows("select backfill.declare_inputs('sample', 'public.item', 'id', '{input}')")
    engine.rows("select backfill.watch('sample')")
    engine.rows("select backfill.serve()")
    return int(engine.value("select id from backfill.run where standing"))


def test_a_watched_task_has_one_standing_run(engine: Engine, fleet: Fleet) -> None:
    """One in all, in the queue before all others, ended when the task is watched no longer."""
    run = watched(engine)
    fleet.serve()
    assert engine.column("select id from backfill.run where standing") == [run]
    assert engine.value("select entrypoint from backfill.pgqueuer") == "new:sample"
    assert engine.value("select priority from backfill.pgqueuer") == 1000
    engine.rows("select backfill.unwatch('sample')")
    fleet.serve()
    assert engine.value("select exit_reason from backfill.run where id = %s", run) == "cancelled"


def test_a_standing_run_leaves_the_backlog_alone(engine: Engine) -> None:
    """It sweeps nothing and is handed out nothing but new rows, which nobody else has to pay."""
    engine.add(1, 5)
    engine.sweep(engine.start(limit=1))
    run = watched(engine)
    runner = engine.join(run)
    assert engine.discover(run)["state"] == "ended"
    assert engine.claim(runner)["status"] == "none"
    engine.add(6)
    news = engine.one("select * from backfill.claim_new(%s, 10)", runner)
    assert [job["key"] for job in news["jobs"]] == ["6"]
    # a row of its own that is to be tried again is its own
    engine.release(runner)
    engine.due()
    assert [job["key"] for job in engine.claim(runner)["jobs"]] == ["6"]


def test_a_standing_run_is_no_live_run(engine: Engine) -> None:
    """The task can be started beside it, is idle while only it is there, and says so."""
    engine.add(1)
    run = watched(engine)
    engine.join(run)
    progress = engine.progress()
    assert (progress["state"], progress["processes"]) == ("idle", 1)
    assert start(engine) > run


def test_nothing_but_unwatching_ends_a_standing_run(engine: Engine) -> None:
    """Whatever its process leaves for, another one will come."""
    run = watched(engine)
    for reason in ("done", "budget", "error", "interrupted"):
        engine.leave(engine.join(run), reason)
        assert engine.value("select status from backfill.run where id = %s", run) == "running"
    with pytest.raises(psycopg.Error, match="only workers start"):
        start(engine, "watch")
