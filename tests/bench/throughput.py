"""Rows a second with a computation that does nothing: us against a plain hand-written loop.

    python -m tests.bench.throughput [--rows 60000] [--batch 500] [--rounds 5] [--processes 1 2]

The hand-written loop claims a batch with `for update skip locked`, updates the target and
finishes the batch, in two transactions, over a jobs table that holds nothing but what it needs.
Both use the same server, batch size and durability, and take turns; jobs are enqueued before the
clock starts. `discovery` is the same run of ours with the enqueueing inside the measured time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.types.json import Jsonb

from runner.contract import Compute, Pacing, Settings, Task
from runner.database import migrate
from runner.database.session import Session
from runner.embedded import EmbeddedServer
from runner.loop.process import Limits, Process
from tests.bench.chaos import fresh_database
from tests.plugins.servers import open_folder

TARGET = """
drop table if exists target cascade;
create table target (id bigint primary key, value integer);
insert into target select g from generate_series(1, {rows}) g;
"""

OURS = """
create or replace view backfill.needs_noop as
select t.id::text as key, t.id as native_key, null::text as revision
  from public.target t where t.value is null;
create or replace function backfill.apply_noop(results jsonb) returns void
language sql set search_path = pg_catalog, pg_temp as $$
    update public.target t set value = (r.result ->> 'value')::integer
      from jsonb_to_recordset(results) as r (key text, result jsonb) where t.id = r.key::bigint
$$;
select backfill.unregister_task(name) from backfill.task where name = 'noop';
select backfill.register_task('noop', 1, 'Nothing.');
"""

HAND = """
drop table if exists hand_job;
create table hand_job (
    id bigint generated always as identity primary key,
    key bigint not null unique, state text not null default 'ready',
    attempt integer not null default 0,
    claimed_at timestamptz, finished_at timestamptz
);
create index hand_ready on hand_job (id) where state = 'ready';
insert into hand_job (key) select id from target order by id;
"""

HAND_CLAIM = """
with chosen as materialized (
    select id from hand_job where state = 'ready' and id > %s
     order by id limit %s for update skip locked)
update hand_job j set state = 'running', attempt = attempt + 1, claimed_at = now()
  from chosen c where j.id = c.id returning j.id, j.key
"""
HAND_APPLY = "update target t set value = 1 from unnest(%s::bigint[]) u(id) where t.id = u.id"
HAND_FINISH = "update hand_job set state = 'ok', finished_at = now() where id = any(%s)"


@contextmanager
def _open(_settings: Settings) -> Iterator[Compute]:
    yield lambda _row: {"value": 1}


TASK = Task("noop", 1, "Nothing.", _open, pacing=Pacing(batch_size=500, threads=1))


@dataclass(frozen=True)
class Contest:
    """One measurement's circumstances."""

    url: str
    rows: int
    batch: int
    processes: int


def _hand_loop(url: str, batch: int, run: int) -> None:
    with psycopg.connect(url) as connection:
        position = 0
        while True:
            claimed = connection.execute(HAND_CLAIM, [position, batch]).fetchall()
            connection.commit()
            if not claimed:
                return
            position = max(id_ for id_, _ in claimed)
            connection.execute(HAND_APPLY, [[key for _, key in claimed]])
            connection.execute(HAND_FINISH, [[id_ for id_, _ in claimed]])
            connection.commit()


def _our_loop(url: str, batch: int, run: int) -> None:
    with TASK.open({}) as compute:
        Process(url, TASK, run, compute, Limits(threads=1), threading.Event()).work()


def _timed(contest: Contest, loop: Callable[[str, int, int], None], run: int) -> float:
    """Seconds from the moment that every process is ready to begin until the last is done."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(contest.processes + 1)
    arguments = (barrier, loop, contest.url, contest.batch, run)
    workers = [context.Process(target=_worker, args=arguments) for _ in range(contest.processes)]
    for worker in workers:
        worker.start()
    barrier.wait()
    began = time.monotonic()
    for worker in workers:
        worker.join()
    seconds = time.monotonic() - began
    if any(worker.exitcode for worker in workers):
        raise SystemExit("a worker failed")
    return seconds


def _worker(
    barrier: threading.Barrier,
    loop: Callable[[str, int, int], None],
    url: str,
    batch: int,
    run: int,
) -> None:
    barrier.wait()
    loop(url, batch, run)


def hand(contest: Contest) -> float:
    """The plain loop: rows a second."""
    with psycopg.connect(contest.url, autocommit=True) as connection:
        connection.execute(TARGET.format(rows=contest.rows).encode())
        connection.execute(HAND)
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")
    rate = contest.rows / _timed(contest, _hand_loop, 0)
    _check(contest)
    return rate


def ours(contest: Contest, *, discovery: bool = False) -> float:
    """Our loop: rows a second; with `discovery`, enqueueing is part of the time."""
    with psycopg.connect(contest.url, autocommit=True) as connection:
        connection.execute("drop view if exists backfill.needs_noop")
        connection.execute(TARGET.format(rows=contest.rows).encode())
        connection.execute("create index target_needs on target (id) where value is null")
        connection.execute(OURS)
        connection.execute("vacuum analyze")
    with Session(contest.url, name="bench") as session:
        run = session.one(
            "start", task="noop", options=Jsonb({}), where=None, limit=None, retry_failed=False,
            batch_size=contest.batch, delay_ms=0, source="cli",
        )["run"]  # fmt: skip
        while (
            not discovery
            and session.one("discover", run=run, chunk=5000, vouched=None)["state"] == "open"
        ):
            pass
        session.execute("vacuum analyze backfill.job")
        session.execute("checkpoint")
    rate = contest.rows / _timed(contest, _our_loop, run)
    _check(contest)
    return rate


def _check(contest: Contest) -> None:
    with psycopg.connect(contest.url) as connection:
        row = connection.execute("select count(*) from target where value = 1").fetchone()
    if row is None or row[0] != contest.rows:
        raise SystemExit(f"only {row} of {contest.rows} rows were written")


def measure(contest: Contest, rounds: int) -> float:
    """Print a line of medians; the ratio of ours to the hand-written loop."""
    results: dict[str, list[float]] = {"hand": [], "ours": [], "discovery": []}
    for _ in range(rounds):
        results["hand"].append(hand(contest))
        results["ours"].append(ours(contest))
        results["discovery"].append(ours(contest, discovery=True))
    ratios = [ours_ / hand_ for ours_, hand_ in zip(results["ours"], results["hand"], strict=True)]
    medians = {name: statistics.median(values) for name, values in results.items()}
    ratio = statistics.median(ratios)
    print(
        f"{contest.processes} process(es): hand loop {medians['hand']:,.0f} rows/s, "
        f"ours {medians['ours']:,.0f} rows/s, ratio {ratio:.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}); "
        f"discovery included {medians['discovery']:,.0f} rows/s",
        flush=True,
    )
    return ratio


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    # durable, as in production: neither side gains from fsync=off
    with EmbeddedServer(open_folder() / "bench", settings={"max_wal_size": "4GB"}) as server:
        url = fresh_database(server.url(), "bench")
        migrate.upgrade(url, [], {})
        print(f"batch {given.batch}, {given.rows} rows, {given.rounds} rounds, medians")
        ratios = [
            measure(Contest(url, given.rows, given.batch, count), given.rounds)
            for count in given.processes
        ]
    print(f"at least 0.60 of the hand loop: {'yes' if min(ratios) >= 0.6 else 'no'}")
    return 0 if min(ratios) >= 0.6 else 1


if __name__ == "__main__":
    sys.exit(main())
