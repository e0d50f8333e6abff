"""Several transactions at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.image_hashes.index import HashIndex, signed
from tests.plugins.database import Database
from tests.plugins.waiting import wait_until

ADD = "select backfill.image_hash_add(1, %s, array[%s]::bigint[])"
WAITING = """
select wait_event_type = 'Lock' from pg_stat_activity where pid = %s and state = 'active'
"""


def in_thread(work: Callable[[], object]) -> Callable[[], None]:
    """Start the work; what is returned waits for its end and raises what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def done() -> None:
        thread.join(60)
        assert not thread.is_alive()
        if raised:
            raise raised[0]

    return done


def is_waiting(index: HashIndex, connection: psycopg.Connection[Any]) -> bool:
    """Whether another connection waits for a lock."""
    return bool(index.all(WAITING, connection.info.backend_pid) == [(True,)])


def test_adds_at_the_same_time_do_not_deadlock(indexed: Database, index: HashIndex) -> None:
    """Batches of different pictures that share their hashes, in any order, all go through."""
    hashes = [signed(Random(i).getrandbits(64)) for i in range(60)]

    def adding(seed: int) -> Callable[[], object]:
        random = Random(seed)
        connection = indexed.connect(autocommit=True)

        def work() -> None:
            for _ in range(25):
                batch = [
                    {"key": f"k{seed}-{random.randrange(40)}", "hashes": random.sample(hashes, 3)}
                    for _ in range(30)
                ]
                connection.execute("select backfill.image_hash_add_batch(1, %s)", [Jsonb(batch)])

        return work

    for done in [in_thread(adding(seed)) for seed in range(4)]:
        done()
    missing = """
        select count(*) from backfill.image_hash_owner o
         where not exists (select from backfill.image_hash i
                            where i.generation = o.generation and i.hash = o.hash)
    """
    assert index.one(missing) == 0
    assert index.one("select count(*) from backfill.image_hash") == len(hashes)


def test_taking_turns_misses_no_pair(indexed: Database, index: HashIndex) -> None:
    """Of two that add and search at once, the second one finds the first one's picture."""
    first, second = indexed.connect(), indexed.connect()
    found: list[Any] = []
    first.execute("select backfill.image_hash_turn(1)")
    first.execute(ADD, ["first", 5])

    def follow() -> None:
        second.execute("select backfill.image_hash_turn(1)")
        second.execute(ADD, ["second", 4])
        rows = second.execute(
            "select key from backfill.image_candidates(1, '{4}', p_except => 'second')"
        )
        found.extend(rows.fetchall())
        second.commit()

    done = in_thread(follow)
    wait_until(lambda: is_waiting(index, second))
    first.commit()
    done()
    assert found == [("first",)]


def test_turns_of_other_generations_are_free(indexed: Database) -> None:
    """Waiting for one's turn waits for nobody in another generation."""
    first, second = indexed.connect(), indexed.connect()
    first.execute("select backfill.image_hash_turn(1)")
    second.execute("set lock_timeout = '5s'")
    second.execute("select backfill.image_hash_turn(2)")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        second.execute("set lock_timeout = '10ms'; select backfill.image_hash_turn(1)")


def test_prune_leaves_a_hash_that_is_being_added(indexed: Database, index: HashIndex) -> None:
    """A hash without pictures stays where a picture gets it before the prune's turn comes."""
    index.add(1, {"a": [5]})
    index.one("select backfill.image_hash_remove('a')")
    adding, pruning = indexed.connect(), indexed.connect(autocommit=True)
    adding.execute(ADD, ["b", 5])
    done = in_thread(lambda: pruning.execute("select backfill.image_hash_prune()"))
    wait_until(lambda: is_waiting(index, pruning))
    adding.commit()
    done()
    assert [c.key for c in index.candidates(1, [5])] == ["b"]


def test_searches_wait_for_nobody(indexed: Database, index: HashIndex) -> None:
    """A search goes on beside an add and a prune that have not committed."""
    index.add(1, {"a": [5]})
    adding, pruning = indexed.connect(), indexed.connect()
    adding.execute(ADD, ["b", 6])
    index.do("set lock_timeout = '5s'")
    assert [c.key for c in index.candidates(1, [5])] == ["a"]
    adding.rollback()
    pruning.execute("select backfill.image_hash_prune()")
    assert [c.key for c in index.candidates(1, [5])] == ["a"]
