"""Runs with a budget that all their processes share."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial

import pytest
from psycopg.types.json import Jsonb

from runner.contract import NoLimits
from runner.errors import Retry
from runner.loop.limits import Buckets
from tests.plugins.processes import SampleDatabase, StartCommand, StartRun, proxied
from tests.plugins.waiting import wait_until
from tests.sample import SPENT

METERED = "tests.sample:metered"

Make = Callable[..., Buckets]


def used(sampled: SampleDatabase) -> int:
    """What all processes have used so far."""
    return int(sampled.one("select coalesce(sum(used), 0) from backfill.run_meter"))


def budgeted(sampled: SampleDatabase, most: object, folder: str = "/nonexistent") -> int:
    """A run as psql starts it."""
    options = Jsonb({"folder": folder, "max_bytes": most})
    return int(sampled.one("select backfill.start('sample', %s, p_source => 'cli')", options))


# --- runs -----------------------------------------------------------------------------------------


def test_a_run_stops_at_its_budget_and_the_next_goes_on(
    sampled: SampleDatabase, run_sample: StartRun
) -> None:
    """Three processes use no more than the budget; the rows that are left cost no attempt, are
    told of with what to type, and are done by the next run.
    """
    sampled.items(spends=60)
    first = run_sample(
        sampled, "--max-bytes", str(20 * SPENT + 50), "--workers", "3", tasks=METERED
    )
    assert first.ended() == 0, first.err
    assert used(sampled) == 20 * SPENT
    assert sampled.writes() == {0: 40, 1: 20}
    assert sampled.states() == {"ok": 20, "ready": 40}
    assert sampled.one("select sum(failures) from backfill.job") == 0
    assert sampled.one("select exit_reason from backfill.run") == "budget"
    lines = first.out.splitlines()
    assert lines[0] == "sample: run 1 stopped: its budget of 2.0 kB (--max-bytes) is used up"
    assert lines[-1].endswith("its own: backfill run sample --max-bytes 2050")

    second = run_sample(sampled, "--max-bytes", str(100 * SPENT), "--json", tasks=METERED)
    assert second.ended() == 0, second.err
    assert (second.json["exit_reason"], second.json["ok"]) == ("done", 40)
    sampled.assert_each_written_once()
    assert used(sampled) == 60 * SPENT


def test_rows_that_failed_before_the_budget_was_used_up_are_told(
    sampled: SampleDatabase, run_sample: StartRun
) -> None:
    """The exit code says so, as it does at a limit."""
    sampled.items(fail=1, spends=20)
    command = run_sample(sampled, "--max-bytes", str(5 * SPENT), "--json", tasks=METERED)
    assert command.ended() == 3, command.err
    assert command.json["exit_reason"] == "budget"
    assert command.json["failed"] == 1


def test_a_budget_smaller_than_one_row_ends_the_run_at_once(
    sampled: SampleDatabase, run_sample: StartRun
) -> None:
    """It does nothing, says so and is no failure."""
    sampled.items(spends=5)
    command = run_sample(sampled, "--max-bytes", str(SPENT - 1), "--json", tasks=METERED)
    assert command.ended() == 0, command.err
    assert (command.json["exit_reason"], command.json["processed"]) == ("budget", 0)
    assert sampled.one("select sum(failures) from backfill.job") == 0


def test_rows_that_cost_nothing_are_done_until_the_budget_is_asked(
    sampled: SampleDatabase, run_sample: StartRun
) -> None:
    """A budget that is exactly what is needed ends as any run does."""
    sampled.items(ok=20, spends=5)
    command = run_sample(sampled, "--max-bytes", str(5 * SPENT), "--json", tasks=METERED)
    assert command.ended() == 0, command.err
    assert command.json["exit_reason"] == "done"
    sampled.assert_each_written_once()


def test_without_the_option_nothing_is_limited(
    sampled: SampleDatabase, run_sample: StartRun
) -> None:
    """The same rows in a run without a budget: all done, nothing metered."""
    sampled.items(spends=30)
    command = run_sample(sampled, "--json", tasks=METERED)
    assert command.ended() == 0, command.err
    assert command.json["exit_reason"] == "done"
    assert used(sampled) == 0
    sampled.assert_each_written_once()


def test_a_run_that_psql_started_keeps_to_its_budget(
    sampled: SampleDatabase, command: StartCommand
) -> None:
    """Options that were typed as SQL hold for every process that joins."""
    sampled.items(spends=30)
    sampled.one("""select backfill.start('sample', '{"max_bytes": 1000}', p_source => 'cli')""")
    joined = command(sampled.url, "run", "sample", "--join", "1", tasks=METERED)
    assert joined.ended() == 0, joined.err
    assert used(sampled) == 1000
    assert sampled.states() == {"ok": 10, "ready": 20}


@pytest.mark.parametrize("most, workers", [("abc", ()), ("-5", ()), ("abc", ("--workers", "2"))])
def test_a_budget_that_is_none_is_one_clear_line(
    sampled: SampleDatabase, command: StartCommand, most: str, workers: tuple[str, ...]
) -> None:
    """The command ends, names run and option, and no row is the worse for it."""
    sampled.items(spends=3)
    budgeted(sampled, most)
    joined = command(sampled.url, "run", "sample", "--join", "1", *workers, tasks=METERED)
    assert joined.ended() in (1, 2)
    assert "Traceback" not in joined.err
    said = f"run 1: its option max_bytes should be a number above 0 and is '{most}'"
    assert said in joined.err
    assert sampled.one("select exit_reason from backfill.run") == "error"
    assert sampled.states() == {"ready": 3}
    assert sampled.one("select sum(failures) from backfill.job") == 0


def test_a_budget_that_click_refuses(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """What the option's own range excludes never becomes a run."""
    command = run_sample(sampled, "--max-bytes", "0", tasks=METERED)
    assert command.ended() == 2
    assert "--max-bytes" in command.err
    assert sampled.one("select count(*) from backfill.run") == 0


