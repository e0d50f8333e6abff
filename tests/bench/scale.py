"""The cost of a claim when 99 % of the jobs are finished, as the jobs table grows.

    python -m tests.bench.scale [--sizes 10000 1000000 5000000] [--claims 40]
        [--layout last|scattered]

For each size: buffers and time of `backfill.claim` by EXPLAIN ANALYZE, and rows read from any
table or index during it. Sizes take turns, so that a noisy machine is noisy for all of them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from runner.database import migrate
from runner.database.session import Session
from runner.embedded import EmbeddedServer
from tests.bench.chaos import fresh_database
from tests.plugins.servers import open_folder

WANT = 100

NEEDS = """
create table target (id bigint primary key, value integer);
create view backfill.needs_scale as
select t.id::text as key, t.id as native_key, null::text as revision
  from public.target t where t.value is null;
create function backfill.apply_scale(results jsonb) returns void language sql as '';
select backfill.register_task('scale', 1, 'Nothing.');
"""

FILL = """
insert into target select g, case when {finished} then 1 end from generate_series(1, {size}) g;
insert into backfill.job (task, key, state, task_version, attempt, finished_at)
select 'scale', g::text, case when {finished} then 'ok' else 'ready' end, 1, 1,
       case when {finished} then now() end
  from generate_series(1, {size}) g;
"""

LAYOUTS = {"last": "g <= {size} / 100 * 99", "scattered": "g % 100 <> 0"}
"""Which jobs are finished: all but the last, as claiming in order leaves them, or all but every
hundredth, which puts each ready job on a page of its own."""

READ = """
select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) from pg_stat_xact_user_tables
"""


@dataclass
class Cost:
    """What claims cost at one size: a figure for each claim."""

    size: int
    url: str
    runner: int = 0
    milliseconds: list[float] = field(default_factory=list)
    buffers: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)

    def medians(self) -> tuple[float, float, float]:
        """Milliseconds, buffers and rows of the median claim."""
        return (
            statistics.median(self.milliseconds),
            statistics.median(self.buffers),
            statistics.median(self.rows),
        )


def prepare(url: str, size: int, layout: str) -> Cost:
    """A database with so many jobs, 1 % of them ready, and a runner to claim with."""
    migrate.upgrade(url, [], {})
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(NEEDS)
        finished = LAYOUTS[layout].format(size=size)
        connection.execute(FILL.format(finished=finished, size=size))
        connection.execute("vacuum analyze")
    with Session(url, name="scale") as session:
        run = session.one(
            "start", task="scale", options=Jsonb({}), where=None, limit=None, retry_failed=False,
            batch_size=WANT, delay_ms=0, source="cli",
        )["run"]  # fmt: skip
        runner = session.one("join_run", run=run, version=1, host="bench", pid=1, direct=False)
    return Cost(size, url, runner["runner"])


def claim_once(cost: Cost, connection: psycopg.Connection[Any]) -> None:
    """Claim a batch under EXPLAIN, note what it cost, and roll it back."""
    # the counters run on from one transaction to the next, so the difference tells
    (before,) = connection.execute(READ).fetchone() or (0,)
    plan = connection.execute(
        "explain (analyze, buffers, format json) select * from backfill.claim(%s, %s, %s)",
        [cost.runner, WANT, 0],
    ).fetchone()
    (read,) = connection.execute(READ).fetchone() or (0,)
    assert plan is not None
    top = plan[0][0]["Plan"]
    cost.milliseconds.append(top["Actual Total Time"])
    cost.buffers.append(top["Shared Hit Blocks"] + top["Shared Read Blocks"])
    cost.rows.append(int(str(read)) - int(str(before or 0)))
    claimed = connection.execute(
        "select count(*) from backfill.job where task = 'scale' and state = 'running'"
    ).fetchone()
    if claimed != (WANT,):
        raise SystemExit(f"the claim took {claimed} jobs, not {WANT}")
    # the next claim finds the same state again, whatever the size
    connection.rollback()


def measure(costs: Sequence[Cost], claims: int) -> None:
    """So many claims at each size, in turns; the first ones warm up and do not count."""
    connections = [psycopg.connect(cost.url, prepare_threshold=None) for cost in costs]
    warm_up = 6
    for _ in range(claims + warm_up):
        for cost, connection in zip(costs, connections, strict=True):
            claim_once(cost, connection)
    for cost, connection in zip(costs, connections, strict=True):
        for figures in (cost.milliseconds, cost.buffers, cost.rows):
            del figures[:warm_up]
        connection.close()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 1_000_000, 5_000_000])
    parser.add_argument("--claims", type=int, default=40)
    parser.add_argument("--layout", choices=list(LAYOUTS), default="last")
    given = parser.parse_args()
    worst = 0.0
    settings = {"max_wal_size": "8GB", "shared_buffers": "2GB", "autovacuum": "off"}
    with EmbeddedServer(open_folder() / "bench", settings=settings) as server:
        costs = []
        for size in given.sizes:
            url = fresh_database(server.url(), f"scale_{size}")
            costs.append(prepare(url, size, given.layout))
            print(f"prepared {size:,} jobs", flush=True)
        measure(costs, given.claims)
    first = costs[0].medians()
    for cost in costs:
        ms, buffers, rows = cost.medians()
        ratios = (ms / first[0], buffers / first[1], rows / first[2])
        worst = max(worst, *ratios)
        print(
            f"{cost.size:>10,} jobs: claim of {WANT}: {ms:.2f} ms ({ratios[0]:.2f}), "
            f"{buffers:.0f} buffers ({ratios[1]:.2f}), {rows:.0f} rows read ({ratios[2]:.2f})"
        )
    print(f"the same within 20 %: {'yes' if worst <= 1.2 else 'no'}")
    return 0 if worst <= 1.2 else 1


if __name__ == "__main__":
    sys.exit(main())
