"""What a watch costs the application, and how late new rows are done beside a backlog.

    python -m tests.bench.watch [--rounds 7] [--backlog 1000000] [--rows 40]

First the same statements on a table with and without a watch, in turns: the ratio of the medians,
of the time that the client waits and (on Linux) of the processor's time that the server's process
takes. Then a backlog is worked off while rows are inserted one by one: seconds from the commit of
each to that of its result.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psycopg

from runner.database import migrate
from runner.embedded import EmbeddedServer
from tests.bench.chaos import fresh_database
from tests.plugins.processes import SampleDatabase, environment_for, sampled_on
from tests.plugins.servers import open_folder
from tests.plugins.waiting import wait_until

Connection = psycopg.Connection[Any]

PICTURES = """
create table picture (
    id uuid primary key default gen_random_uuid(),
    owner bigint not null, url text not null, width integer, height integer,
    details jsonb, score integer, created_at timestamptz not null default now()
);
create index picture_by_owner on picture (owner, created_at);
create view backfill.needs_watched as
select p.id::text as key, p.id as native_key, md5(p.url) as revision, p.url
  from picture p where p.score is null;
select backfill.register_task('watched', 1, 'Nothing.');
select backfill.declare_inputs('watched', 'picture', 'id', '{url}');
"""
INSERT = """
insert into picture (owner, url, width, height, details)
select mod(g, 1000), 'https://example.com/pictures/' || g || '.jpg', 800, 600, '{"by": "upload"}'
  from generate_series(1, %s) g
"""


@dataclass(frozen=True)
class Trial:
    """Statements that an application makes; `rows` is how many rows they touch."""

    name: str
    rows: int
    make: Callable[[Connection], object]


def _times(statement: str, times: int, *parameters: object) -> Callable[[Connection], object]:
    def make(connection: Connection) -> None:
        for _ in range(times):
            connection.execute(statement.encode(), parameters or None)

    return make


def _in_one_transaction(times: int) -> Callable[[Connection], object]:
    def make(connection: Connection) -> None:
        with connection.transaction():
            _times(INSERT, times, 1)(connection)

    return make


OTHER = "update picture set score = 1"
INPUT = "update picture set url = url || 'x'"

TRIALS = (
    Trial("300 inserts of a row, a transaction each", 300, _times(INSERT, 300, 1)),
    Trial("300 inserts of a row in one transaction", 300, _in_one_transaction(300)),
    Trial("an insert of 5,000 rows", 5_000, _times(INSERT, 1, 5_000)),
    Trial("an insert of 50,000 rows", 50_000, _times(INSERT, 1, 50_000)),
    Trial("5,000 rows updated, no input among it", 5_000, _times(OTHER, 1)),
    Trial("5,000 rows updated, each another input", 5_000, _times(INPUT, 1)),
)  # fmt: skip


@dataclass
class Cost:
    """Seconds of each round: the client's, and the server's of processor time."""

    waited: list[float] = field(default_factory=list)
    computed: list[float] = field(default_factory=list)


def _processor_s(pid: int) -> float:
    """Processor seconds of a process; 0 where the system does not say."""
    path = Path(f"/proc/{pid}/schedstat")
    return int(path.read_text().split()[0]) / 1e9 if path.exists() else 0.0


def once(connection: Connection, trial: Trial, cost: Cost) -> None:
    """One round of a trial, on a table that is empty or has 5,000 rows."""
    connection.execute("truncate picture, backfill.arrival")
    if "updated" in trial.name:
        connection.execute(INSERT, [5_000])
        connection.execute("vacuum analyze picture")
    pid = connection.info.backend_pid
    began, before = time.perf_counter(), _processor_s(pid)
    trial.make(connection)
    cost.waited.append(time.perf_counter() - began)
    cost.computed.append(_processor_s(pid) - before)


def overhead(url: str, rounds: int) -> None:
    """Print what each trial costs with a watch, as a multiple of what it costs without."""
    migrate.upgrade(url, [], {})
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute(PICTURES)
        costs = {(trial.name, on): Cost() for trial in TRIALS for on in (False, True)}
        for _ in range(rounds):
            for on in (False, True):
                word = "watch" if on else "unwatch"
                connection.execute(f"select backfill.{word}('watched')".encode())
                for trial in TRIALS:
                    once(connection, trial, costs[trial.name, on])
        connection.execute("select backfill.unregister_task('watched')")
    print(
        "\n| with a watch | client | server's processor | more a row |\n| --- | --- | --- | --- |"
    )
    for trial in TRIALS:
        off, on_ = costs[trial.name, False], costs[trial.name, True]
        waited = median(on_.waited) / median(off.waited)
        computed, more = "", ""
        if median(off.computed):
            computed = f"{median(on_.computed) / median(off.computed):.2f}"
            us = (median(on_.computed) - median(off.computed)) / trial.rows * 1e6
            more = f"{us:.1f} µs"
        print(f"| {trial.name} | {waited:.2f} | {computed} | {more} |", flush=True)


@contextmanager
def following(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """`backfill run sample --follow`, ended at the end."""
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "out").open("wb") as out:
        command = subprocess.Popen(
            [sys.executable, "-P", "-m", "runner", "run", "sample", "--follow", "--batch-size",
             "500", "--folder", folder],
            env=environment_for(url, "tests.sample:task"), stdout=out, stderr=out,
        )  # fmt: skip
        try:
            yield command
        finally:
            command.terminate()
            command.wait(60)


def late(database: SampleDatabase, key: int) -> float:
    """Insert a row; seconds from then to its result, by the database's clock."""
    inserted = database.one(
        "with i as (insert into item (id) values (%s)) select clock_timestamp()", key
    )
    ended = "select finished_at - %s from backfill.job where key = %s and state = 'ok'"
    wait_until(lambda: database.all(ended, inserted, str(key)), seconds=60)
    return float(database.one(ended, inserted, str(key)).total_seconds())


def lateness(url: str, backlog: int, rows: int) -> bool:
    """Print how late rows are done while a backlog is; whether the median is below a second."""
    with sampled_on(url) as database:
        database.do("alter table item disable trigger count_writes")
        database.items(ok=backlog)
        database.do("vacuum analyze item")
        database.do("select backfill.declare_inputs('sample', 'item', 'id', '{input}')")
        database.do("select backfill.watch('sample')")
        with following(database.url):
            wait_until(lambda: database.done() > 0)
            waits = []
            for number in range(rows):
                waits.append(late(database, 1_000_000_000 + number))
                time.sleep(0.1)
            left = database.one("select remaining from backfill.progress")
            if not left:
                raise SystemExit("the backlog was done before the rows were; take a larger one")
            longest = f"{quantiles(waits, n=20)[-1]:.2f} s (95 %), {max(waits):.2f} s (longest)"
            print(
                f"\n{rows} rows beside {backlog:,} older ones, {left:,} of them left at the end: "
                f"done after {median(waits):.2f} s (median), {longest}"
            )
    return median(waits) < 1


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--backlog", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=40)
    given = parser.parse_args()
    with EmbeddedServer(open_folder() / "bench", settings={"max_wal_size": "8GB"}) as server:
        overhead(fresh_database(server.url(), "overhead"), given.rounds)
        in_time = lateness(fresh_database(server.url(), "lateness"), given.backlog, given.rows)
    return 0 if in_time else 1


if __name__ == "__main__":
    sys.exit(main())
