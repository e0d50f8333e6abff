"""What it costs to find the pictures near a new one among very many, against a plain scan.

    python -m tests.bench.duplicates [--sizes 100000 1000000] [--uniform | --skewed]

Pictures have one hash each: at random, or (skewed) half of them on 300 templates, a few bits off.
The plain scan counts the bits of every row of a table that has a picture's number, generation and
hash and nothing else, without parallel workers. Scans, look-ups one by one and look-ups of 100 in a
statement take turns, so that a noisy machine is noisy for all of them. Of the pictures looked up,
half are new and half are copies, up to ten bits off, of one that is there. Ends with 1 where a goal
or a hash is missed. Ten million take 8 GB of disk, in a temporary folder, and 4 GB of memory.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from runner.embedded import EmbeddedServer
from tests.bench.chaos import fresh_database
from tests.image_hashes.index import distance, install, signed
from tests.plugins.servers import open_folder

RADIUS = 10
BATCH = 100
GOALS = {1_000_000: 30, 10_000_000: 85}
"""Times a plain scan's speed that each look-up should exceed: alone, in batches, unvacuumed."""

SETTINGS = {
    "autovacuum": "off", "fsync": "off", "shared_buffers": "4GB", "max_wal_size": "3GB",
    "checkpoint_timeout": "1h", "maintenance_work_mem": "512MB", "work_mem": "64MB",
}  # fmt: skip

UNIFORM = "select g as id, hashint8extended(g, 7) as hash from generate_series(1, {size}) g"

SKEWED = """
select p.g as id,
       case when p.g % 2 = 0 then hashint8extended(p.g, 7)
            else hashint8extended(p.template, 8) # (
                 select coalesce(bit_or(1::bigint << b.bit), 0)
                   from generate_series(1, p.flips) as f
                  cross join lateral (
                        select (hashint8extended(p.template * 32 + (random() * 24 + 0 * f)::int, 9)
                                & 63)::int) as b (bit)) end as hash
  from (select g, (300 * random() ^ 2)::int as template,
               greatest((random() * 8)::int - 2, 0) as flips
          from generate_series(1, {size}) g offset 0) p
"""
"""Templates are not equally common, and each has 25 bits of its own that its pictures differ in."""

FILL = """
create table public.picture as select id, 1 as generation, hash from ({pictures}) p;
insert into backfill.image_hash (generation, hash)
select 1, hash from public.picture group by hash order by min(id);
insert into backfill.image_hash_owner (generation, hash, sha256)
select 1, hash, sha256(int8send(id)) from public.picture;
"""

SAMPLE = "select hash from public.picture where id = any (%s)"

INDEXES = """
select indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index
 where indrelid = 'backfill.image_hash'::regclass
"""

SCAN = """
select hash from public.picture
 where generation = 1 and bit_count((hash # %s::bigint)::bit(64)) <= 10
"""
ALONE = "select * from backfill.image_candidates(1, array[%s::bigint], 10, 100)"
TOGETHER = "select * from backfill.image_candidates_batch(1, %s, 10, 100)"
SEARCH = (
    "select hash, large_cluster from backfill.image_hash_search(1, array[%s::bigint], 10, 10000)"
)
BANDS = "abcd"
WARM = "select count(hash) from backfill.image_hash where backfill.image_hash_band_{}(hash) >= 0"
ADD = "select backfill.image_hash_add_batch(1, %s)"

Connection = psycopg.Connection[Any]


@dataclass
class Times:
    """Milliseconds of each call."""

    scan: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    together: list[float] = field(default_factory=list)

    def ratios(self) -> tuple[float, float]:
        """How many times faster than a scan a look-up is, alone and in a batch."""
        scan = statistics.median(self.scan)
        return scan / statistics.median(self.alone), scan * BATCH / statistics.median(self.together)


@dataclass
class Figures:
    """What was measured at one size."""

    size: int
    kind: str
    distinct: int = 0
    table_mb: float = 0.0
    index_mb: float = 0.0
    owner_mb: float = 0.0
    vacuumed: Times = field(default_factory=Times)
    unseen: int = 0
    unvacuumed: Times = field(default_factory=Times)
    never_vacuumed: list[float] = field(default_factory=list)
    buffers: list[int] = field(default_factory=list)
    buffers_together: list[int] = field(default_factory=list)
    wanted: int = 0
    found: int = 0
    wrong: int = 0
    cut: int = 0
    adding: list[float] = field(default_factory=list)
    wal_first: float = 0.0
    wal_later: float = 0.0

    def ratios(self) -> tuple[float, ...]:
        """Those of look-ups in a vacuumed table, then of those beside unvacuumed rows."""
        return self.vacuumed.ratios() + self.unvacuumed.ratios()

    def good(self) -> bool:
        """Whether nothing was missed and every goal reached."""
        goal = GOALS.get(self.size, 0)
        return self.found == self.wanted and not self.wrong and min(self.ratios()) > goal


