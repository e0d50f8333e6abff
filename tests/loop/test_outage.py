"""Connections that break and servers that go away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import pytest

from runner.contract import Row
from runner.embedded import EmbeddedServer
from runner.errors import DatabaseUnreachable
from tests.plugins.processes import (
    Command,
    SampleDatabase,
    StartRun,
    proxied,
    result_of,
    sampled_on,
)
from tests.plugins.waiting import wait_until


@pytest.fixture
def mortal(own_server: EmbeddedServer) -> Iterator[SampleDatabase]:
    """The sample task on a server of the test's own."""
    with sampled_on(own_server.url()) as database:
        yield database


def _goes_on(database: SampleDatabase, command: Command, before: int) -> bool:
    return database.done() > before or command.process.poll() is not None


STATEMENTS = ["join_run", "claim", "discover", "finish", "heartbeat", "release", "leave"]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_lost_reply(sampled: SampleDatabase, statement: str) -> None:
    """Where a statement commits and its reply is lost, no row is lost, stuck or written twice."""
    sampled.items(ok=60)
    sampled.do("update backfill.task set batch_size = 10")
    with proxied(sampled.url) as proxy:
        run = sampled.start()
        proxy.cut_reply_to(f"backfill.{statement}(")

        def compute(row: Row) -> dict[str, object]:
            if statement == "heartbeat":
                wait_until(lambda: proxy.cuts)
            return result_of(row)

        assert sampled.process(run, compute, url=proxy.url).work() == "done"
        assert proxy.cuts == 1
    sampled.assert_each_written_once()
    # the process itself is alive all the time, and is not taken for dead
    assert sampled.one("select count(*) from backfill.runner where ok > 0") == 1
    assert sampled.one("select exit_reason from backfill.run") == "done"


def test_claim_that_is_committed_after_it_was_sent_again(sampled: SampleDatabase) -> None:
    """Jobs that a claim took after its connection was cut are found and done in the same run."""
    sampled.items(ok=3)
    run = sampled.start()

    def compute(row: Row) -> dict[str, object]:
        if row["key"] == "1":
            # what such a claim leaves behind: held by this runner, which knows nothing of it
            sampled.do(
                "update backfill.job set state = 'running', attempt = attempt + 1,"
                " claimed_at = now(), run_id = %s,"
                " runner_id = (select max(id) from backfill.runner)"
                " where key = '3' and state = 'ready'",
                run,
            )
        return result_of(row)

    sampled.do("update backfill.task set batch_size = 1")
    assert sampled.process(run, compute, threads=1).work() == "done"
    sampled.assert_each_written_once()


def test_terminated_connections_are_replaced(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """Every connection is terminated again and again: no row fails, no process is lost."""
    sampled.items(slow=600)
    command = run_sample(sampled, "--workers", "2", "--json")
    command.until(lambda: sampled.done() > 0)
    for _ in range(5):
        before = sampled.done()
        sampled.do(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        wait_until(partial(_goes_on, sampled, command, before))
    assert command.ended() == 0
    sampled.assert_each_written_once()
    assert sampled.one("select count(*) from backfill.runner where status <> 'left'") == 0
    # a cut connection is no outage, and nobody is bothered with it
    assert command.err == ""


@pytest.mark.parametrize("how", ["kill", "restart"])
def test_restarted_server_is_waited_for(
    own_server: EmbeddedServer, mortal: SampleDatabase, run_sample: StartRun, how: str
) -> None:
    """A server that is killed or restarted in the middle costs time and nothing else."""
    mortal.items(slow=600)
    command = run_sample(mortal, "--workers", "2")
    command.until(lambda: mortal.done() > 0)
    if how == "kill":
        own_server.kill()
    else:
        own_server.stop()
    command.says("can't be used now")
    own_server.start()
    assert command.ended() == 0, command.err
    mortal.reconnect()
    mortal.assert_each_written_once()
    assert "is back; going on" in command.err
    # nobody was given up for dead only because the server had forgotten its locks
    assert mortal.one("select count(*) from backfill.runner where status = 'lost'") == 0
    assert mortal.one("select count(*) from backfill.attempt_error") == 0


def test_standby_is_waited_out(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """A server that takes no writes for a while, as after a failover, fails no row."""
    sampled.items(slow=300)
    command = run_sample(sampled)
    command.until(lambda: sampled.done() > 0)
    name = sampled.one("select current_database()")
    sampled.do(f"alter database {name} set default_transaction_read_only = on")
    sampled.do(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    command.says("can't be used now (cannot execute ")
    sampled.do(f"alter database {name} reset default_transaction_read_only")
    assert command.ended() == 0, command.err
    sampled.assert_each_written_once()
    assert sampled.one("select count(*) from backfill.attempt_error") == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_server_that_stays_away_ends_the_run(
    own_server: EmbeddedServer, mortal: SampleDatabase, run_sample: StartRun, workers: str
) -> None:
    """After its patience a command gives up with one line and exit code 5; the next one goes on."""
    mortal.items(slow=100)
    command = run_sample(mortal, "--workers", workers, "--patience", "1s")
    command.until(lambda: mortal.done() > 0)
    own_server.stop()
    began = time.monotonic()
    assert command.ended() == 5
    assert time.monotonic() - began < 15
    assert "waiting for it, for up to 1 s" in command.err
    last = command.err.splitlines()[-1]
    assert last.startswith("backfill: ")
    assert "lost the database" in last or "can't reach the database" in last
    assert "Traceback" not in command.err
    own_server.start()
    mortal.reconnect()
    assert run_sample(mortal).ended() == 0
    mortal.assert_each_written_once()


def test_wrong_address_is_told_at_once(
    own_server: EmbeddedServer, mortal: SampleDatabase, run_sample: StartRun
) -> None:
    """A server that was never there is no outage: exit code 5 without any wait."""
    own_server.stop()
    command = run_sample(mortal)
    assert command.ended(10) == 5
    assert "can't reach the database" in command.err
    assert len(command.err.splitlines()) == 1


def test_interrupt_ends_the_wait(
    own_server: EmbeddedServer, mortal: SampleDatabase, run_sample: StartRun
) -> None:
    """A command that waits for the server can be interrupted, and leaves within its grace."""
    mortal.items(slow=1000)
    command = run_sample(mortal, "--grace", "1s")
    command.until(lambda: mortal.done() > 0)
    own_server.stop()
    command.says("can't be used now")
    command.process.terminate()
    began = time.monotonic()
    assert command.ended() in (5, 130)
    assert time.monotonic() - began < 10


def test_unreachable_from_the_start(sampled: SampleDatabase) -> None:
    """A process that can't connect at all says so after its patience."""
    with proxied(sampled.url) as proxy:
        url = proxy.url
        run = sampled.start()
    with pytest.raises(DatabaseUnreachable, match="can't reach the database"):
        sampled.process(run, result_of, url=url, patience=0.1)


def test_pooled_connections_take_no_session_lock(sampled: SampleDatabase) -> None:
    """Behind a transaction pooler a process relies on its lease, and does all of its work."""
    sampled.items(ok=50)
    with proxied(sampled.url, pooled=True) as proxy:
        process = sampled.process(sampled.start(), result_of, url=proxy.url)
        locks = sampled.one("select count(*) from pg_locks where locktype = 'advisory'")
        assert process.work() == "done"
    assert locks == 0
    assert sampled.one("select direct from backfill.runner") is False
    sampled.assert_each_written_once()
