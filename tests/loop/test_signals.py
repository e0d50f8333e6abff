"""What signals and a parent's death do to a run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.plugins.processes import Command, SampleDatabase, StartRun, proxied
from tests.plugins.waiting import wait_until

LetGo = Callable[[], None]


def alive(pid: int) -> bool:
    """Whether this process exists, and has not merely not been waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with suppress(FileNotFoundError), open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
        return stat.read().rpartition(")")[2].split()[0] != "Z"
    return True


def in_the_works(database: SampleDatabase) -> int:
    """How many jobs are held by processes now."""
    return database.states().get("running", 0)


def begin(database: SampleDatabase, run_sample: StartRun, *arguments: str) -> Command:
    """A run that computes four rows that wait, and holds others that it has not started."""
    database.items(wait=4, ok=40)
    command = run_sample(database, "--threads", "4", "--batch-size", "10", *arguments)
    command.until(lambda: in_the_works(database) > 4)
    return command


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_gracefully(
    sampled: SampleDatabase, run_sample: StartRun, let_go: LetGo, number: signal.Signals
) -> None:
    """What is in the works is finished, what is not started is handed back, and it says so."""
    command = begin(sampled, run_sample)
    command.send(number)
    command.says("stopping: finishing 4 rows in the works, for up to 30 s; interrupt again")
    command.until(lambda: in_the_works(sampled) == 4)
    let_go()
    assert command.ended() == 130
    assert sampled.writes() == {1: 4, 0: 40}
    assert sampled.states() == {"ok": 4, "ready": 40}
    # no attempt is held against what was handed back
    assert sampled.one("select sum(failures) from backfill.job") == 0
    assert sampled.one("select exit_reason from backfill.run") == "interrupted"
    assert "was interrupted; nothing is lost" in command.out
    assert "go on with: backfill run sample" in command.out
    assert run_sample(sampled).ended() == 0
    sampled.assert_each_written_once()


def test_grace_is_kept(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """A row that hangs does not keep its process from leaving when the grace is over."""
    command = begin(sampled, run_sample, "--grace", "500ms")
    command.send(signal.SIGTERM)
    assert command.ended(10) == 130
    assert "4 rows were not done in time; they are handed back" in command.err
    assert sampled.states() == {"ready": 44}
    assert sampled.one("select sum(failures) from backfill.job") == 0


@pytest.mark.parametrize("workers", ["1", "3"])
def test_a_second_signal_leaves_at_once(
    sampled: SampleDatabase, run_sample: StartRun, let_go: LetGo, workers: str
) -> None:
    """Nothing is waited for, no process stays behind, and the next run finishes everything once."""
    command = begin(sampled, run_sample, "--workers", workers)
    pids = [command.pid, *command.children()]
    command.send(signal.SIGINT)
    command.says("interrupt again to leave at once")
    command.send(signal.SIGINT)
    assert command.ended(5) == 130
    wait_until(lambda: not any(alive(pid) for pid in pids), seconds=5)
    assert in_the_works(sampled) >= 4
    let_go()
    assert run_sample(sampled).ended() == 0
    sampled.assert_each_written_once()


def test_children_stop_when_their_parent_is_killed(
    sampled: SampleDatabase, run_sample: StartRun
) -> None:
    """After kill -9 of a command its processes stop by themselves, gracefully."""
    sampled.items(slow=4000)
    command = run_sample(sampled, "--workers", "4")
    command.until(lambda: len(sampled.live()) == 4 and sampled.done() > 0)
    children = command.children()
    assert len(children) == 4
    command.process.kill()
    wait_until(lambda: not any(alive(pid) for pid in children))
    assert sampled.states().keys() == {"ok", "ready"}
    assert sampled.one("select exit_reason from backfill.run") == "interrupted"
    assert set(sampled.writes()) == {0, 1}
    assert sampled.one("select count(*) from backfill.attempt_error") == 0


def test_children_of_a_killed_parent_wait_for_no_server(
    sampled: SampleDatabase, run_sample: StartRun
) -> None:
    """Nobody would stop them later, so an outage doesn't keep them, however patient they are."""
    sampled.items(slow=1000)
    with proxied(sampled.url) as proxy:
        command = run_sample(sampled, "--workers", "2", "--grace", "1s", url=proxy.url)
        command.until(lambda: len(sampled.live()) == 2 and sampled.done() > 0)
        children = command.children()
    # from here on nothing listens there
    command.says("can't be used now")
    command.process.kill()
    wait_until(lambda: not any(alive(pid) for pid in children))
    assert sampled.states().keys() == {"ok", "ready", "running"}


def test_an_interrupt_before_the_work_starts_nothing(
    sampled: SampleDatabase, run_sample: StartRun
) -> None:
    """Ctrl-C while the rows are still being counted ends the command and its query."""
    sampled.items(ok=10)
    command = run_sample(sampled, "--where", "pg_sleep(60) is not null")
    counting = (
        "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
        " and datname = current_database()"
    )
    command.until(lambda: sampled.one(counting))
    command.send(signal.SIGINT)
    assert command.ended(10) == 130
    assert command.err == "backfill: interrupted\n"
    wait_until(lambda: not sampled.one(counting))
    assert sampled.one("select count(*) from backfill.run") == 0
