"""Schedules while workers are killed, and workers whose server is restarted."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from runner.embedded import EmbeddedServer
from runner.errors import ExitCode
from tests.plugins.processes import SampleDatabase, sampled_on
from tests.worker.conftest import Ask, StartWorker, ended, ready

SECONDS = int(os.environ.get("BACKFILL_CHAOS_S", "8"))
"""How long schedules are fired; `make chaos-schedules` gives them a minute."""

TICKS = "select count(*) from backfill.tick"
GAPS = """
select at from (select at, lead(at) over (order by at) as following from backfill.tick) t
 where following <> at + interval '1 second'"""
LATEST = """
select max(fired_at - at) from backfill.tick
 where at > (select min(at) + interval '3 seconds' from backfill.tick)"""


@pytest.mark.slow
def test_each_tick_is_fired_once_whoever_dies(sampled: SampleDatabase, worker: StartWorker) -> None:
    """Two workers, a tick a second, one worker killed and started again all the time."""
    sampled.do("select backfill.set_schedule('s', 'sample', '* * * * * *')")
    steady = worker(sampled.url, "--processes", "1")
    ready(sampled, steady)
    began = sampled.one("select clock_timestamp()")
    kills = 0
    while sampled.one("select clock_timestamp() - %s", began).total_seconds() < SECONDS:
        other = worker(sampled.url, "--processes", "1")
        number = sampled.one(TICKS)
        while sampled.one(TICKS) <= number + 2:
            steady.until(lambda: sampled.one(TICKS) > 0)
        other.send(signal.SIGKILL)
        other.process.wait()
        kills += 1
    assert kills >= 2
    assert sampled.all(GAPS) == []
    started = "select count(*) as n, count(distinct run) as runs from backfill.tick where run > 0"
    (found,) = sampled.all(started)
    assert found["n"] == found["runs"] == sampled.one("select count(*) from backfill.run")
    assert sampled.one(LATEST).total_seconds() < 10


def test_a_bad_schedule_harms_no_other(sampled: SampleDatabase, worker: StartWorker) -> None:
    """Whatever somebody wrote into one, its ticks fail, the others are fired, the worker lives."""
    for name, options in (("bad", '{"up_to": "1 or true"}'), ("good", "{}")):
        query = "select backfill.set_schedule(%s, 'sample', '* * * * * *', %s)"
        sampled.do(query, name, options)
    command = worker(sampled.url, "--processes", "1", BACKFILL_TASKS="tests.sample:narrowed")
    ticks = "select count(*) from backfill.tick where schedule = %s and outcome = %s"
    command.until(lambda: sampled.one(ticks, "good", "started") > 1)
    command.until(lambda: sampled.one(ticks, "bad", "failed") > 1)
    assert "up_to" in sampled.one("select max(reason) from backfill.tick where schedule = 'bad'")


@pytest.fixture
def mortal(own_server: EmbeddedServer) -> Iterator[SampleDatabase]:
    """The sample task on a server of the test's own."""
    with sampled_on(own_server.url()) as database:
        yield database


def test_a_worker_outlives_the_server(
    mortal: SampleDatabase, own_server: EmbeddedServer, worker: StartWorker, ask: Ask
) -> None:
    """It goes on when the server is back: with the run it had, the next one, and schedules."""
    mortal.items(slow=200)
    run = ask(mortal)
    command = worker(mortal.url, "--processes", "1")
    command.until(lambda: mortal.done() > 0)
    own_server.kill()
    command.says("can't be used now")
    own_server.start()
    mortal.reconnect()
    command.until(lambda: ended(mortal, run) == "done")
    mortal.assert_each_written_once()
    mortal.do("select backfill.set_schedule('s', 'sample', '* * * * * *')")
    command.until(lambda: mortal.one(TICKS) > 1)
    mortal.do("select backfill.drop_schedule('s')")
    mortal.items(ok=1)
    later = ask(mortal)
    command.until(lambda: ended(mortal, later) == "done")
    command.send(signal.SIGTERM)
    assert command.ended() == ExitCode.INTERRUPTED
    assert "Traceback" not in command.err
