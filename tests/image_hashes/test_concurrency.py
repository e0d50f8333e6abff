"""Several transactions at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random
from typing import Any

import psycopg

from tests.image_hashes.index import HashIndex, add, signed
from tests.plugins.database import Database
from tests.plugins.waiting import wait_until

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
    """Batches that share pictures and hashes, in any order, all go through."""
    hashes = [signed(Random(i).getrandbits(64)) for i in range(60)]

    def adding(seed: int) -> Callable[[], object]:
        random = Random(seed)
        connection = indexed.connect(autocommit=True)

        def work() -> None:
            for generation in range(25):
                names = random.sample(range(100), 60)
                pictures = {f"p{n}": [hashes[n % 60], hashes[n * 7 % 60]] for n in names}
                add(connection, generation, pictures)

        return work

    for done in [in_thread(adding(seed)) for seed in range(4)]:
        done()
    had = "select distinct generation, hash from backfill.image_hash_owner order by 1, 2"
    assert index.all("select generation, hash from backfill.image_hash order by 1, 2") == index.all(
        had
    )


def test_prune_leaves_a_hash_that_is_being_added(indexed: Database, index: HashIndex) -> None:
    """A hash without pictures stays where a picture gets it before the prune's turn comes."""
    index.add(1, {"a": [5]})
    index.remove("a")
    adding, pruning = indexed.connect(), indexed.connect(autocommit=True)
    add(adding, 1, {"b": [5]})
    done = in_thread(lambda: pruning.execute("select backfill.image_hash_prune()"))
    wait_until(lambda: is_waiting(index, pruning))
    adding.commit()
    done()
    assert [c.picture for c in index.candidates(1, [5])] == ["b"]


def test_searches_wait_for_nobody(indexed: Database, index: HashIndex) -> None:
    """A search goes on beside an add and a prune that have not committed."""
    index.add(1, {"a": [5]})
    adding, pruning = indexed.connect(), indexed.connect()
    add(adding, 1, {"b": [6]})
    index.do("set lock_timeout = '5s'")
    assert [c.picture for c in index.candidates(1, [5])] == ["a"]
    adding.rollback()
    pruning.execute("select backfill.image_hash_prune()")
    assert [c.picture for c in index.candidates(1, [5])] == ["a"]
