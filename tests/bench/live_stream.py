"""Many who look at one task while it runs: what that costs the server process and the database.

    python -m tests.bench.live_stream [--clients 1 50 200] [--seconds 20] [--processes 1]

`backfill serve` is one process with a login of its own, whose statements the database logs, so that
they can be counted. A run of rows that take two milliseconds each goes on meanwhile. Each client is
a connection of its own with a token of its own, and reads all that it is told. Delay: from the
moment that a row was finished, by the database's clock, until a client has its line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from runner.contract import Compute, Pacing, Settings, Task
from runner.database import migrate
from runner.embedded import EmbeddedServer
from runner.loop.process import Process
from runner.loop.stay import Limits
from tests.bench.chaos import fresh_database
from tests.bench.throughput import OURS, TARGET
from tests.engine.roles import login
from tests.plugins.servers import open_folder
from tests.plugins.waiting import wait_until

ROWS = 2_000_000
COMPUTE_S = 0.002
KINDS = {
    "looks at the task": "backfill.recent_rows",
    "checks of tokens and sessions": "backfill.session_of",
    "counts of failures": "backfill.failure_causes",
    "requests let in": "select * from backfill.authenticate",
}
"""Statements by words that they have."""

LOGGED = re.compile(
    r"duration: ([0-9.]+) ms  (parse|bind|execute|statement)[^:]*: (.*?)(?=^[^\t\n]|\Z)",
    re.DOTALL | re.MULTILINE,
)
"""A step of a statement in the server's log; its further lines are indented."""


@contextmanager
def _open(_settings: Settings) -> Iterator[Compute]:
    def compute(_row: object) -> dict[str, int]:
        time.sleep(COMPUTE_S)
        return {"value": 1}

    yield compute


TASK = Task("noop", 1, "Nothing.", _open, pacing=Pacing(batch_size=100, threads=2))


def work(url: str, run: int) -> None:
    """Take part in the run until it is cancelled; a process of its own."""
    with TASK.open({}) as compute:
        Process(url, TASK, run, compute, Limits(threads=2), threading.Event()).work()


@dataclass
class Heard:
    """What all clients heard."""

    size: int = 0
    events: Counter[str] = field(default_factory=Counter)
    delays: list[float] = field(default_factory=list)
    lines: int = 0


async def listen(port: int, token: str, heard: Heard) -> None:
    """One client; ends when it is cancelled."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
    try:
        writer.write(
            f"GET /api/v1/tasks/noop/stream HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        name, first = "", True
        while line := await reader.readline():
            heard.size += len(line)
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
                heard.events[name] += 1
            elif line.startswith(b"data: ") and name == "log":
                if not first:
                    _note(json.loads(line[6:]), heard)
                first = False
    finally:
        writer.close()


def _note(data: dict[str, list[dict[str, str]]], heard: Heard) -> None:
    now = datetime.now(UTC)
    heard.lines += len(data["lines"])
    # of one line each: reading all of them would be what is measured
    rows = [line for line in data["lines"] if line["key"]]
    if rows:
        heard.delays.append((now - datetime.fromisoformat(rows[0]["at"])).total_seconds())


def cpu_s(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Megabytes of memory that it has."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("ascii"))
    return int(found[1]) / 1024 if found else 0.0


@contextmanager
def serving(conninfo: str) -> Iterator[tuple[int, int]]:
    """`backfill serve`; its process id and its port."""
    command = [sys.executable, "-m", "runner", "serve", "--port", "0"]
    environment = {**os.environ, "DATABASE_URL": conninfo}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = ""
        while not (found := re.search(r"http://[^ ]*:(\d+)", said)):
            line = process.stdout.readline()
            assert line, f"backfill serve ended: {said}"
            said += line
        drain = threading.Thread(target=process.stdout.read, daemon=True)
        drain.start()
        try:
            yield process.pid, int(found[1])
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def working(command: list[str], processes: int) -> Iterator[None]:
    """So many processes that work for the run."""
    workers = [subprocess.Popen(command) for _ in range(processes)]
    try:
        yield
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait(60)


async def measure(port: int, pid: int, tokens: list[str], seconds: float, log: Path) -> None:
    """Let so many clients listen, and print a line of what it took."""
    heard = Heard()
    tasks = []
    for token in tokens:
        tasks.append(asyncio.create_task(listen(port, token, heard)))
        if len(tasks) % 20 == 0:
            await asyncio.sleep(0.2)
    while heard.events["log"] < len(tokens):
        await asyncio.sleep(0.1)
    await asyncio.sleep(2)
    place, used, began = log.stat().st_size, cpu_s(pid), time.monotonic()
    heard.__dict__.update(Heard().__dict__)
    await asyncio.sleep(seconds)
    took, cpu = time.monotonic() - began, cpu_s(pid) - used
    with log.open("rb") as file:
        file.seek(place)
        said = file.read().decode(errors="replace")
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
    logged = LOGGED.findall(said)
    busy = sum(float(ms) for ms, _, _ in logged) / took / 10
    done = [text for _, step, text in logged if step in ("execute", "statement")]
    asked = {kind: sum(word in text for text in done) / took for kind, word in KINDS.items()}
    print(
        f"{len(tokens):4} clients: {cpu / took * 100:5.1f} % of a core,"
        f" {resident_mb(pid):4.0f} MB, {heard.size / took / 1024:6.0f} kB/s sent,"
        f" {heard.events['state'] / took / len(tokens):.2f} states and"
        f" {heard.lines / took / len(tokens):.0f} lines a second each;"
        f" delay median {statistics.median(heard.delays):.2f} s,"
        f" 95 % {statistics.quantiles(heard.delays, n=20)[-1]:.2f} s"
    )
    print(
        f"      the database is busy with it {busy:.1f} % of the time; statements a second: "
        + ", ".join(f"{n:.2f} {kind}" for kind, n in asked.items() if n)
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 50, 200])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--processes", type=int, default=1)
    given = parser.parse_args()
    with EmbeddedServer(open_folder() / "bench", settings={"max_wal_size": "4GB"}) as server:
        url = fresh_database(server.url(), "bench")
        migrate.upgrade(url, [], {})
        with (
            psycopg.connect(url, autocommit=True) as connection,
            login(url, "backfill_server") as served,
        ):
            user = psycopg.conninfo.conninfo_to_dict(served)["user"]
            connection.execute(f"alter role {user} set log_min_duration_statement = 0".encode())
            connection.execute(TARGET.format(rows=ROWS).encode())
            connection.execute(OURS.encode())
            made = connection.execute(
                "select backfill.create_token('bench-' || g, 'viewer')"
                " from generate_series(1, %s) g",
                [max(given.clients)],
            ).fetchall()
            tokens = [secret for (secret,) in made]
            (run,) = connection.execute(
                "select backfill.start('noop', p_source => 'cli')"
            ).fetchone() or (0,)
            command = [
                sys.executable,
                "-c",
                f"from {__spec__.name} import work; work({url!r}, {run})",
            ]
            with working(command, given.processes):
                query = b"select sum(ok) > 100 from backfill.runner"
                wait_until(
                    lambda: (connection.execute(query).fetchone() or (False,))[0], seconds=120
                )
                with serving(served) as (pid, port):
                    for number in given.clients:
                        asyncio.run(
                            measure(port, pid, tokens[:number], given.seconds, server.log_path)
                        )
                connection.execute("select backfill.cancel(%s)", [run])


if __name__ == "__main__":
    main()
