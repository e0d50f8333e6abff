"""How work is paced: no barriers, pauses where they are wanted, retries when they are due."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from runner.contract import Row
from runner.errors import Retry
from runner.loop.rate import Rate
from tests.plugins.processes import SampleDatabase, StartRun, result_of


def test_a_slow_row_holds_up_nobody(sampled: SampleDatabase) -> None:
    """While one row takes its time, a thousand others are finished."""
    sampled.items(ok=1001)
    done = threading.Event()

    def compute(row: Row) -> dict[str, Any]:
        if row["key"] == "1":
            assert done.wait(30), "the others waited for this one"
        elif sampled_done() >= 999:
            done.set()
        return result_of(row)

    lock, computed = threading.Lock(), [0]

    def sampled_done() -> int:
        with lock:
            computed[0] += 1
            return computed[0]

    process = sampled.process(sampled.start(), compute, threads=2)
    began = time.monotonic()
    assert process.work() == "done"
    assert time.monotonic() - began < 25
    sampled.assert_each_written_once()


def test_slow_rows_are_shared(sampled: SampleDatabase) -> None:
    """A process takes no more slow rows than it can soon compute: the rest is for others."""
    sampled.items(ok=200)
    sampled.do("update backfill.task set batch_size = 100")
    held: list[int] = []
    stop = threading.Event()

    def compute(row: Row) -> dict[str, Any]:
        held.append(sampled_held())
        if len(held) >= 12:
            stop.set()
        stop.wait(0.05)
        return result_of(row)

    lock = threading.Lock()

    def sampled_held() -> int:
        with lock:
            return int(sampled.one("select count(*) from backfill.job where state = 'running'"))

    sampled.process(sampled.start(), compute, threads=4, stop=stop).work()
    assert max(held) < 100


def test_batches_are_delayed(sampled: SampleDatabase) -> None:
    """With a delay between batches each one is whole, and none is claimed sooner."""
    sampled.items(ok=30)
    run = sampled.start(batch_size=10, delay_ms=150)
    assert sampled.process(run, result_of).work() == "done"
    claims = sampled.all(
        "select min(claimed_at) as first, max(claimed_at) as last, count(*) as jobs from ("
        " select claimed_at, count(*) filter (where gap) over (order by claimed_at) as claim from ("
        "  select claimed_at, claimed_at - lag(claimed_at) over (order by claimed_at)"
        "         > interval '100 ms' as gap from backfill.job) s) s"
        " group by claim order by claim"
    )
    assert [claim["jobs"] for claim in claims] == [10, 10, 10]
    for before, after in pairwise(claims):
        assert (after["first"] - before["first"]).total_seconds() >= 0.15


def test_batches_of_one_on_one_thread(sampled: SampleDatabase) -> None:
    """The smallest settings there are do all of the work."""
    sampled.items(ok=50)
    assert sampled.process(sampled.start(batch_size=1), result_of, threads=1).work() == "done"
    sampled.assert_each_written_once()


def test_retry_after_is_obeyed(sampled: SampleDatabase) -> None:
    """A row comes again no sooner than the server asked for, whatever the backoff says."""
    sampled.items(ok=1)
    attempts: list[float] = []

    def compute(row: Row) -> dict[str, Any]:
        attempts.append(time.monotonic())
        if len(attempts) == 1:
            raise Retry("slow down", code="throttled", after=0.7, counts=False)
        return result_of(row)

    assert sampled.process(sampled.start(), compute).work() == "done"
    assert attempts[1] - attempts[0] >= 0.7
    assert sampled.one("select failures from backfill.job") == 0
    sampled.assert_each_written_once()


def test_retries_far_away_are_left_to_the_next_run(sampled: SampleDatabase) -> None:
    """A run does not stay for a retry that is due after `retry_wait`."""
    sampled.items(ok=5)
    sampled.do("update backfill.task set retry_wait = '1 second'")

    def compute(row: Row) -> dict[str, Any]:
        if row["key"] == "3":
            raise Retry("come back tomorrow", code="closed", after=86_400)
        return result_of(row)

    began = time.monotonic()
    assert sampled.process(sampled.start(), compute).work() == "done"
    assert time.monotonic() - began < 20
    assert sampled.states() == {"ok": 4, "ready": 1}


def test_rate_follows_the_work() -> None:
    """The rate is nothing before there is a row, and then what was done in the time it took."""
    rate = Rate()
    rate.note(0)
    assert rate.in_s(10) == 0
    began = time.monotonic()
    while time.monotonic() - began < 0.05:
        rate.note(0)
    rate.note(100)
    took = time.monotonic() - began
    assert 0 < rate.in_s(1) <= 100 / 0.05
    assert rate.in_s(2) >= int(100 / took)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.slow
def test_memory_does_not_grow(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """A process needs no more memory after 50,000 rows than it did after 10,000."""
    sampled.do("alter table item disable trigger count_writes")
    sampled.items(ok=50_000)
    command = run_sample(sampled, "--batch-size", "1000", "--json")

    def resident() -> int:
        pages = int(Path(f"/proc/{command.pid}/statm").read_text().split()[1])
        return pages * 4096

    command.until(lambda: sampled.done() >= 10_000)
    early = resident()
    command.until(lambda: sampled.done() >= 47_000, seconds=120)
    late = resident()
    assert command.ended() == 0
    assert late - early < 5 * 2**20, f"{early / 2**20:.0f} MiB, then {late / 2**20:.0f} MiB"
