"""A provider's quota as the provider sees it, while any number of processes index faces.

    python -m tests.bench.paid_quota [--quota 50] [--processes 1 2 4 8] [--seconds 10]

Each run has more to do than it can. Once all processes have called, so many seconds are looked at:
what was used of the quota, and each process's share of an even one. The fullest second is that
of the whole run, wherever it begins; calls of all kinds are counted together, by the kernel's time
of arrival. Starts an embedded server of its own unless TEST_DATABASE_URL is set.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.bench import paid
from tests.bench.chaos import fresh_database
from tests.bench.faces_chaos_end import arrivals
from tests.face_index.application import install
from tests.plugins.picture_host import PictureHost
from tests.plugins.servers import any_server, open_folder
from tests.plugins.waiting import wait_until
from tests.rekognition.ledger import most_in_any_second
from tests.rekognition.remote import in_process

MOST = 1.02
"""Of the quota, in any second."""

LEAST = 0.95
"""Of the quota, used while there is work."""

LATENCY_S = {"IndexFaces": 0.1, "SearchFaces": 0.05}
START_S = 120.0

CALLED = "select count(distinct runner_id) from backfill.effect"
SHARES = """
select count(*) from backfill.effect
 where intended_at > clock_timestamp() - make_interval(secs => %s) group by runner_id"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was used and the fullest second, as shares of the quota; throttled calls.

    `least` and `largest` are shares of a process, of an even one.
    """

    processes: int
    used: float
    fullest: float
    throttled: int
    calls: int
    least: float
    largest: float

    def problems(self) -> Iterator[str]:
        """What is not as promised."""
        if self.fullest > MOST:
            yield f"{self.processes} processes: {self.fullest:.3f} of the quota in a second"
        if self.used < LEAST:
            yield f"{self.processes} processes used {self.used:.3f} of the quota"


def see(url: str, host: PictureHost, quota: int, processes: int, seconds: float, log: Path) -> Seen:
    """A run of so many processes in a database with the task and no assets."""
    # two calls an asset, and as many seconds for processes to start
    assets = round(quota * (seconds + 10 + 4 * processes) / 2)
    paid.prepare(url, host, assets, quota)
    settings = {"tps": {"*": quota}, "latency_s": LATENCY_S}
    with (
        in_process(settings) as service,
        psycopg.connect(url, autocommit=True) as connection,
        paid.running(url, service, paid.arguments(host, processes), log),
    ):

        def called() -> int:
            row = connection.execute(CALLED).fetchone()
            return 0 if row is None else int(row[0])

        began = time.monotonic()
        wait_until(lambda: called() >= processes, seconds=START_S)
        window = time.monotonic()
        passed(window + seconds)
        shares = [int(row[0]) for row in connection.execute(SHARES.encode(), [seconds])]
        found = arrivals(service, began)
        within = bisect_left(found, window + seconds) - bisect_left(found, window)
        throttled = sum(
            calls["failed"].get("ProvisionedThroughputExceededException", 0)
            for calls in service.state()["calls"].values()
        )
    even = sum(shares) / processes
    return Seen(
        processes=processes,
        used=within / quota / seconds,
        fullest=most_in_any_second(found) / quota,
        throttled=throttled,
        calls=len(found),
        least=min(shares) / even if len(shares) == processes else 0.0,
        largest=max(shares) / even,
    )


def passed(moment: float) -> None:
    """Return once it is so late, in monotonic seconds."""
    wait_until(lambda: time.monotonic() >= moment, seconds=moment - time.monotonic() + START_S)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quota", type=int, default=50, help="calls a second")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    problems: list[str] = []
    with (
        any_server(open_folder()) as server,
        tempfile.TemporaryDirectory() as folder,
        paid.pictures() as host,
    ):
        print(server.origin)
        print("quota processes   used fullest second throttled calls share of a process")
        for processes in given.processes:
            url = fresh_database(server.url, f"quota_{processes}")
            install(url)
            log = Path(folder) / f"log-{processes}"
            seen = see(url, host, given.quota, processes, given.seconds, log)
            print(
                f"{given.quota:5d} {processes:9d} {seen.used:6.3f} {seen.fullest:14.3f}"
                f" {seen.throttled:9d} {seen.calls:5d} {seen.least:6.2f} to {seen.largest:4.2f}",
                flush=True,
            )
            problems += seen.problems()
    for problem in problems:
        print(f"WRONG: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