def one(connection: Connection, query: str, *parameters: Any) -> Any:
    """The only value of a query."""
    row = connection.execute(query.encode(), parameters or None).fetchone()
    assert row is not None
    return row[0]


def timed(connection: Connection, query: str, *parameters: Any) -> tuple[float, list[Any]]:
    """Milliseconds until all rows are here, and the rows."""
    began = time.perf_counter()
    rows = connection.execute(query.encode(), parameters).fetchall()
    return (time.perf_counter() - began) * 1000, rows


class Pictures:
    """New pictures of the same kind as those that are there, and copies of those."""

    def __init__(self, connection: Connection, figures: Figures) -> None:
        self._random = random.Random(f"{figures.kind} pictures")
        numbers = [self._random.randrange(figures.size) + 1 for _ in range(20_000)]
        self._there = [h for (h,) in connection.execute(SAMPLE, [numbers])]
        self._kind = figures.kind
        self._number = 0

    def hash(self) -> int:
        """Half of the time a new one, else a copy of one that is there, up to ten bits off."""
        if self._random.random() < 0.5:
            return self.new()
        bits = self._random.sample(range(64), self._random.randrange(RADIUS + 1))
        return signed(self._random.choice(self._there) ^ sum(1 << bit for bit in bits))

    def new(self) -> int:
        """A hash at random; in a skewed history half of the time one next to what is there."""
        if self._kind == "skewed" and self._random.random() < 0.5:
            bits = self._random.sample(range(64), self._random.randrange(4))
            return signed(self._random.choice(self._there) ^ sum(1 << bit for bit in bits))
        return signed(self._random.getrandbits(64))

    def batch(self, *, new: bool = False) -> Jsonb:
        """A hundred pictures as JSON, each with one hash."""
        self._number += 1
        make = self.new if new else self.hash
        keys = [sha256(f"{self._number} {i}".encode()).hexdigest() for i in range(BATCH)]
        return Jsonb([{"key": key, "hashes": [make()]} for key in keys])


def prepare(connection: Connection, figures: Figures) -> None:
    """Fill the tables, build the indexes, and look up some pictures before vacuum sees any."""
    built = connection.execute(INDEXES).fetchall()
    for name, _ in built:
        connection.execute(f"drop index {name}".encode())
    pictures = (UNIFORM if figures.kind == "uniform" else SKEWED).format(size=figures.size)
    connection.execute("select setseed(0.5)")
    connection.execute(FILL.format(pictures=pictures).encode())
    for _, definition in built:
        connection.execute(definition)
    connection.execute("analyze")
    asked = Pictures(connection, figures)
    for _ in range(20):
        figures.never_vacuumed.append(timed(connection, ALONE, asked.hash())[0])
    connection.execute("vacuum")
    mb = "select pg_{}_size('backfill.{}') / 1e6::float"
    figures.distinct = one(connection, "select count(*) from backfill.image_hash")
    figures.table_mb = one(connection, mb.format("table", "image_hash"))
    figures.index_mb = one(connection, mb.format("indexes", "image_hash"))
    figures.owner_mb = one(connection, mb.format("total_relation", "image_hash_owner"))


def warm_up(connection: Connection) -> None:
    """Read every index once, since a new connection maps the server's memory page by page."""
    connection.execute("set enable_seqscan = off; set enable_bitmapscan = off")
    for band in BANDS:
        connection.execute(WARM.format(band).encode())
    connection.execute("reset enable_seqscan; reset enable_bitmapscan")


def look_up(
    connection: Connection, figures: Figures, times: Times, asked: Pictures, rounds: int
) -> None:
    """Scans and look-ups in turns, each picture once; the first round warms up."""
    for turn in range(rounds + 1):
        picture = asked.hash()
        scan, hashes = timed(connection, SCAN, picture)
        if times is figures.vacuumed:
            check(connection, figures, picture, {h for (h,) in hashes})
        alone = [timed(connection, ALONE, asked.hash())[0] for _ in range(25)]
        together = timed(connection, TOGETHER, asked.batch())[0]
        if turn:
            times.scan.append(scan)
            times.alone += alone
            times.together.append(together)


def check(connection: Connection, figures: Figures, picture: int, wanted: set[int]) -> None:
    """Compare with what the scan found."""
    rows = timed(connection, SEARCH, picture)[1]
    found = {h for h, _ in rows}
    if any(cut for _, cut in rows):
        figures.cut += 1
    else:
        figures.wanted += len(wanted)
        figures.found += len(wanted & found)
    figures.wrong += len(found - wanted)
    assert all(distance(picture, h) <= RADIUS for h in found)


