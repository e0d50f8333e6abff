"""A process that stays: new rows are done as they come, before everything else."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from statistics import median

import pytest

from runner.contract import Row
from runner.loop.listen import Listener
from tests.plugins.processes import SampleDatabase, StartRun, proxied, result_of
from tests.plugins.waiting import wait_until

WAITING = "select count(*) from backfill.runner where note = 'waiting for new rows'"


@pytest.fixture
def watched(sampled: SampleDatabase) -> SampleDatabase:
    """A database with the sample task, which is watched."""
    sampled.do("select backfill.declare_inputs('sample', 'item', 'id', '{input}')")
    sampled.do("select backfill.watch('sample')")
    return sampled


def late(database: SampleDatabase, key: int) -> float:
    """Insert a row; seconds from then to its result, by the database's clock."""
    inserted = database.one(
        "with i as (insert into item (id) values (%s)) select clock_timestamp()", key
    )
    ended = "select finished_at - %s from backfill.job where key = %s and state = 'ok'"
    wait_until(lambda: database.all(ended, inserted, str(key)))
    return float(database.one(ended, inserted, str(key)).total_seconds())


def test_a_process_stays_and_does_new_rows_at_once(
    watched: SampleDatabase, run_sample: StartRun
) -> None:
    """After the backlog it waits; rows that come or change are done within a second."""
    watched.items(ok=5)
    command = run_sample(watched, "--follow")
    command.until(lambda: watched.one(WAITING) == 1)
    assert watched.states() == {"ok": 5}
    assert median([late(watched, key) for key in range(6, 12)]) < 1
    watched.do("update item set input = 'b' where id = 3")
    command.until(lambda: watched.one("select result from item where id = 3") == "result of b")
    assert watched.one("select writes from item where id = 3") == 2
    command.send(signal.SIGTERM)
    assert command.ended() == 130
    assert watched.one("select exit_reason from backfill.run") == "interrupted"


def test_new_rows_overtake_a_backlog(watched: SampleDatabase) -> None:
    """While thousands of older rows are waiting, a new one is done within a second."""
    watched.do("select backfill.unwatch('sample')")
    watched.items(slow=20_000)
    watched.do("select backfill.watch('sample')")
    stop, going = threading.Event(), threading.Event()

    def compute(row: Row) -> dict[str, object]:
        going.set()
        stop.wait(0.02)
        return result_of(row)

    process = watched.process(watched.start(), compute, stop=stop)
    worker = threading.Thread(target=process.work)
    worker.start()
    try:
        assert going.wait(10)
        took = [late(watched, key) for key in range(30_001, 30_008)]
    finally:
        stop.set()
        worker.join()
    assert median(took) < 1
    assert watched.one("select count(*) from item where result is not null") < 10_000


def test_an_operator_stops_a_process_that_waits(
    watched: SampleDatabase, run_sample: StartRun
) -> None:
    """A pause keeps new rows waiting, and cancel ends a run that has nothing to do."""
    command = run_sample(watched, "--follow", "--workers", "2")
    command.until(lambda: watched.one(WAITING) == 2)
    watched.do("select backfill.pause('sample')")
    paused = "select count(*) from backfill.runner where note like 'paused by%%'"
    command.until(lambda: watched.one(paused) == 2)
    watched.items(ok=3)
    assert watched.states() == {}
    watched.do("select backfill.resume('sample')")
    command.until(lambda: watched.states() == {"ok": 3})
    watched.do("select backfill.cancel(max(id)) from backfill.run")
    assert command.ended() == 6
    watched.assert_each_written_once()


def test_without_a_watch_a_process_that_stays_sweeps(
    sampled: SampleDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that nothing notes are found by sweeps, now and then."""
    monkeypatch.setattr("runner.loop.follow.SWEEP_S", 0.1)
    sampled.items(ok=1)
    stop = threading.Event()
    process = sampled.process(sampled.start(), result_of, stop=stop, follow=True)
    worker = threading.Thread(target=process.work)
    worker.start()
    try:
        wait_until(lambda: sampled.states() == {"ok": 1})
        sampled.items(ok=2)
        wait_until(lambda: sampled.states() == {"ok": 3})
    finally:
        stop.set()
        worker.join()
    sampled.assert_each_written_once()


@pytest.fixture
def listeners(watched: SampleDatabase) -> Iterator[list[Listener]]:
    """Listeners that are closed when the test ends."""
    made: list[Listener] = []
    yield made
    for listener in made:
        listener.close()


def test_a_listener_proves_that_it_hears(
    watched: SampleDatabase, listeners: list[Listener]
) -> None:
    """It wakes its process when a row comes; behind a pooler it finds itself deaf, and ends."""
    woken = threading.Event()
    listener = Listener(watched.url, "test", "sample", woken.set)
    listeners.append(listener)
    wait_until(lambda: listener.hears)
    sleeps = "select count(*) from pg_locks where locktype = 'advisory' and mode = 'ShareLock'"
    listener.sleep()
    wait_until(lambda: watched.one(sleeps) == 1)
    watched.items(ok=1)
    assert woken.wait(5)

    with proxied(watched.url, pooled=True) as pooler:
        deaf = Listener(pooler.url, "test", "sample", woken.set)
        listeners.append(deaf)
        wait_until(lambda: deaf.hears is False)


@pytest.mark.parametrize("pooled", [False, True])
def test_a_lost_reply_loses_no_new_row(watched: SampleDatabase, pooled: bool) -> None:
    """New rows that were handed out to nobody are done all the same, each once."""
    with proxied(watched.url, pooled=pooled) as proxy:
        stop = threading.Event()
        process = watched.process(watched.start(), result_of, url=proxy.url, stop=stop, follow=True)
        worker = threading.Thread(target=process.work)
        worker.start()
        try:
            wait_until(lambda: watched.one(WAITING) == 1)
            proxy.cut_reply_to("backfill.claim_new(")
            watched.items(ok=20)
            wait_until(lambda: watched.states() == {"ok": 20})
        finally:
            stop.set()
            worker.join()
        assert proxy.cuts == 1
    watched.assert_each_written_once()
