"""Runs whose computations wait for a shared rate."""

from __future__ import annotations

import time

from tests.plugins.processes import SampleDatabase, StartRun
from tests.plugins.waiting import wait_until


def test_a_run_keeps_to_a_shared_rate(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """Three processes take as long as the rate says, and no row is the worse for it."""
    sampled.items(limited=100)
    sampled.do("select backfill.set_rate('sample', 50)")
    began = time.monotonic()
    assert run_sample(sampled, "--workers", "3", "--threads", "8").ended() == 0
    assert time.monotonic() - began >= 99 / 48.5
    sampled.assert_each_written_once()
    assert sampled.one("select count(*) from backfill.rate_holders") == 0


def test_a_run_says_that_it_waits_for_a_rate(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """While all rows wait for a provider, progress tells so; an interrupt does not wait for it."""
    sampled.items(limited=5)
    sampled.do("select backfill.set_rate('sample', 50)")
    sampled.do("select backfill.throttled('sample', 3600)")
    command = run_sample(sampled)
    reason = "select wait_reason from backfill.progress where task = 'sample'"
    wait_until(lambda: "sample asked for a pause until" in (sampled.one(reason) or ""))
    command.process.terminate()
    assert command.ended(10) == 130
    assert sampled.states() == {"ready": 5}
    assert sampled.one("select sum(failures) from backfill.job") == 0