def pages(connection: Connection, query: str, asked: object) -> int:
    """Pages of tables and indexes that a query touches."""
    top = one(connection, "explain (analyze, buffers, format json) " + query, asked)[0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


def add(connection: Connection, figures: Figures, new: Pictures) -> None:
    """Add pictures by the hundred, that no vacuum sees."""
    position = "select pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
    figures.unseen = max(10_000, figures.size // 100)
    connection.execute("checkpoint")
    quarter = figures.unseen // BATCH // 4
    marks = [one(connection, position)]
    for _ in range(4):
        for _ in range(quarter):
            figures.adding.append(timed(connection, ADD, new.batch(new=True))[0])
        marks.append(one(connection, position))
    figures.wal_first = float(marks[1] - marks[0]) / (quarter * BATCH)
    figures.wal_later = float(marks[4] - marks[3]) / (quarter * BATCH)


def quantile(values: list[float], share: float) -> float:
    """The value below which this share of them lies."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def line(what: str, times: Times) -> str:
    """Times of look-ups, and how many scans they are worth."""
    alone, together = times.ratios()
    return (
        f"  {what:<12} scan {statistics.median(times.scan):.1f} ms | alone "
        f"{statistics.median(times.alone):.2f} ms, p95 {quantile(times.alone, 0.95):.2f}: "
        f"{alone:.0f} x | 100 in a statement {statistics.median(times.together):.0f} ms: "
        f"{together:.0f} x"
    )


def report(figures: Figures) -> None:
    """Print one block."""
    median = statistics.median
    goal = GOALS.get(figures.size)
    print(
        f"\n{figures.kind}, {figures.size:,} pictures, {figures.distinct:,} distinct hashes\n"
        f"{line('vacuumed', figures.vacuumed)}\n"
        f"{line('unvacuumed', figures.unvacuumed)} ({figures.unseen:,} new rows)\n"
        f"  never vacuumed at all: alone {median(figures.never_vacuumed):.2f} ms\n"
        f"  pages: alone {median(figures.buffers):.0f}, 100 in a statement "
        f"{median(figures.buffers_together):.0f}\n"
        f"  recall: {figures.found:,} of {figures.wanted:,} hashes near a picture, "
        f"{figures.wrong} wrong, {figures.cut} searches cut as large clusters\n"
        f"  insert of 100: {median(figures.adding):.2f} ms, p95 "
        f"{quantile(figures.adding, 0.95):.2f}; WAL a picture "
        f"{figures.wal_first:,.0f} bytes after a checkpoint, {figures.wal_later:,.0f} later\n"
        f"  disk: hashes {figures.table_mb:,.0f} MB, their indexes "
        f"{figures.index_mb:,.0f} MB, pictures with their index {figures.owner_mb:,.0f} MB\n"
        + (f"  every look-up more than {goal} x a scan, recall 1: " if goal else "  recall 1: ")
        + ("yes" if figures.good() else "no"),
        flush=True,
    )


@contextmanager
def server() -> Iterator[EmbeddedServer]:
    """A server whose files are gone afterwards."""
    folder = open_folder()
    try:
        with EmbeddedServer(folder / "bench", settings=SETTINGS) as running:
            yield running
    finally:
        shutil.rmtree(folder)


def measure(running: EmbeddedServer, size: int, kind: str) -> Figures:
    """All figures of one size, in a database that is dropped afterwards."""
    name = f"{kind}_{size}"
    figures = Figures(size, kind)
    url = fresh_database(running.url(), name)
    install(url)
    rounds = 6 if size >= 5_000_000 else 12
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("set max_parallel_workers_per_gather = 0")
        prepare(connection, figures)
        asked = Pictures(connection, figures)
        warm_up(connection)
        look_up(connection, figures, figures.vacuumed, asked, rounds)
        figures.buffers = [pages(connection, ALONE, asked.hash()) for _ in range(15)]
        figures.buffers_together = [pages(connection, TOGETHER, asked.batch()) for _ in range(3)]
        add(connection, figures, asked)
        look_up(connection, figures, figures.unvacuumed, asked, rounds)
    with psycopg.connect(running.url(), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)".encode())
        connection.execute("checkpoint")
    return figures


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--uniform", action="store_true", help="hashes at random only")
    which.add_argument("--skewed", action="store_true", help="half on 300 templates only")
    given = parser.parse_args()
    kinds = [k for k, other in (("uniform", given.skewed), ("skewed", given.uniform)) if not other]
    good = True
    with server() as running:
        for size in given.sizes:
            for kind in kinds:
                figures = measure(running, size, kind)
                report(figures)
                good &= figures.good()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
