"""Kill processes while they look for duplicates: the pairs are those that one calm process finds.

    python -m tests.bench.duplicates_chaos [--receipts 400] [--workers 8] [--kill-every 1.0]

Receipts and copies of half of them are scattered at random over keys and times. Starts an embedded
server of its own unless TEST_DATABASE_URL is set.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from runner.database import migrate
from runner.registry import find
from tests.bench.chaos import fresh_database, kill_one
from tests.bench.receipts import any_receipt
from tests.bench.receipts_apps import DEVELOPED
from tests.bench.receipts_edits import KINDS, edited, encode
from tests.plugins.servers import any_server, open_folder

TABLE = """
create table payment_submissions (
    id uuid primary key default gen_random_uuid(),
    flat_id text not null,
    screenshot_url text not null,
    created_at timestamptz not null
)
"""

OUTCOME = """
select jsonb_build_object(
    'payments', (select jsonb_object_agg(p.flat_id, jsonb_build_array(
                        g.analysis_status, g.duplicate_detected, e.flat_id,
                        g.similarity_percentage))
                   from payment_submissions p
                   left join payment_image_signals g on g.payment_submission_id = p.id
                   left join payment_submissions e on e.id = g.similar_to_payment_id),
    'pairs', (select jsonb_agg(jsonb_build_array(encode(one, 'hex'), encode(other, 'hex'), verdict,
                                                 percentage, bits) order by one, other)
                from backfill.image_pair),
    'hashes', (select jsonb_object_agg(h.hash, jsonb_build_array(h.upload_count, p.flat_id))
                 from image_perceptual_hash_index h
                 join payment_submissions p on p.id = h.first_payment_id),
    'wrong', (select jsonb_agg(name) from backfill.image_signals_checks where not ok))
"""


@dataclass
class Report:
    """What came of a run; `outcome` is what it left in the application's tables and in ours."""

    seconds: float = 0.0
    kills: int = 0
    exit_code: int = 0
    outcome: dict[str, Any] = field(default_factory=dict)

    @property
    def duplicates(self) -> dict[str, str]:
        """Each payment that was called a duplicate, and of which."""
        payments = self.outcome["payments"]
        return {flat: first for flat, (_, found, first, _) in payments.items() if found}


def draw(folder: Path, receipts: int) -> dict[str, str]:
    """Receipts and a copy of every second one as files; the true original of each copy."""
    with ProcessPoolExecutor() as processes:
        copies = list(processes.map(partial(_draw_one, folder), range(receipts), chunksize=4))
    return {copy: original for copy, original in copies if copy}


def _draw_one(folder: Path, number: int) -> tuple[str, str]:
    apps, kinds = list(DEVELOPED), list(KINDS)
    receipt = any_receipt(f"chaos {number}", apps[number % len(apps)])
    image = receipt.draw()
    (folder / f"p{number}").write_bytes(encode(image, "PNG"))
    if number % 2:
        return "", ""
    kind = kinds[(number // 2) % len(kinds)]
    (folder / f"c{number}").write_bytes(edited(image, kind, f"{number}", receipt.bar_share))
    return f"c{number}", f"p{number}"


def prepare(url: str, folder: Path, seed: int) -> None:
    """Payments for the folder's files; originals before copies, keys and places at random."""
    names = sorted(path.name for path in folder.iterdir())
    random.Random(seed).shuffle(names)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLE)
        for place, name in enumerate(names):
            connection.execute(
                "insert into payment_submissions (flat_id, screenshot_url, created_at) values"
                " (%s, %s, timestamptz '2024-01-01 UTC' + make_interval(days => %s, mins => %s))",
                [name, name, 0 if name.startswith("p") else 100, place],
            )
    migrate.upgrade(url, [find("image_signals")], {}, known=[find("quality_score")])
    with psycopg.connect(url, autocommit=True) as connection:
        # whoever kills processes all the time has to forgive rows that were alone in one
        connection.execute("update backfill.task set max_attempts = 50")


def analyse(
    url: str, folder: Path, workers: int, kill_every: float | None, *, patience: float = 900
) -> Report:
    """Run image_signals with so many processes, killing one now and then."""
    report = Report()
    chance = random.Random(1)
    command = [
        sys.executable, "-m", "runner", "run", "image_signals", "--base-url", str(folder),
        "--workers", str(workers), "--threads", "2", "--delay", "0", "--yes", "--json",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, env={**os.environ, "DATABASE_URL": url},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with psycopg.connect(url, autocommit=True) as connection:
        try:
            began = time.monotonic()
            next_kill = began + (kill_every or 0)
            while process.poll() is None and time.monotonic() - began < patience:
                if kill_every is not None and time.monotonic() >= next_kill:
                    report.kills += kill_one(connection, chance)
                    next_kill += kill_every
                time.sleep(0.05)
            report.seconds = time.monotonic() - began
        finally:
            if process.poll() is None:
                process.terminate()
            report.exit_code = process.wait()
        row = connection.execute(OUTCOME).fetchone()
        assert row is not None
        report.outcome = row[0]
    return report


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--receipts", type=int, default=400)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--kill-every", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    given = parser.parse_args()
    with any_server(open_folder()) as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        true = draw(folder, given.receipts)
        print(f"{server.origin}; seed {given.seed}; {given.receipts} receipts, {len(true)} copies")
        reports = []
        for label, workers, kill_every in (
            ("one process", 1, None),
            (f"{given.workers} processes", given.workers, given.kill_every),
        ):
            url = fresh_database(server.url, f"duplicates_{workers}")
            prepare(url, folder, given.seed)
            report = analyse(url, folder, workers, kill_every)
            found = report.duplicates
            print(
                f"{label}: {report.seconds:.0f} s, {report.kills} killed, exit code "
                f"{report.exit_code}; {len(found)} duplicates, {len(true.items() & found.items())}"
                f" of {len(true)} true ones, checks that fail: {report.outcome['wrong'] or 'none'}"
            )
            reports.append(report)
    calm, killed = reports
    same = calm.outcome == killed.outcome and calm.exit_code == killed.exit_code == 0
    print("the same pairs, payments and hashes" if same else "WRONG: they differ")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
