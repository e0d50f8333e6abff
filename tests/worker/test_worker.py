"""Workers at work: runs that others start, stopped and killed workers, new rows, schedules."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from runner.errors import ExitCode
from tests.plugins.processes import SampleDatabase, proxied
from tests.plugins.waiting import wait_until
from tests.worker import second
from tests.worker.conftest import Ask, StartWorker, ended, ready


@pytest.mark.slow
def test_a_run_that_is_started_in_psql_is_done(
    sampled: SampleDatabase, worker: StartWorker, ask: Ask
) -> None:
    """By as many processes as it asks for; a row that kills its process harms nobody else."""
    sampled.items(ok=3, flaky=1, crash=1)
    sampled.do("update backfill.task set max_attempts = 2")
    run = ask(sampled, processes=2)
    said = sampled.one("select wait_reason from backfill.progress")
    assert said == "waits for a worker: backfill worker"
    command = worker(sampled.url, "--processes", "2", "--once")
    assert command.ended() == ExitCode.DONE, command.err
    assert ended(sampled, run) == "done"
    assert sampled.states() == {"ok": 4, "failed": 1}
    assert sampled.failure(5)["error_class"] == "crashed"
    assert sampled.all("select * from backfill.pgqueuer") == []
    assert sampled.one("select count(*) from backfill.runner where run_id = %s", run) >= 2


def test_a_worker_that_is_stopped_hands_its_run_to_another(
    sampled: SampleDatabase, worker: StartWorker, ask: Ask, rows: Path
) -> None:
    """On SIGTERM it finishes what is in the works; the run goes on elsewhere, each row once."""
    sampled.items(wait=8, slow=200)
    sampled.do("update backfill.task set batch_size = 4")
    run = ask(sampled)
    first = worker(sampled.url, "--processes", "1")
    first.until(lambda: sampled.states().get("running"))
    first.send(signal.SIGTERM)
    (rows / "go").touch()
    assert first.ended() == ExitCode.INTERRUPTED
    assert ended(sampled, run) is None
    assert sampled.one("select status from backfill.worker") == "left"
    assert 0 < sampled.done() < 208
    second = worker(sampled.url, "--once")
    assert second.ended() == ExitCode.DONE, second.err
    assert ended(sampled, run) == "done"
    sampled.assert_each_written_once()


def test_a_worker_that_is_killed_is_replaced(
    sampled: SampleDatabase, worker: StartWorker, ask: Ask, rows: Path
) -> None:
    """Another one finds it silent and takes its seat; each row is written once."""
    sampled.items(wait=4, ok=30)
    run = ask(sampled)
    first = worker(sampled.url, "--processes", "1")
    second = worker(sampled.url, "--processes", "1")
    ready(sampled, first, 2)
    query = """
        select w.pid from backfill.seat s join backfill.worker w on w.id = s.worker_id
        where exists (select from backfill.job where state = 'running')"""
    first.until(lambda: sampled.all(query))
    pid = sampled.one(query)
    killed, left = (first, second) if pid == first.pid else (second, first)
    killed.send(signal.SIGKILL)
    killed.process.wait()
    # spares the test the ten seconds after which that would be so
    sampled.do(
        "update backfill.worker set heartbeat_at = now() - interval '1 minute' where pid = %s", pid
    )
    sampled.do("update backfill.pgqueuer set updated = now() - interval '1 minute'")
    left.says("1 workers were silent")
    (rows / "go").touch()
    left.until(lambda: ended(sampled, run) == "done")
    sampled.assert_each_written_once()
    left.send(signal.SIGTERM)
    assert left.ended() == ExitCode.INTERRUPTED


def test_new_rows_are_done_and_the_backlog_is_not(
    sampled: SampleDatabase, worker: StartWorker
) -> None:
    """A worker does a watched task's new rows without being asked, and nothing that costs more."""
    sampled.items(ok=20)
    sampled.do("select backfill.declare_inputs('sample', 'public.item', 'id', '{input}')")
    sampled.do("select backfill.watch('sample')")
    command = worker(sampled.url, "--processes", "1")
    command.until(sampled.live)
    sampled.items(ok=3)
    command.until(lambda: sampled.writes() == {0: 20, 1: 3})
    sampled.do("update item set input = 'b' where id = 22")
    command.until(lambda: sampled.one("select result from item where id = 22") == "result of b")
    assert sampled.writes() == {0: 20, 1: 2, 2: 1}
    sampled.do("select backfill.unwatch('sample')")
    command.until(lambda: not sampled.live())
    assert sampled.one("select exit_reason from backfill.run") == "cancelled"


