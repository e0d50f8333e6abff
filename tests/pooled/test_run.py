"""`backfill run` behind a real PgBouncer: nothing it does needs a session of its own."""

from __future__ import annotations

import os
import signal

import pytest

from tests.plugins.pgbouncer import PgBouncer
from tests.plugins.processes import SampleDatabase, StartCommand, StartRun
from tests.sample import SPENT


def at_work(sampled: SampleDatabase, processes: int) -> bool:
    """Whether so many processes are at it, and rows are done."""
    return len(sampled.live()) == processes and sampled.done() > 0


def indirect(sampled: SampleDatabase) -> bool:
    """Whether every process noticed that its server session is not its own."""
    return not sampled.one("select bool_or(direct) from backfill.runner")


def test_killed_processes_lose_nothing(
    sampled: SampleDatabase, behind: str, run_sample: StartRun
) -> None:
    """Others take the place of processes that are killed; each row is written once."""
    sampled.items(slow=200)
    sampled.do("update backfill.task set lease = '3 seconds'")
    command = run_sample(sampled, "--workers", "2", "--json", url=behind)
    command.until(lambda: at_work(sampled, 2))
    for pid in command.children():
        os.kill(pid, signal.SIGKILL)
    assert command.ended() == 0, command.err
    sampled.assert_each_written_once()
    assert command.err.count("starting another") == 2
    assert indirect(sampled)


def test_a_run_whose_command_is_killed_is_taken_over(
    sampled: SampleDatabase, behind: str, run_sample: StartRun
) -> None:
    """Nobody but the lease can tell that it is dead: then the next command does its rows."""
    sampled.items(slow=100)
    sampled.do("update backfill.task set lease = '3 seconds'")
    first = run_sample(sampled, url=behind)
    first.until(lambda: at_work(sampled, 1))
    first.send(signal.SIGKILL)
    assert first.ended() == -signal.SIGKILL
    second = run_sample(sampled, "--json", url=behind)
    assert second.ended() == 0, second.err
    sampled.assert_each_written_once()


def test_a_pooler_that_is_restarted_is_waited_for(
    sampled: SampleDatabase, behind: str, run_sample: StartRun, pooler: PgBouncer
) -> None:
    """Its clients lose their connections in the middle of whatever they do, and go on."""
    sampled.items(slow=150)
    command = run_sample(sampled, "--workers", "2", "--json", url=behind)
    command.until(lambda: at_work(sampled, 2))
    pooler.stop()
    pooler.start()
    assert command.ended() == 0, command.err
    sampled.assert_each_written_once()
    assert "starting another" not in command.err


def test_new_rows_are_done_as_they_come(
    sampled: SampleDatabase, behind: str, run_sample: StartRun
) -> None:
    """A process that stays hears no notification here, says nothing of it, and looks by itself."""
    sampled.do("select backfill.declare_inputs('sample', 'item', 'id', '{input}')")
    sampled.do("select backfill.watch('sample')")
    command = run_sample(sampled, "--follow", url=behind)
    waiting = "select count(*) from backfill.runner where note = 'waiting for new rows'"
    command.until(lambda: sampled.one(waiting) == 1)
    for _ in range(3):
        sampled.items(ok=1)
        command.until(lambda: set(sampled.writes()) == {1}, seconds=5)
    sampled.do("update item set input = 'b' where id = 2")
    command.until(lambda: sampled.one("select result from item where id = 2") == "result of b")
    command.send(signal.SIGTERM)
    assert command.ended() == 130


def test_a_guard_holds_all_processes(
    sampled: SampleDatabase, behind: str, run_sample: StartRun
) -> None:
    """One that is measured in turn, on whatever session; the others' time limits stay their own."""
    sampled.items(slow=150)
    sampled.do(
        "create table gate as select 11 as v;"
        "update backfill.task set batch_size = 5;"
        "select backfill.set_guard('gate', 'sql', p_sql => 'select v from public.gate',"
        " p_hold_above => 10, p_every => '1 s');"
        "select backfill.set_guard('hangs', 'sql', p_sql => 'select pg_sleep(60)',"
        " p_hold_above => 10, p_every => '1 s', p_timeout => '100 ms', p_on_failure => 'pass')"
    )
    command = run_sample(sampled, "--workers", "2", url=behind)
    held = "select count(*) from backfill.runner where note like 'held by guard gate%%'"
    command.until(lambda: sampled.one(held) == 2)
    assert sampled.done() == 0
    sampled.do("update gate set v = 0")
    assert command.ended() == 0, command.err
    sampled.assert_each_written_once()
    error = sampled.one("select error from backfill.guards where name = 'hangs'")
    assert error == "no answer within 0.1 s"


def test_processes_share_a_budget(
    sampled: SampleDatabase, behind: str, run_sample: StartRun
) -> None:
    """Three processes use no more than there is, one of them killed in the middle."""
    sampled.items(spends=60)
    most = str(20 * SPENT + 50)
    command = run_sample(
        sampled, "--max-bytes", most, "--workers", "3", url=behind, tasks="tests.sample:metered"
    )
    command.until(lambda: sampled.live() != [])
    with_budget = command.children()
    if with_budget:
        os.kill(with_budget[0], signal.SIGKILL)
    assert command.ended() == 0, command.err
    assert sampled.one("select sum(used) from backfill.run_meter") <= 20 * SPENT
    assert sampled.one("select exit_reason from backfill.run") == "budget"
    assert sampled.writes().keys() == {0, 1}


@pytest.mark.parametrize("words", [("status",), ("failures", "sample"), ("doctor",)])
def test_operators_are_answered(
    sampled: SampleDatabase, behind: str, command: StartCommand, words: tuple[str, ...]
) -> None:
    """Commands that ask work as ever."""
    found = command(behind, *words)
    assert found.ended() == 0, found.err
