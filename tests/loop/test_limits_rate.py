"""A provider's quota as the provider sees it: several real processes against a counting server."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from tests.loop.limits_caller import NAME, CountingServer, callers, passed, settled
from tests.plugins.processes import SampleDatabase
from tests.plugins.waiting import wait_until


@pytest.fixture
def server() -> Iterator[CountingServer]:
    """A provider."""
    made = CountingServer()
    yield made
    made.close()


def used(server: CountingServer, rate: float) -> float:
    """Share of the rate that is used for a second and a half, of up to three such times the best:
    what a busy machine keeps from running is not what is meant.
    """
    shares: list[float] = []
    while len(shares) < 3 and max(shares, default=0) < 0.95:
        began = time.time()
        passed(began + 1.5)
        shares.append(server.between(began, began + 1.5) / rate / 1.5)
    return max(shares)


@pytest.mark.slow
def test_the_quota_is_used_and_never_exceeded(
    sampled: SampleDatabase, server: CountingServer
) -> None:
    """With 2 and with 8 processes no second holds more than the quota and 2 %, and at least 95 %
    of it are used while there is work, in fair shares.
    """
    rate = 100.0
    sampled.do("select backfill.set_rate(%s, %s)", NAME, rate)
    with callers(8, sampled, server, 0.05) as made:
        for count in (2, 8):
            working = made[:count]
            for caller in working:
                caller.tell()
            settled(server, 20)
            assert used(server, rate) >= 0.95, count
            for caller in working:
                caller.tell()
            shares = [int(caller.says()) for caller in working]
            assert min(shares) >= 0.5 * max(shares), shares
    assert server.worst_second() <= 1.02 * rate


def test_slots_of_a_killed_process_come_back(
    sampled: SampleDatabase, server: CountingServer
) -> None:
    """A process killed in the middle of calls: its slots are free once its runner is found dead."""
    busy = "select busy from backfill.rate_limits where name = %s"
    sampled.do("select backfill.set_rate(%s, 1000, 100, 8)", NAME)
    run = sampled.start()
    runners = [
        sampled.one("select backfill.join_run(%s, 1, 'test', %s, false)", run, pid)
        for pid in (1, 2)
    ]
    with callers(2, sampled, server, 30.0, runners) as (doomed, other):
        doomed.tell()
        wait_until(lambda: len(server.arrivals) == 8)
        assert sampled.one(busy, NAME) == 8
        doomed.process.send_signal(signal.SIGKILL)
        doomed.process.wait()
        other.tell()
        wait_until(
            lambda: sampled.one(
                "select calls_waiting from backfill.rate_limits where name = %s", NAME
            )
        )
        assert len(server.arrivals) == 8
        sampled.do(
            "update backfill.runner set heartbeat_at = heartbeat_at - interval '1 hour'"
            " where id = %s",
            runners[0],
        )
        sampled.all("select * from backfill.rescue()")
        wait_until(lambda: len(server.arrivals) == 16)
        assert sampled.one(busy, NAME) == 8


def test_a_new_rate_holds_in_running_processes(
    sampled: SampleDatabase, server: CountingServer
) -> None:
    """A DBA's update takes two busy processes from 200 a second to 20, and to 100 again."""
    sampled.do("select backfill.set_rate(%s, 200)", NAME)
    with callers(2, sampled, server, 0.01) as made:
        for caller in made:
            caller.tell()
        settled(server, 50)
        for rate in (20.0, 100.0):
            sampled.do("update backfill.rate_limit set per_second = %s where name = %s", rate, NAME)
            # what was given out before is 0.2 s ahead at most
            began = time.time() + 0.3
            passed(began + 1)
            assert 0.85 * rate <= server.between(began, began + 1) <= 1.02 * rate + 1
