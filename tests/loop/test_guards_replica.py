"""Guards of replication, with a real streaming replica that lags."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from runner.embedded import EmbeddedServer
from tests.plugins.database import MakeServer
from tests.plugins.processes import SampleDatabase, result_of, sampled_on
from tests.plugins.replica import streaming_replica
from tests.plugins.waiting import wait_until

PAUSED = "select pg_get_wal_replay_pause_state() = 'paused'"


class Pair:
    """A primary with the sample task, and its replica, whose replay can be stopped."""

    def __init__(self, sampled: SampleDatabase, replica: EmbeddedServer) -> None:
        self.sampled = sampled
        self.server = replica
        self.replica = psycopg.connect(replica.url(), autocommit=True)

    def pause(self) -> None:
        """Let the replica receive WAL and replay none of it."""
        self.replica.execute("select pg_wal_replay_pause()")
        wait_until(lambda: self.replica.execute(PAUSED).fetchone() == (True,))

    def resume(self) -> None:
        """Let it catch up."""
        self.replica.execute("select pg_wal_replay_resume()")

    def write(self, size: int) -> None:
        """So many bytes of WAL."""
        self.sampled.do("select pg_logical_emit_message(true, 'test', repeat('x', %s))", size)

    def evaluate(self, name: str) -> str:
        """Measure a guard; what it does then."""
        return str(self.sampled.one("select backfill.evaluate_guard(%s)", name))

    def set_guard(self, name: str, kind: str, **settings: str) -> None:
        """Set a guard, measured each second."""
        more = "".join(f", p_{key} => {value}" for key, value in settings.items())
        self.sampled.do(f"select backfill.set_guard('{name}', '{kind}', p_every => '1 s'{more})")


@pytest.fixture
def pair(make_server: MakeServer) -> Iterator[Pair]:
    """See `Pair`; the replica has caught up."""
    primary = make_server()
    primary.start()
    replica = streaming_replica(primary, make_server, "east")
    with sampled_on(primary.url()) as sampled:
        made = Pair(sampled, replica)
        yield made
        made.replica.close()
        replica.stop()


def test_a_lagging_replica_holds_a_run(pair: Pair) -> None:
    """While the replica is behind, by time or by bytes, a run hands out no rows; when it has
    caught up, the run goes on; a replica that went away is a failure.
    """
    sampled = pair.sampled
    sampled.items(ok=200)
    pair.set_guard("lag", "replication_lag", hold_above="1.5", clear_below="0.5", subject="'east'")
    pair.set_guard("behind", "replication_bytes", slow_above="1000000")
    wait_until(lambda: pair.evaluate("lag") == pair.evaluate("behind") == "clear")

    pair.pause()
    pair.write(2_000_000)
    wait_until(lambda: pair.evaluate("behind") == "slow")
    wait_until(lambda: pair.evaluate("lag") == "hold")
    with ThreadPoolExecutor() as threads:
        ended = threads.submit(sampled.process(sampled.start(), result_of).work)
        reason = "select coalesce(max(note), '') from backfill.runner"
        words = "held by guard lag: replication lag is "
        wait_until(lambda: sampled.one(reason).startswith(words))
        assert "s (east), above 1.5 s; until it is not above 0.5 s" in sampled.one(reason)
        assert sampled.one("select wait_reason from backfill.progress").startswith(words)
        assert sampled.one("select count(*) from backfill.job where state <> 'ready'") == 0
        pair.resume()
        assert ended.result(60) == "done"
    sampled.assert_each_written_once()
    wait_until(lambda: pair.evaluate("behind") == "clear")
    events = sampled.all("select action from backfill.event where action ~ '^hold' order by id")
    assert [event["action"] for event in events] == ["hold", "hold_over"]

    pair.server.stop()
    wait_until(lambda: sampled.one("select count(*) from pg_stat_replication") == 0)
    assert pair.evaluate("lag") == "hold"
    assert sampled.one("select error from backfill.guards where name = 'lag'") == (
        "replica east is not connected"
    )
    assert pair.evaluate("behind") == "hold"