# --- one process among others ---------------------------------------------------------------------


@pytest.fixture
def buckets(sampled: SampleDatabase) -> Iterator[Make]:
    """Makes what a process has that works for run 1, whose budget is 1000; with its runner id."""
    budgeted(sampled, 1000)
    with ExitStack() as stack:

        def make(url: str | None = None, **more: float) -> Buckets:
            runner = sampled.one("select backfill.join_run(1, 1, 'test', 1, false)")
            made = Buckets(url or sampled.url, name="test", runner=runner, **more)
            stack.callback(made.close)
            return made

        yield make


def spend(limiter: Buckets, amount: float, at_least: float | None = None) -> float:
    """Use all that could be reserved; how much it was."""
    with limiter.budget("bytes", amount, at_least) as spending:
        spending.used = spending.reserved
        return spending.reserved


def test_what_is_left_is_given(buckets: Make, sampled: SampleDatabase) -> None:
    """The rest, where it is enough; then nothing, and the row is tried again uncounted."""
    limiter = buckets()
    assert spend(limiter, 700) == 700
    assert spend(limiter, 500, 100) == 300
    with pytest.raises(Retry, match="the run's budget of bytes is used up") as raised:
        spend(limiter, 1)
    assert (raised.value.counts, raised.value.code) == (False, "budget")
    assert used(sampled) == 1000


def test_what_was_used_counts_though_the_row_failed(buckets: Make, sampled: SampleDatabase) -> None:
    """Spent is spent; what was reserved and not used is free again."""
    limiter = buckets()
    with suppress(ZeroDivisionError), limiter.budget("bytes", 1000) as spending:
        spending.used = 10
        raise ZeroDivisionError
    assert used(sampled) == 10
    assert spend(limiter, 990) == 990


def test_a_thread_waits_while_others_hold_what_is_left(
    buckets: Make, sampled: SampleDatabase
) -> None:
    """It gets what they did not use, and is not told that the budget is used up."""
    one, two = buckets(), buckets()
    asked = "select count(*) from pg_stat_activity where query like '%backfill.reserve(%'"
    with ThreadPoolExecutor(1) as threads:
        with one.budget("bytes", 900) as spending:
            waiting = threads.submit(spend, two, 600)
            wait_until(lambda: sampled.one(asked) >= 2)
            spending.used = 400
        assert waiting.result(10) == 600
    assert used(sampled) == 1000


@pytest.mark.parametrize("how", ["hurry", "close"])
def test_a_process_that_stops_waits_for_nobody_s_reservation(buckets: Make, how: str) -> None:
    """Told to hurry, or closed, a thread hands its row back at once and uncounted."""
    holding, limiter = buckets(), buckets()
    with ThreadPoolExecutor(1) as threads, holding.budget("bytes", 900):
        waiting = threads.submit(spend, limiter, 600)
        if how == "hurry":
            limiter.hurry(30.0)
        else:
            limiter.close()
        with pytest.raises(Retry, match="the process stops") as raised:
            waiting.result(10)
    assert raised.value.counts is False


@pytest.mark.parametrize("amount", [0, -1, math.nan, math.inf])
@pytest.mark.parametrize("joined", [True, False])
def test_an_amount_that_is_none_is_that_row_s_error(
    buckets: Make, amount: float, joined: bool
) -> None:
    """The process goes on, whether or not there is a run with a budget."""
    limiter = buckets()
    if not joined:
        limiter.runner = None
    for most, least in ((amount, None), (10, amount)):
        with pytest.raises(ValueError, match="can't be reserved"):
            spend(limiter, most, least)
    assert limiter.fatal is None
    assert spend(limiter, 10) == 10


