"""Calls of one process that wait for their turn among those of all processes."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from runner.contract import Limiter, NoLimits
from runner.errors import Permanent, Retry
from runner.loop.limits import Buckets
from runner.loop.limits_queue import Call, Queue
from tests.plugins.processes import SampleDatabase, proxied
from tests.plugins.waiting import wait_until

Make = Callable[..., Buckets]

NAME = "test"


@pytest.fixture
def buckets(sampled: SampleDatabase) -> Iterator[Make]:
    """Makes what a process has; `rate` and the like set the limit first."""
    with ExitStack() as stack:

        def make(rate: float | None = None, *, url: str | None = None, **more: float) -> Buckets:
            if rate is not None:
                named = "".join(f", p_{key} => {value}" for key, value in more.items())
                sampled.do(f"select backfill.set_rate(%s, %s{named})", NAME, rate)
            made = Buckets(url or sampled.url, name="test")
            stack.callback(made.close)
            return made

        yield make


def call(limiter: Limiter, timeout: float | None = 10.0) -> float:
    """Make one call; when it started."""
    with limiter.acquire(NAME, timeout=timeout):
        return time.monotonic()


def test_calls_of_many_threads_are_spaced(buckets: Make) -> None:
    """Whichever threads and processes call, calls follow each other at the rate."""
    limiters = [buckets(50), buckets()]
    with ThreadPoolExecutor(20) as threads:
        started = sorted(threads.map(call, limiters * 15))
    assert started[-1] - started[0] >= 29 / 48.5 - 0.03


def test_a_wait_that_is_too_long_costs_no_attempt(buckets: Make) -> None:
    """Where no turn is to be had in time, the row is tried again later, uncounted, and told why."""
    limiter = buckets(0.01)
    call(limiter)
    began = time.monotonic()
    with pytest.raises(Retry, match=r"its rate of 0\.01 a second is used up") as raised:
        call(limiter, timeout=5)
    assert time.monotonic() - began < 4, "it is known at once"
    assert raised.value.counts is False
    assert raised.value.code == "rate_limit"
    assert raised.value.after is not None
    assert 80 < raised.value.after <= 110


def test_a_pause_is_obeyed_by_every_process(buckets: Make, sampled: SampleDatabase) -> None:
    """What one process was told (Retry-After) keeps the others from calling, and those of its own
    threads that had their turn already.
    """
    limiters = [buckets(1000), buckets()]
    for limiter in limiters:
        call(limiter)
    limiters[0].throttled(NAME, 1.0)
    told = time.monotonic()
    wait_until(
        lambda: sampled.one("select blocked_until from backfill.rate_limit where name = %s", NAME)
    )
    with ThreadPoolExecutor(8) as threads:
        started = list(threads.map(call, limiters * 4))
    assert min(started) - told >= 0.99
    limiters[1].throttled(NAME, 60.0)
    with pytest.raises(Retry, match="test asked for a pause until 20"):
        wait_until(lambda: call(limiters[0], timeout=0.5) == 0)
    assert limiters[1].wait_reason is None


def test_a_turn_that_was_granted_before_a_pause_is_not_taken() -> None:
    """Between the grant and its time somebody may say stop; then the call waits again."""
    queue = Queue(NAME)
    turn = Call(1, math.inf, start=time.monotonic(), within=1.0)
    assert queue.may_start(turn)
    queue.blocked_until = time.monotonic() + 1
    assert not queue.may_start(turn)


def test_a_turn_that_was_missed_is_lost() -> None:
    """A call that comes late for its turn waits for another, and asks further ahead."""
    queue = Queue(NAME)
    assert not queue.may_start(Call(1, math.inf, start=time.monotonic() - 1, within=0.02))
    assert queue.lead > 0
    for _ in range(100):
        assert queue.may_start(Call(1, math.inf, start=time.monotonic(), within=10))
    assert queue.lead == 0


def test_no_more_calls_at_a_time_than_agreed(buckets: Make) -> None:
    """Three processes of six threads each never run more than four calls at once, and do run
    four, as soon as each has had its turn.
    """
    limiters = [buckets(10_000, burst=100, concurrency=4), buckets(), buckets()]
    lock, running, most = threading.Lock(), [0], [0]

    def work(limiter: Buckets) -> None:
        for _ in range(4):
            with limiter.acquire(NAME):
                with lock:
                    running[0] += 1
                    most[0] = max(most[0], running[0])
                time.sleep(0.005)
                with lock:
                    running[0] -= 1

    with ThreadPoolExecutor(18) as threads:
        list(threads.map(work, limiters * 6))
    assert most[0] == 4


def test_a_process_that_ends_gives_its_slots_back(buckets: Make, sampled: SampleDatabase) -> None:
    """Closed in the middle of a call, it holds nothing; who waits in it is turned away."""
    holding, other = buckets(1000, concurrency=1), buckets()
    with ThreadPoolExecutor(1) as threads, holding.acquire(NAME):
        waiting = threads.submit(call, holding, None)
        wait_until(lambda: sampled.one("select sum(wanted) from backfill.rate_holders") == 1)
        holding.close()
        with pytest.raises(Retry, match="the process stops") as raised:
            waiting.result(5)
        assert raised.value.counts is False
        assert call(other)
    with pytest.raises(Retry, match="the process stops"):
        call(holding)


def test_a_process_that_stops_waits_for_what_is_soon(buckets: Make) -> None:
    """Told to hurry, calls that can be made in time are made, and others handed back at once."""
    limiter = buckets(10)
    with ThreadPoolExecutor(20) as threads:
        began = time.monotonic()
        waiting = [threads.submit(call, limiter, None) for _ in range(20)]
        waiting[0].result(10)
        limiter.hurry(0.8)
        outcomes = [w.exception(10) for w in waiting]
        assert time.monotonic() - began < 1.9, "all of them would take two seconds"
    made = outcomes.count(None)
    assert 5 <= made <= 12
    assert all(isinstance(o, Retry) and not o.counts for o in outcomes if o is not None)
    with pytest.raises(Retry):
        call(limiter, None)


def test_a_new_rate_is_heard_of_within_a_second(buckets: Make, sampled: SampleDatabase) -> None:
    """Threads that wait for a slow limit go on at the new rate when a DBA has raised it."""
    limiter = buckets(0.01)
    call(limiter)
    with ThreadPoolExecutor(5) as threads:
        waiting = [threads.submit(call, limiter, None) for _ in range(5)]
        wait_until(lambda: limiter.wait_reason)
        sampled.do("update backfill.rate_limit set per_second = 100 where name = %s", NAME)
        changed = time.monotonic()
        assert max(w.result(10) for w in waiting) - changed < 2


def test_throttling_and_success_steer_the_rate(buckets: Make, sampled: SampleDatabase) -> None:
    """A refusal lowers the shared rate, and calls that go well raise it to its ceiling again."""
    rate = "select per_second from backfill.rate_limits where name = 'test'"
    limiter = buckets(100, floor=10)
    call(limiter)
    limiter.throttled(NAME, None)
    wait_until(lambda: sampled.one(rate) == pytest.approx(70))
    sampled.do("update backfill.rate_limit set throttled_at = throttled_at - interval '2 s'")
    for _ in range(2000):
        limiter.succeeded(NAME)
    call(limiter)
    assert sampled.one(rate) == 100


def test_connections_that_are_cut_cost_no_call(buckets: Make, sampled: SampleDatabase) -> None:
    """With every connection cut again and again, and replies lost, calls go on at the rate."""
    with proxied(sampled.url) as proxy, ThreadPoolExecutor(4) as threads:
        limiter = buckets(100, url=proxy.url)
        for _ in range(2):
            proxy.cut_reply_to("take_tokens")
            assert all(w.result(10) for w in [threads.submit(call, limiter) for _ in range(8)])
            proxy.cut_all()
            assert all(w.result(10) for w in [threads.submit(call, limiter) for _ in range(8)])
        assert proxy.cuts == 2
        assert limiter.fatal is None
        limiter.close()


def test_a_server_that_stays_away_is_the_process_s_to_tell(
    buckets: Make, sampled: SampleDatabase
) -> None:
    """After its patience no call is made; the row is handed back without an attempt, and the
    reason is there for the process to end with.
    """
    with proxied(sampled.url) as proxy:
        limiter = Buckets(proxy.url, patience=0.2)
        buckets(100)
        call(limiter)
        proxy.refusing.set()
        proxy.cut_all()
        with pytest.raises(Retry) as raised:
            call(limiter)
        assert raised.value.counts is False
        assert "can't reach the database" in str(limiter.fatal)
        limiter.close()


def test_a_limit_that_is_not_there_fails_the_row(buckets: Make, sampled: SampleDatabase) -> None:
    """Asking for a limit that nobody has set is told with what to do, and ends nobody else."""
    limiter = buckets(100)
    with pytest.raises(Permanent, match=r"no rate limit named 'nowhere'; .*backfill\.set_rate"):
        limiter.acquire("nowhere", timeout=5).__enter__()
    assert call(limiter)


def test_what_stands_still_says_why(buckets: Make) -> None:
    """While all calls wait the reason is there in words, for the process's note."""
    limiter, words = buckets(0.01), "test: its rate of 0.01 a second is used up"
    call(limiter)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(call, limiter, None)
        wait_until(lambda: limiter.wait_reason == words)
        limiter.close()
    assert limiter.wait_reason is None


def test_without_limits_nobody_waits() -> None:
    """What dry runs and tests of a computation are given limits nothing."""
    limiter: Limiter = NoLimits()
    limiter.throttled(NAME, 3600)
    limiter.succeeded(NAME)
    began = time.monotonic()
    for _ in range(100):
        call(limiter, timeout=0)
    assert time.monotonic() - began < 1
