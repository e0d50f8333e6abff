"""Application rows that somebody else has locked, and transactions that lose a race."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from runner.loop.process import Process
from tests.plugins.processes import SampleDatabase, result_of
from tests.plugins.waiting import wait_until


@contextmanager
def working(process: Process) -> Iterator[list[str]]:
    """The process at work in a thread; in the list is why it left, after the block."""
    left: list[str] = []
    thread = threading.Thread(target=lambda: left.append(process.work()))
    thread.start()
    try:
        yield left
    finally:
        thread.join(30)
        assert not thread.is_alive()


def no_attempt_failed(database: SampleDatabase) -> bool:
    """Whether no attempt at all is on record as failed."""
    return bool(database.one("select count(*) = 0 from backfill.attempt_error"))


def test_locked_row_does_not_hold_up_its_neighbours(sampled: SampleDatabase) -> None:
    """While one row is locked by another session all others are finished; then it is, too."""
    sampled.items(ok=200)
    sampled.do("alter function backfill.finish(bigint, jsonb) set lock_timeout = '200ms'")
    with psycopg.connect(sampled.url) as other:
        other.execute("select from item where id = 100 for update")
        with working(sampled.process(sampled.start(), result_of)) as left:
            wait_until(lambda: sampled.writes() == {0: 1, 1: 199})
            wait_until(lambda: sampled.states() == {"ok": 199, "running": 1})
            other.rollback()
    assert left == ["done"]
    sampled.assert_each_written_once()
    assert no_attempt_failed(sampled)


def test_locked_table_is_waited_for(sampled: SampleDatabase) -> None:
    """A lock on the whole table, as a migration takes it, delays the results and fails none."""
    sampled.items(ok=100)
    sampled.do("alter function backfill.finish(bigint, jsonb) set lock_timeout = '50ms'")
    with psycopg.connect(sampled.url) as other:
        other.execute("lock table item in share mode")
        with working(sampled.process(sampled.start(), result_of)) as left:
            wait_until(lambda: sampled.states().get("running", 0) >= 80)
            wait_until(
                lambda: (
                    "another session has locked"
                    in (sampled.one("select note from backfill.runner") or "")
                )
            )
            other.rollback()
    assert left == ["done"]
    sampled.assert_each_written_once()
    assert no_attempt_failed(sampled)


def test_stop_does_not_wait_for_a_lock(sampled: SampleDatabase) -> None:
    """A process told to stop leaves after its grace although a result waits for a locked row."""
    sampled.items(ok=20)
    sampled.do("alter function backfill.finish(bigint, jsonb) set lock_timeout = 0")
    stop = threading.Event()
    with psycopg.connect(sampled.url) as other:
        other.execute("lock table item in share mode")
        process = sampled.process(sampled.start(), result_of, stop=stop, grace=0.5)
        with working(process) as left:
            wait_until(
                lambda: sampled.one(
                    "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
                    " and datname = current_database()"
                )
            )
            stop.set()
    assert left == ["interrupted"]
    assert sampled.states() == {"ready": 20}
    assert no_attempt_failed(sampled)


@pytest.mark.parametrize("sqlstate", ["40001", "55P03"])
def test_lost_races_are_run_again(sampled: SampleDatabase, sqlstate: str) -> None:
    """Serialization failures and lock timeouts are tried again and cost no attempt."""
    sampled.items(ok=40)
    _fail_now_and_then(sampled, sqlstate)
    assert sampled.process(sampled.start(), result_of).work() == "done"
    sampled.assert_each_written_once()
    assert no_attempt_failed(sampled)


def test_real_deadlock_is_run_again(sampled: SampleDatabase) -> None:
    """A transaction that a real deadlock chose as its victim is run again."""
    sampled.items(ok=2)
    waiting = (
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        " and datname = current_database()"
    )
    with psycopg.connect(sampled.url) as other:
        other.execute("set deadlock_timeout = '60s'")
        other.execute("update item set input = input where id = 2")
        with working(sampled.process(sampled.start(), result_of, threads=2)) as left:
            # it has written item 1 and waits for item 2
            wait_until(lambda: sampled.one(waiting))
            other.execute("update item set input = input where id = 1")
            other.commit()
    assert left == ["done"]
    sampled.assert_each_written_once()
    assert no_attempt_failed(sampled)
    # the victim's session reports it when it closes
    wait_until(
        lambda: sampled.one(
            "select deadlocks from pg_stat_database where datname = current_database()"
        )
    )


def test_broken_apply_function_is_not_the_rows_fault(sampled: SampleDatabase) -> None:
    """Where the apply function lacks a column for every row, the process says so and stops."""
    sampled.items(ok=100)
    sampled.do("alter table item rename column result_version to version_of_result")
    run = sampled.start()
    with pytest.raises(Exception, match=r"apply_sample can't write any row: column .*; mend it"):
        sampled.process(run, result_of).work()
    assert set(sampled.states()) == {"ready"}
    assert sampled.one("select exit_reason from backfill.run where id = %s", run) == "error"


def test_a_row_that_crashes_the_apply_function_is_found(sampled: SampleDatabase) -> None:
    """A result that takes the server session down each time is blamed, its neighbours are not."""
    sampled.items(ok=40)
    sampled.do(
        """
        create or replace function backfill.apply_sample(results jsonb) returns void
        language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
        begin
            if exists (select from jsonb_array_elements(results) r where r ->> 'key' = '17') then
                perform pg_terminate_backend(pg_backend_pid());
            end if;
            update public.item i set result = 'result of a', result_version = 1
              from jsonb_to_recordset(results) as r (key text) where i.id = r.key::bigint;
        end $$"""
    )
    assert sampled.process(sampled.start(), result_of).work() == "done"
    assert sampled.states() == {"ok": 39, "failed": 1}
    assert sampled.failure(17)["error_class"] == "apply_57P01"


def _fail_now_and_then(database: SampleDatabase, sqlstate: str) -> None:
    """Let the apply function fail every other time with this SQLSTATE."""
    database.do("create sequence calls")
    database.do("alter function backfill.apply_sample(jsonb) rename to apply_sample_well")
    statement = """
        create function backfill.apply_sample(results jsonb) returns void language plpgsql as $$
        begin
            if nextval('public.calls') % 2 = 1 then
                raise exception 'lost a race' using errcode = 'SQLSTATE';
            end if;
            perform backfill.apply_sample_well(results);
        end $$"""
    database.do(statement.replace("SQLSTATE", sqlstate))