def test_without_a_run_nothing_is_limited(buckets: Make, sampled: SampleDatabase) -> None:
    """Before a process has joined, and in tests of a computation, there is no budget."""
    limiter = buckets()
    limiter.runner = None
    assert spend(limiter, 10**9) == 10**9
    with NoLimits().budget("bytes", 10**9) as spending:
        assert spending.reserved == 10**9
    assert used(sampled) == 0


def test_replies_that_are_lost_count_once(buckets: Make, sampled: SampleDatabase) -> None:
    """A connection cut after either statement was committed changes nothing."""
    with proxied(sampled.url) as proxy:
        limiter = buckets(proxy.url)
        assert spend(limiter, 100) == 100
        for words in ("backfill.reserve(", "backfill.settle("):
            proxy.cut_reply_to(words)
            assert spend(limiter, 100) == 100
        assert proxy.cuts == 2
        assert used(sampled) == 300
        assert sampled.one("select count(*) from backfill.reservation") == 0
        limiter.close()


def test_a_server_that_stays_away_ends_the_process(buckets: Make, sampled: SampleDatabase) -> None:
    """After its patience the row is handed back uncounted, and the process has a reason to end."""
    with proxied(sampled.url) as proxy:
        limiter = buckets(proxy.url, patience=0.2)
        spend(limiter, 100)
        proxy.refusing.set()
        proxy.cut_all()
        with pytest.raises(Retry, match="can't reach the database") as raised:
            spend(limiter, 100)
        assert raised.value.counts is False
        assert limiter.fatal is not None


def test_a_process_that_comes_back_reserves_as_who_it_is_now(
    buckets: Make, sampled: SampleDatabase
) -> None:
    """Presumed dead it gets nothing, whoever asks for how much; joined again it goes on."""
    limiter = buckets()
    dead = limiter.runner
    sampled.do("update backfill.runner set heartbeat_at = now() - interval '1 hour'")
    sampled.do("select backfill.rescue()")
    again = sampled.one("select backfill.join_run(1, 1, 'test', 1, false)")
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(spend, limiter, 250) for _ in range(4)]
        spent = "select count(*) from pg_stat_activity where query like '%backfill.reserve(%'"
        wait_until(lambda: sampled.one(spent) >= 2)
        held = "select count(*) from backfill.reservation where runner_id = %s"
        assert sampled.one(held, dead) == 0
        limiter.runner = again
        assert [w.result(10) for w in waiting] == [250] * 4
    assert used(sampled) == 1000


# --- processes that are killed --------------------------------------------------------------------


def _past(sampled: SampleDatabase, rows: int) -> bool:
    return sampled.done() >= rows


@pytest.mark.slow
def test_budget_and_figures_hold_whatever_is_killed(
    sampled: SampleDatabase, run_sample: StartRun
) -> None:
    """Processes killed again and again use the budget to its end and no further; what the runs say
    they stored is what is in the table.
    """
    sampled.items(spends=600)
    most = ("--max-bytes", str(500 * SPENT))
    first = run_sample(sampled, *most, "--workers", "3", "--json", tasks=METERED)
    for share in (50, 150, 250):
        first.until(partial(_past, sampled, share))
        os.kill(first.children()[0], signal.SIGKILL)
    assert first.ended() == 0, first.err
    assert sampled.one("select count(*) from backfill.runner where status = 'lost'") >= 1
    assert first.json["exit_reason"] == "budget"
    assert used(sampled) == 500 * SPENT
    assert first.json["figures"] == {"bytes": first.json["ok"] * SPENT}
    assert sampled.writes() == {0: 600 - first.json["ok"], 1: first.json["ok"]}

    second = run_sample(sampled, "--json", tasks=METERED)
    assert second.ended() == 0, second.err
    sampled.assert_each_written_once()
    stored = "select label, amount from backfill.run_figures where name = 'stored' order by 1"
    totals = f"select label, sum(amount) as amount from ({stored}) s group by 1 order by 1"
    assert sampled.all(totals) == [
        {"label": "host:even.test", "amount": 300},
        {"label": "host:odd.test", "amount": 300},
    ]


def test_a_killed_process_s_reservation_is_used_by_the_others(
    sampled: SampleDatabase, run_sample: StartRun
) -> None:
    """What it had reserved and not used is spent by those that are left."""
    sampled.items(spends=30)
    dead = sampled.one("select backfill.join_run(%s, 1, 'gone', 1, false)", budgeted(sampled, 3000))
    holding = Buckets(sampled.url, name="test", runner=dead)
    with holding.budget("bytes", 2500):
        command = run_sample(sampled, "--join", "1", "--json", tasks=METERED)
        command.until(lambda: used(sampled) == 500)
        sampled.do(
            "update backfill.runner set heartbeat_at = now() - interval '1 hour' where id = %s",
            dead,
        )
        assert command.ended() == 0, command.err
    assert command.json["exit_reason"] == "done"
    assert used(sampled) == 3000
    sampled.assert_each_written_once()
    holding.close()
