"""Rows that kill their process, and processes that can't start."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from runner.contract import Result, Row
from runner.database.session import Session
from runner.errors import Retry
from runner.loop.supervisor import CRASHES, STARTS, Crashes
from tests.plugins.processes import SampleDatabase, StartRun, proxied, result_of

UNRULY = "tests.loop.unruly:task"


@pytest.mark.slow
def test_poison_row_is_the_only_one_blamed(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """A row that kills its process fails as `crashed`; rows in the same process do not."""
    sampled.items(ok=4, crash=1, slow=4)
    sampled.do("update backfill.task set max_attempts = 2")
    command = run_sample(sampled, "--workers", "2")
    assert command.ended() == 3, command.err
    assert sampled.states() == {"ok": 8, "failed": 1}
    assert sampled.one("select count(*) from item where writes = 1") == 8
    failure = sampled.failure(5)
    assert failure["error_class"] == "crashed"
    assert "died while it held this row" in failure["error_message"]
    # of its neighbours' attempts none counts
    assert sampled.one("select max(failures) from backfill.job where state = 'ok'") == 0
    assert "died (signal SIGKILL); starting another" in command.err
    assert "crashed: " in command.out


@pytest.mark.parametrize(
    "how, said",
    [
        ("kill", "5 runner processes died before they could start (signal SIGKILL)"),
        ("raise", "2 of 2 runner processes stopped with an error; see above"),
    ],
)
def test_processes_that_cannot_start_are_given_up(
    sampled: SampleDatabase, run_sample: StartRun, how: str, said: str
) -> None:
    """They are not started for ever: the command says why, ends the run and exits with 1."""
    sampled.items(ok=10)
    command = run_sample(sampled, "--workers", "2", tasks=UNRULY, UNRULY_START=how)
    assert command.ended() == 1
    assert said in command.err.splitlines()[-1]
    assert ("the model file is broken" in command.err) == (how == "raise")
    assert "Traceback" not in command.err
    assert sampled.one("select exit_reason from backfill.run") == "error"
    assert sampled.states().get("ok") is None


def test_processes_that_die_together_are_all_replaced(
    sampled: SampleDatabase, run_sample: StartRun
) -> None:
    """When all processes of a run are killed at once, others take their place and lose nothing."""
    sampled.items(slow=200)
    command = run_sample(sampled, "--workers", "5", "--json")
    command.until(lambda: len(sampled.live()) == 5 and sampled.done() > 0)
    for pid in command.children():
        os.kill(pid, signal.SIGKILL)
    assert command.ended() == 0, command.err
    sampled.assert_each_written_once()
    assert command.err.count("starting another") == 5


@pytest.mark.slow
def test_rows_reserved_for_a_run_that_died_are_done_by_the_next(
    sampled: SampleDatabase, run_sample: StartRun
) -> None:
    """After kill -9 of a run with a condition, another run waits for its rows and does them."""
    sampled.items(slow=100)
    sampled.do("update backfill.task set lease = '3 seconds'")
    first = run_sample(sampled, "--where", "native_key <= 80")
    first.until(lambda: sampled.done() > 0)
    first.process.kill()
    first.ended()
    second = run_sample(sampled)
    second.says("waiting for rows of run 1, whose processes are gone")
    assert second.ended() == 0
    sampled.assert_each_written_once()
    assert sampled.one("select exit_reason from backfill.run where id = 1") == "lost"


@pytest.mark.slow
def test_rows_of_a_killed_process_are_tried_together(
    sampled: SampleDatabase, run_sample: StartRun, let_go: Callable[[], None]
) -> None:
    """What a killed process held is tried several rows at a time, and nobody is blamed."""
    sampled.items(wait=8)
    command = run_sample(sampled, "--workers", "2", "--threads", "4")
    held = "select count(*) from backfill.job where state = 'running'"
    command.until(lambda: len(sampled.live()) == 2 and sampled.one(held) == 8)
    holder = """
        select w.pid from backfill.job j join backfill.runner w on w.id = j.runner_id
         group by w.pid order by count(*) desc limit 1"""
    os.kill(sampled.one(holder), signal.SIGKILL)
    together = """
        select coalesce(max(n), 0) from (
            select count(*) as n from backfill.job
             where state = 'running' and solo group by runner_id) s"""
    command.until(lambda: sampled.one(together) >= 2)
    let_go()
    assert command.ended() == 0, command.err
    sampled.assert_each_written_once()
    assert sampled.one("select max(failures) from backfill.job") == 0


def test_a_step_of_a_row_counts_as_coming_through(sampled: SampleDatabase) -> None:
    """A row with more to do comes through with each step, so that crashes between its steps don't
    end a run; failures and retries are no progress.
    """
    sampled.items(ok=1, always_retry=1)
    run = sampled.start()
    left = 3
    half = {"text": "half", "version": 1}

    def compute(row: Row) -> Result:
        nonlocal left
        if row["behaviour"] == "always_retry":
            raise Retry("never works", code="hopeless")
        left -= 1
        return Result(half, more=True) if left >= 0 else Result(result_of(row))

    assert sampled.process(run, compute).work() == "done"
    assert sampled.states() == {"ok": 1, "failed": 1}
    with Session(sampled.url, name="test") as session:
        assert session.one("run_through", run=run)["through"] == 3 + 1


def test_crash_loops_end() -> None:
    """Crashes count as hopeless where processes never joined, or where no row ever comes through.

    They don't while rows come through between them.
    """
    crashes = Crashes()
    for number in range(2 * CRASHES):
        crashes.count(joined=True, through=number)
        assert crashes.verdict("signal SIGSEGV") is None
    for _ in range(CRASHES - 1):
        assert crashes.verdict("signal SIGSEGV") is None
        crashes.count(joined=True, through=2 * CRASHES - 1)
    assert "no row came through (signal SIGSEGV)" in str(crashes.verdict("signal SIGSEGV"))

    crashes = Crashes()
    for _ in range(STARTS):
        assert crashes.verdict("exit code 9") is None
        crashes.count(joined=False, through=0)
    assert "before they could start (exit code 9)" in str(crashes.verdict("exit code 9"))


@pytest.mark.slow
@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pooled"])
def test_a_process_stopped_past_its_lease_writes_nothing_of_what_was_taken(
    sampled: SampleDatabase, run_sample: StartRun, pooled: bool
) -> None:
    """Its rows are done by others; continued, it drops its results, joins again and goes on."""
    sampled.items(slow=600)
    sampled.do("update backfill.task set lease = '3 seconds'")
    with proxied(sampled.url, pooled=pooled) as proxy:
        first = run_sample(sampled, url=proxy.url)
        first.until(lambda: sampled.done() > 0)
        first.send(signal.SIGSTOP)
        held = [
            row["key"]
            for row in sampled.all("select key from backfill.job where state = 'running'")
        ]
        runner = sampled.all("select id, run_id, direct from backfill.runner")[0]
        assert held
        assert runner["direct"] is not pooled

        second = run_sample(sampled, "--join", str(runner["run_id"]), url=proxy.url)
        taken = "select count(*) from item where id::text = any (%s) and writes = 1"
        second.until(lambda: sampled.one(taken, held) == len(held))
        before = sampled.one("select ok from backfill.runner where id = %s", runner["id"])

        first.send(signal.SIGCONT)
        first.says("this process was silent too long and its jobs were given back; joining again")
        assert second.ended() == 0, second.err
        assert first.ended() == 0, first.err
    sampled.assert_each_written_once()
    after = sampled.all(
        "select status, ok from backfill.runner where pid = %s order by id", first.pid
    )
    assert [r["status"] for r in after] == ["lost", "left"]
    assert after[0]["ok"] == before
    assert after[1]["ok"] > 0
