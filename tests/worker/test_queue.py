"""pgqueuer's tables as our migration makes them, and what a worker takes from them."""

from __future__ import annotations

import asyncio
import threading

import psycopg
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.types import JobId

from runner.database.session import Session
from runner.worker.ear import Ear
from runner.worker.queue import CHANNEL, SETTINGS, Connection, Slots, seat_queue
from tests.plugins.processes import SampleDatabase, proxied
from tests.plugins.waiting import wait_until


def test_the_tables_are_pgqueuer_s_own(sampled: SampleDatabase) -> None:
    """The version of pgqueuer that is installed would change nothing in them."""

    async def planned() -> list[str]:
        with Session(sampled.url, name="test") as session:
            connection = Connection(session, sampled.url, "test")
            queries = Queries(connection, qbe=QueryBuilderEnvironment(SETTINGS))
            return [str(statement) for statement in (await queries.plan_upgrade()).statements]

    assert asyncio.run(planned()) == []


def test_a_worker_takes_no_seat_that_it_has_no_slot_for() -> None:
    """With all slots taken it takes new rows only."""
    slots = Slots(1, frozenset({"seat:a", "seat:b:me", "new:a"}))
    assert slots.open() == {"seat:a", "seat:b:me", "new:a"}
    slots.taken.add(JobId(1))
    assert slots.open() == {"new:a"}


def test_what_the_environment_says_of_pgqueuer_is_not_meant_for_us(sampled: SampleDatabase) -> None:
    """An application that uses pgqueuer itself has its own schema and channel."""
    assert (SETTINGS.db_schema, SETTINGS.channel, SETTINGS.prefix) == ("backfill", CHANNEL, "")
    queue, session = seat_queue(sampled.url, "test", Slots(1), threading.Event(), 1, 1)
    session.close()
    assert queue.channel == CHANNEL


def test_what_is_notified_is_heard(sampled: SampleDatabase) -> None:
    """Also after the connection was lost; but not what other ears prove themselves with."""
    heard: list[str] = []
    ear = Ear(sampled.url, "test", CHANNEL, heard.append)
    try:
        wait_until(lambda: ear.hears)
        sampled.one("select pg_notify('backfill_queue', 'proof of another')")
        sampled.one("select pg_notify('backfill_queue', 'one')")
        wait_until(lambda: heard == ["one"])
        sampled.one(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity"
            " where application_name = 'test listen' and datname = current_database()"
        )

        def hears_again() -> bool:
            sampled.one("select pg_notify('backfill_queue', 'two')")
            return "two" in heard

        wait_until(hears_again)
    finally:
        ear.close()


def test_behind_a_pooler_nothing_is_listened_for(sampled: SampleDatabase) -> None:
    """It proves deaf at once, and no LISTEN is left with a session of somebody else's."""
    with proxied(sampled.url, pooled=True) as proxy:
        ear = Ear(proxy.url, "test", CHANNEL, lambda _: None)
        wait_until(lambda: ear.hears is False)
        ear.close()


def test_statements_with_numbers_for_arguments(sampled: SampleDatabase) -> None:
    """What pgqueuer asks comes through whole, and a lost connection is replaced."""

    async def asked() -> list[object]:
        with Session(sampled.url, name="pgqueuer test", persistent=True) as session:
            connection = Connection(session, sampled.url, "test")
            found = [await connection.fetch("select $2::int + $1::int as n, '5%' as p", 1, 41)]
            with psycopg.connect(sampled.url, autocommit=True) as other:
                other.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name = 'pgqueuer test' and datname = current_database()"
                )
            found.append(await connection.fetch("select 1 as n"))
            return [row["n"] for (row,) in found]

    assert asyncio.run(asked()) == [42, 1]
