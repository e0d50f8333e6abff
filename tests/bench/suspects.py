"""Orphans of a crash tried in halves, against smaller parts and against each row alone.

    python -m tests.bench.suspects [--workers 4] [--rows 1000] [--rounds 1]

Rows of 50 ms. First all processes of a run are killed at once, as by a host that reboots: printed
is how long what they held took, from its first claim to its last result. Then one row kills its
process each time: crashes until it has failed, and how long the run took. The ways take turns.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median

from runner.embedded import EmbeddedServer
from tests.bench.chaos import fresh_database, running
from tests.plugins.processes import SampleDatabase, sampled_on
from tests.plugins.servers import open_folder
from tests.plugins.waiting import wait_until

PARTS = """
create function in_parts() returns trigger language plpgsql as $$
begin
    new.suspects := greatest(2 * new.suspects / {}, 1);
    return new;
end $$;
create trigger in_parts before update on backfill.job
    for each row when (new.solo and new.suspects <> old.suspects) execute function in_parts();
"""
WAYS = {"one by one": 1_000_000, "in eighths": 8, "in quarters": 4, "in halves": 2}
"""Parts that a crash's orphans are divided into."""

ORPHANS = """
select count(*) as orphans,
       extract(epoch from max(finished_at) - min(claimed_at))::float as seconds
  from backfill.job j
 where exists (select from backfill.attempt_error e
                where e.job_id = j.id and e.error_class = 'crashed')"""
CRASHES = "select count(*) from backfill.runner where status = 'lost'"
LIMIT_S = 120.0


def rebooted(database: SampleDatabase, workers: int, rows: int, folder: Path) -> tuple[int, float]:
    """Kill all processes of a run at once: rows that they held, and the seconds these took."""
    database.items(slow=rows)
    with running(database.url, workers, folder) as command:
        wait_until(
            lambda: len(database.live()) == workers and database.done() > rows / 4, seconds=LIMIT_S
        )
        for pid in database.live():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: command.poll() is not None, seconds=LIMIT_S)
    database.assert_each_written_once()
    found = database.all(ORPHANS)[0]
    return found["orphans"], found["seconds"]


def poisoned(database: SampleDatabase, workers: int, rows: int, folder: Path) -> tuple[int, float]:
    """A row amid the others kills its process: crashes, and seconds of the run."""
    database.items(slow=rows // 2, crash=1)
    database.items(slow=rows // 2)
    with running(database.url, workers, folder) as command:
        began = time.monotonic()
        wait_until(lambda: command.poll() is not None, seconds=LIMIT_S)
        seconds = time.monotonic() - began
    if database.states() != {"ok": rows // 2 * 2, "failed": 1}:
        raise SystemExit(f"not as it should be: {database.states()}")
    return database.one(CRASHES), seconds


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    with EmbeddedServer(open_folder() / "bench") as server:
        for told, trial, counted in (
            ("all processes killed at once", rebooted, "rows held"),
            ("a row that kills its process", poisoned, "crashes"),
        ):
            counts: dict[str, list[int]] = {way: [] for way in WAYS}
            seconds: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(given.rounds):
                for way, parts in WAYS.items():
                    url = fresh_database(server.url(), "suspects")
                    with sampled_on(url) as database, tempfile.TemporaryDirectory() as folder:
                        database.do(PARTS.format(parts))
                        count, took = trial(database, given.workers, given.rows, Path(folder))
                    counts[way].append(count)
                    seconds[way].append(took)
            print(told)
            for way in WAYS:
                print(
                    f"  {way:11}: {counted} {counts[way]}, median {median(seconds[way]):.1f} s"
                    f" ({', '.join(f'{s:.1f}' for s in seconds[way])})"
                )


if __name__ == "__main__":
    main()
