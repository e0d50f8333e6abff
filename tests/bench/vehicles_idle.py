"""What `backfill run vehicle_images` costs where there is nothing to do: the whole process.

    python -m tests.bench.vehicles_idle [--vehicles 1000000] [--rounds 5]

Of the vehicles 90 % are marked as done by earlier runs, with a row of everything that these leave,
and 10 % name no URLs. Then 20 % of all have pictures from elsewhere, URLs and no mark. The command
takes turns with `backfill --version` and with `psql -c 'select 1'`; printed are medians of the time
and of the processor's time, which other work on the machine changes less, and their ratios. Starts
an embedded server of its own unless TEST_DATABASE_URL is set.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from runner.embedded import find_binaries
from tests.bench.chaos import fresh_database
from tests.bench.vehicles_tables import TASK, install
from tests.plugins.servers import any_server, open_folder

DONE = 9
"""Vehicles of ten that are marked as done."""

CAUGHT_UP = f"""
insert into vehicles (id, primary_image_url, origin_metadata)
select ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
       case when n %% 10 < {DONE} then 'ab/cd/' || n || '.jpg' end,
       case when n %% 10 < {DONE} then jsonb_build_object(
           'source', 'listing', 'images_backfilled', true, 'images_backfilled_count', 1,
           'image_urls', jsonb_build_array(format('https://pictures.example/%%s/front.jpg', n)))
       else '{{"source": "listing"}}' end
  from generate_series(1, %(vehicles)s) n;
insert into vehicle_images (vehicle_id, image_url, storage_path, file_hash, file_size, source,
                            source_url, position, is_primary)
select v.id, v.primary_image_url, v.primary_image_url, md5(v.id::text), 100000, 'trickle_backfill',
       v.origin_metadata #>> '{{image_urls,0}}', 0, true
  from vehicles v where v.primary_image_url is not null;
insert into backfill.vehicle_url (vehicle, position, url, state, host, file_hash)
select i.vehicle_id, 0, i.source_url, 'stored', 'pictures.example', i.file_hash
  from vehicle_images i;
insert into backfill.job (task, key, state, attempt, task_version, finished_at)
select '{TASK}', i.vehicle_id::text, 'ok', 1, 1, now() from vehicle_images i;
"""

FROM_ELSEWHERE = """
with theirs as (
    update vehicles set origin_metadata = origin_metadata - 'images_backfilled'
     where id in (select id from vehicles where primary_image_url is not null
                   order by hashtext(id::text) limit %(elsewhere)s)
    returning id
), pictures as (
    update vehicle_images i set source = 'upload' from theirs t where i.vehicle_id = t.id
), outcomes as (
    delete from backfill.vehicle_url u using theirs t where u.vehicle = t.id
)
delete from backfill.job j using theirs t where j.key = t.id::text
"""


def fill(url: str, statement: str, **numbers: int) -> None:
    """Change the tables, and leave them as autovacuum does."""
    with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(statement.encode(), numbers)
        connection.execute("vacuum analyze")


def psql() -> str:
    """The client of the binaries that the embedded server is made of, else the system's."""
    for binaries in find_binaries():
        if (binaries.bindir / "psql").exists():
            return str(binaries.bindir / "psql")
    return shutil.which("psql") or "psql"


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that a command takes, and seconds of the processor that it uses of them."""

    wall: float
    cpu: float


def cost(command: Sequence[str], url: str) -> tuple[Cost, str]:
    """What a command costs, and what it says; it has to succeed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command, env={**os.environ, "DATABASE_URL": url}, capture_output=True, text=True, check=True
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, cpu), done.stdout.strip()


def measure(label: str, url: str, storage: Path, rounds: int) -> None:
    """Print what the command costs now; the first round doesn't count."""
    backfill = [sys.executable, "-m", "runner"]
    commands = {
        "psql": [psql(), url, "-c", "select 1"],
        "version": [*backfill, "--version"],
        "run": [*backfill, "run", TASK, "--storage", str(storage), "--yes"],
    }
    taken: dict[str, list[Cost]] = {name: [] for name in commands}
    said = ""
    for turn in range(rounds + 1):
        for name, command in commands.items():
            spent, said = cost(command, url)
            if turn:
                taken[name].append(spent)
    print(f"{label}: it says {said!r}")
    for kind in ("wall", "cpu"):
        psql_s, version_s, run_s = (
            statistics.median(getattr(spent, kind) for spent in taken[name]) for name in commands
        )
        print(
            f"  {kind:4} psql {psql_s:.3f} s, --version {version_s:.3f} s, run {run_s:.3f} s:"
            f" {run_s / psql_s:.0f} times psql, {run_s / version_s:.1f} times --version",
            flush=True,
        )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--vehicles", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with any_server(open_folder()) as server, tempfile.TemporaryDirectory() as name:
        url = fresh_database(server.url, "vehicles_idle")
        install(url)
        measure("no vehicles", url, Path(name), given.rounds)
        fill(url, CAUGHT_UP, vehicles=given.vehicles)
        measure(f"{given.vehicles:,} vehicles", url, Path(name), given.rounds)
        fill(url, FROM_ELSEWHERE, elsewhere=given.vehicles // 5)
        measure(f"{given.vehicles // 5:,} of them from elsewhere", url, Path(name), given.rounds)


if __name__ == "__main__":
    main()
