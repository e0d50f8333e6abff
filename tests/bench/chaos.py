"""Kill random runner processes during a run, and compare the end state with what it should be.

    python -m tests.bench.chaos [--rows 20000] [--workers 8] [--kill-every 1.0] [--calm]

Starts an embedded server of its own unless TEST_DATABASE_URL is set.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from runner.database import migrate
from tests import sample
from tests.plugins.servers import any_server, open_folder

MIX = {"ok": 76, "slow": 18, "flaky": 2, "throttled": 1, "fail": 1, "always_retry": 1, "nothing": 1}
"""Behaviours of the rows, in percent."""

EXPECTED = {
    "ok": "ok", "slow": "ok", "flaky": "ok", "throttled": "ok",
    "fail": "failed", "always_retry": "failed", "nothing": "nothing_found",
}  # fmt: skip


@dataclass
class Report:
    """What happened, and what of it is not as it should be (`problems`)."""

    seconds: float = 0.0
    kills: int = 0
    exit_code: int = 0
    states: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def prepare(url: str, rows: int, seed: int) -> None:
    """Install the sample task with a random mix of rows."""
    migrate.upgrade(url, [], {})
    with psycopg.connect(url, autocommit=True) as connection:
        sample.install(connection)
        chosen = random.Random(seed).choices(list(MIX), weights=list(MIX.values()), k=rows)
        with connection.cursor().copy("copy item (id, behaviour) from stdin") as copy:
            for number, behaviour in enumerate(chosen, start=1):
                copy.write_row((number, behaviour))
        connection.execute("vacuum analyze item")


@contextmanager
def running(url: str, workers: int, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """`backfill run sample` with so many processes."""
    environment = {**os.environ, "DATABASE_URL": url, "BACKFILL_TASKS": "tests.sample:task"}
    command = [
        sys.executable, "-m", "runner", "run", "sample", "--folder", str(folder),
        "--workers", str(workers), "--json",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate()


def chaos(
    url: str,
    rows: int,
    workers: int,
    kill_every: float | None,
    seed: int = 1,
    patience: float = 300,
) -> Report:
    """Run, kill, and look at the end state."""
    report = Report()
    prepare(url, rows, seed)
    chance = random.Random(seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        psycopg.connect(url, autocommit=True) as connection,
        running(url, workers, Path(folder)) as process,
    ):
        began = time.monotonic()
        next_kill = began + (kill_every or 0)
        while process.poll() is None:
            now = time.monotonic()
            if now - began > patience:
                report.problems.append(f"not done after {patience:.0f} s")
                break
            if kill_every is not None and now >= next_kill:
                report.kills += kill_one(connection, chance)
                next_kill += kill_every
            time.sleep(0.05)
        report.seconds = time.monotonic() - began
        report.exit_code = process.poll() or 0
        look(connection, report)
    return report


def kill_one(connection: psycopg.Connection[Any], chance: random.Random) -> int:
    """Kill -9 a random live runner; how many were killed."""
    pids = [
        pid
        for (pid,) in connection.execute("select pid from backfill.runner where status = 'live'")
    ]
    if not pids:
        return 0
    try:
        os.kill(chance.choice(pids), signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return 1


def look(connection: psycopg.Connection[Any], report: Report) -> None:
    """Compare every row's end with what its behaviour should lead to."""
    query = """
        select i.behaviour, coalesce(j.state, 'no job'), i.writes, i.result is not null, count(*)
          from item i left join backfill.job j on j.task = 'sample' and j.key = i.id::text
         group by 1, 2, 3, 4 order by 1, 2, 3, 4"""
    for behaviour, state, writes, written, count in connection.execute(query):
        report.states[state] = report.states.get(state, 0) + count
        should_write = int(EXPECTED[behaviour] == "ok")
        if state != EXPECTED[behaviour] or writes != should_write or written != bool(should_write):
            report.problems.append(
                f"{count} rows that are {behaviour}: {state}, written {writes} times"
            )
    row = connection.execute(
        "select done, ok, nothing_found, failed, ready, running from backfill.progress"
        " where task = 'sample'"
    ).fetchone()
    assert row is not None
    counted = report.states
    expected = (
        sum(counted.values()), counted.get("ok", 0), counted.get("nothing_found", 0),
        counted.get("failed", 0), 0, 0,
    )  # fmt: skip
    if row != expected:
        report.problems.append(f"backfill.progress says {row}, the rows say {expected}")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--kill-every", type=float, default=1.0)
    parser.add_argument("--calm", action="store_true", help="kill nobody")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    given = parser.parse_args()
    folder = open_folder()
    with any_server(folder) as server:
        url = fresh_database(server.url, "chaos")
        print(f"{server.origin}; seed {given.seed}")
        report = chaos(
            url, given.rows, given.workers, None if given.calm else given.kill_every, given.seed
        )
    print(
        f"{given.rows} rows, {given.workers} processes, {report.kills} killed, "
        f"{report.seconds:.1f} s: {report.states}"
    )
    for problem in report.problems:
        print(f"WRONG: {problem}")
    print("every row as it should be" if not report.problems else "failed")
    return 1 if report.problems else 0


def fresh_database(url: str, name: str) -> str:
    """A new, empty database of this name on the server; its URL."""
    from tests.plugins.database import with_dbname

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"drop database if exists {name} with (force)")
        connection.execute(f"create database {name} template template0")
    return with_dbname(url, name)


if __name__ == "__main__":
    sys.exit(main())
