"""A shared rate as the provider sees it, and what taking from it costs.

    python -m tests.bench.rates [--seconds 5] [--rates 5 50 500] [--processes 1 2 4 8]

Processes of eight threads make calls of 50 ms for so many seconds against a server that counts
them by the kernel's time of arrival. Printed: the fullest second anywhere and what was used, as
shares of the rate; the least and the largest share of a process, of an even one; statements to the
database a call. Then the cost of a take, as a multiple of a plain update of one row.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from uuid import uuid4

import psycopg

from runner.database import migrate
from runner.embedded import EmbeddedServer
from tests import sample
from tests.bench.chaos import fresh_database
from tests.loop.limits_caller import NAME, CountingServer, callers, passed, settled
from tests.plugins.processes import SampleDatabase
from tests.plugins.servers import open_folder

CALL_S = 0.05
TAKES = 300
UPDATES = "select n_tup_upd from pg_stat_user_tables where relname = 'rate_limit'"


def quota(database: SampleDatabase, rate: float, processes: int, seconds: float) -> str:
    """One line: so many processes at this rate."""
    server = CountingServer()
    database.do("select backfill.set_rate(%s, %s)", NAME, rate)
    with callers(processes, database, server, CALL_S) as made:
        for caller in made:
            caller.tell()
        settled(server, 3)
        began, before = time.time(), database.one(UPDATES)
        passed(began + seconds)
        arrived, updates = server.between(began, began + seconds), database.one(UPDATES) - before
        for caller in made:
            caller.tell()
        shares = [int(caller.says()) for caller in made]
    server.close()
    even = sum(shares) / len(shares)
    return (
        f"{rate:7.0f} {processes:9d} {server.worst_second() / rate:14.3f}"
        f" {arrived / rate / seconds:6.3f} {min(shares) / even:6.2f} to {max(shares) / even:4.2f}"
        f" {updates / max(arrived, 1):11.2f}"
    )


def cost(connection: psycopg.Connection[object], call: Callable[[], object]) -> float:
    """Median milliseconds of a call."""
    spent = []
    for _ in range(TAKES):
        began = time.perf_counter()
        call()
        spent.append((time.perf_counter() - began) * 1000)
    return median(spent)


def costs(database: SampleDatabase) -> None:
    """Print what a take costs, by the size of the lot, and beside an old transaction."""
    connection, holder = database.connection, uuid4()
    connection.execute("set synchronous_commit = off")
    connection.execute("create table plain (id integer primary key, at timestamptz)")
    connection.execute("insert into plain values (1, now())")
    database.do("select backfill.set_rate('dear', 100000)")

    def plain() -> None:
        connection.execute("update plain set at = clock_timestamp() where id = 1")

    def take(lot: int) -> Callable[[], object]:
        query = "select * from backfill.take_tokens('dear', %s, null, %s::integer[])"
        return lambda: connection.execute(query, [holder, [1] * lot]).fetchall()

    unit = cost(connection, plain)
    print(f"\na plain update of one row: {unit:.2f} ms")
    for lot in (1, 10, 100):
        print(f"a take of {lot:3d} calls: {cost(connection, take(lot)) / unit:.1f} of that")
    with psycopg.connect(database.url) as old:
        old.execute("set transaction isolation level repeatable read")
        old.execute("select count(*) from backfill.rate_limit")
        for thousand in (5, 10, 20):
            while database.one(UPDATES) < thousand * 1000:
                for _ in range(500):
                    take(1)()
                database.one("select pg_sleep(1.1)")  # until the counters are reported
            print(
                f"a take of   1 call beside a transaction that is {thousand},000 takes old:"
                f" {cost(connection, take(1)) / unit:.1f} of that"
            )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rates", type=float, nargs="+", default=[5, 50, 500])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 8])
    given = parser.parse_args()
    with EmbeddedServer(open_folder() / "bench") as server:
        url = fresh_database(server.url(), "bench")
        migrate.upgrade(url, [], {})
        with psycopg.connect(url, autocommit=True) as connection:
            sample.install(connection)
        database = SampleDatabase(url)
        print("   rate processes fullest second   used   share of a process takes a call")
        for rate in given.rates:
            for processes in given.processes:
                print(quota(database, rate, processes, given.seconds), flush=True)
        costs(database)
        database.close()


if __name__ == "__main__":
    main()