@pytest.mark.parametrize("deaf", [False, True])
def test_a_worker_picks_up_what_comes_later(
    sampled: SampleDatabase, worker: StartWorker, ask: Ask, deaf: bool
) -> None:
    """Where it can be notified and where it can't, behind a transaction pooler."""
    with proxied(sampled.url, pooled=deaf) as proxy:
        command = worker(proxy.url, "--processes", "1")
        if deaf:
            command.says("what is new is found by polling")
        ready(sampled, command)
        sampled.items(ok=3)
        run = ask(sampled)
        command.until(lambda: ended(sampled, run) == "done")
        command.send(signal.SIGTERM)
        assert command.ended() == ExitCode.INTERRUPTED


def test_a_run_that_can_t_be_worked_for_ends_with_the_reason(
    sampled: SampleDatabase, worker: StartWorker
) -> None:
    """A process that can't begin ends the run, and not the worker."""
    sampled.items(ok=1)
    run = sampled.one("select backfill.start('sample')")
    command = worker(sampled.url, "--once", BACKFILL_BEFORE_RUN="false")
    assert command.ended() == ExitCode.DONE, command.err
    assert ended(sampled, run) == "error"


def test_two_signals_leave_at_once(sampled: SampleDatabase, worker: StartWorker, ask: Ask) -> None:
    """The second one does not wait for what is in the works."""
    sampled.items(wait=2)
    ask(sampled)
    command = worker(sampled.url, "--processes", "1", "--grace", "5m")
    command.until(lambda: sampled.states().get("running"))
    children = command.children()
    command.send(signal.SIGTERM)
    # two signals before the first is handled are one
    wait_until(lambda: "stopping" in command.err)
    command.send(signal.SIGTERM)
    assert command.ended(10) == ExitCode.INTERRUPTED
    wait_until(lambda: not any(Path(f"/proc/{pid}/stat").exists() for pid in children))


def test_two_tasks_share_one_process(
    sampled: SampleDatabase, worker: StartWorker, ask: Ask
) -> None:
    """A run that takes long makes room for another task's, and goes on after it."""
    sampled.do(second.SCHEMA)
    sampled.do("insert into item_2 select g, 'ok' from generate_series(1, 10) g")
    sampled.items(slow=1500)
    sampled.do("update backfill.task set batch_size = 10")
    long = ask(sampled)
    tasks = "tests.sample:task,tests.worker.second:task"
    command = worker(sampled.url, "--processes", "1", "--slice", "1s", BACKFILL_TASKS=tasks)
    command.until(lambda: sampled.states().get("ok"))
    short = sampled.one("select backfill.start('second')")
    command.until(lambda: ended(sampled, short) == "done")
    assert ended(sampled, long) is None
    before = sampled.done()
    command.until(lambda: sampled.done() > before)
    assert sampled.one("select count(*) from backfill.runner where run_id = %s", long) >= 2
    sampled.do("select backfill.cancel(%s)", long)
    command.until(lambda: ended(sampled, long) == "cancelled")


def test_a_new_version_of_a_task_ends_no_run(
    sampled: SampleDatabase, worker: StartWorker, ask: Ask
) -> None:
    """A migration before the workers are restarted: the run waits for one with the new code."""
    sampled.items(slow=1000)
    run = ask(sampled)
    command = worker(sampled.url, "--processes", "1")
    command.until(lambda: sampled.states().get("ok"))
    sampled.do("update backfill.task set version = 2")
    command.says("is left to other workers")
    command.until(lambda: not sampled.live())
    said = "select wait_reason from backfill.progress"
    command.until(lambda: sampled.one(said) == "waits for a worker: backfill worker")
    assert ended(sampled, run) is None
