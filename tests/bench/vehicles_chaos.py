"""Download from a hostile host, killing processes: the end is that of one process left in peace.

    python -m tests.bench.vehicles_chaos [--vehicles 5000] [--urls 20] [--rate 100]
        [--workers 4] [--threads 16] [--kill-every 1.0]

Of the URLs 10 % are dead, 10 % slow, 5 % endless or bombs, 5 % of a wrong type; the host refuses
everything with 429 and 503 in bursts. One process is run calmly into one database and one storage
folder, then several, one of which is killed with SIGKILL now and then, into others. Compared are
rows, marks, outcomes of URLs and objects, with each other and with what the host has. Starts an
embedded server of its own unless TEST_DATABASE_URL is set.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from runner.errors import ExitCode
from tests.bench.chaos import fresh_database
from tests.bench.vehicles_arrivals import Tally
from tests.bench.vehicles_end import End, differences, expected, look
from tests.bench.vehicles_host import Host
from tests.bench.vehicles_processes import Ran, run
from tests.bench.vehicles_tables import agree, fill, install
from tests.bench.vehicles_urls import Vehicle, vehicles
from tests.plugins.servers import any_server, open_folder

MOST_MEMORY = 300_000_000
"""Bytes that a process may have resident."""

RATE_SHARE = 1.02
"""No second sees more than the rate and 2 % (docs/decisions/shared-rate.md)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run, and under which limits; `timeout` is a download's, in seconds."""

    vehicles: int = 5000
    urls: int = 20
    rate: float = 100
    at_once: int = 64
    workers: int = 4
    threads: int = 16
    kill_every: float = 1.0
    most_kills: int | None = None
    timeout: float = 3.0
    attempts: int = 100
    seed: int = 1

    def fleet(self, host: Host) -> list[Vehicle]:
        """The vehicles, with URLs at this host."""
        return list(vehicles(self.vehicles, self.urls, host.origin, host.closed, self.seed))

    def arguments(self, host: Host, storage: Path, workers: int) -> list[str]:
        """Those of `backfill run vehicle_images`; all runs have as many threads together."""
        threads = self.threads * self.workers // workers
        return [
            "--storage", str(storage), "--allow", host.allowed, "--max-images", str(self.urls),
            "--limit", "0", "--delay", "0", "--vehicle-delay", "0", "--download-timeout",
            str(self.timeout), "--max-megabytes", "2", "--workers", str(workers), "--threads",
            str(threads), "--batch-size", "50", "--yes", "--json",
        ]  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """One run, what the host saw of it, and what it left."""

    ran: Ran
    tally: Tally
    end: End

    @property
    def peak(self) -> int:
        """The most memory of any process, bytes; 0 where the system doesn't tell."""
        return max(self.ran.peaks.values(), default=0)

    def problems(self, plan: Plan, fleet: Sequence[Vehicle]) -> Iterator[str]:
        """What is wrong with it by itself."""
        if self.ran.exit_code not in (ExitCode.DONE, ExitCode.FAILED_ITEMS):
            yield f"exit code {self.ran.exit_code}: {self.ran.said[-500:]}"
        if self.tally.fullest_second > plan.rate * RATE_SHARE:
            yield f"{self.tally.fullest_second} requests in a second, {plan.rate:g} were agreed"
        if self.tally.most_at_once > plan.at_once:
            yield f"{self.tally.most_at_once} requests at a time, {plan.at_once} were agreed"
        if self.tally.trapped:
            yield f"{self.tally.trapped} connections to an address that nobody may reach"
        if self.peak > MOST_MEMORY:
            yield f"a process had {self.peak / 1e6:.0f} MB"
        yield from self.end.problems
        yield from expected(self.end, fleet)


def one(url: str, host: Host, plan: Plan, folder: Path, *, killed: bool) -> Outcome:
    """One run into an empty database with the task, and a folder."""
    fleet = plan.fleet(host)
    fill(url, fleet)
    agree(url, plan.rate, plan.at_once, plan.attempts if killed else 3)
    host.tally()
    ran = run(
        url,
        plan.arguments(host, folder / "storage", plan.workers if killed else 1),
        folder / "log",
        kill_every=plan.kill_every if killed else None,
        most_kills=plan.most_kills,
        seed=plan.seed,
    )
    return Outcome(ran, host.tally(), look(url, folder / "storage"))


def compare(calm: Outcome, killed: Outcome, plan: Plan, fleet: Sequence[Vehicle]) -> list[str]:
    """Everything that is wrong."""
    problems = [f"calm: {problem}" for problem in calm.problems(plan, fleet)]
    problems += [f"calm: an object without a row: {path}" for path in calm.end.orphans]
    problems += [f"killed: {problem}" for problem in killed.problems(plan, fleet)]
    problems += [f"differs: {difference}" for difference in differences(calm.end, killed.end)]
    if calm.ran.exit_code != killed.ran.exit_code:
        problems.append(f"exit codes {calm.ran.exit_code} and {killed.ran.exit_code}")
    if not killed.ran.kills:
        problems.append("nobody was killed")
    return problems


def tell(name: str, outcome: Outcome, plan: Plan) -> None:
    """Print what came of a run."""
    ran, tally, end = outcome.ran, outcome.tally, outcome.end
    peaks = sorted(ran.peaks.values())
    print(f"{name}: {ran.seconds:.0f} s, {ran.kills} killed, exit code {ran.exit_code}")
    print(
        f"  host: {tally.requests} requests, {tally.requests / max(tally.seconds, 1):.0f} a second,"
        f" fullest second {tally.fullest_second / plan.rate:.3f} of the rate, "
        f"at most {tally.most_at_once} at a time of {plan.at_once}; "
        f"{tally.answers.get('429', 0) + tally.answers.get('503', 0)} refused in bursts"
    )
    if peaks:
        print(
            f"  memory: {len(peaks)} process ids, peak {peaks[-1] / 1e6:.0f} MB, "
            f"median {peaks[len(peaks) // 2] / 1e6:.0f} MB"
        )
    states = Counter(row["state"] for row in end.parts["URLs"].values())
    jobs = Counter(end.parts["jobs"].values())
    print(f"  vehicles: {dict(jobs.most_common())}; URLs: {dict(states.most_common())}")
    print(
        f"  {len(end.parts['images'])} rows, {len(end.objects)} objects, "
        f"{len(end.orphans)} orphans, {end.left} half-written files left"
    )
    for path in islice(end.orphans, 10):
        print(f"    orphan {path}")
    print(f"  checksums: {json.dumps(end.checksums())}", flush=True)


def main() -> int:
    """The command."""
    plan = Plan()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--vehicles", type=int, default=plan.vehicles)
    parser.add_argument("--urls", type=int, default=plan.urls)
    parser.add_argument("--rate", type=float, default=plan.rate)
    parser.add_argument("--at-once", type=int, default=plan.at_once)
    parser.add_argument("--workers", type=int, default=plan.workers)
    parser.add_argument("--threads", type=int, default=plan.threads, help="in each process")
    parser.add_argument("--kill-every", type=float, default=plan.kill_every, help="seconds")
    parser.add_argument("--most-kills", type=int, help="kill no more after that many")
    parser.add_argument("--attempts", type=int, default=plan.attempts, help="max_attempts")
    parser.add_argument("--timeout", type=float, default=plan.timeout, help="of a download")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    plan = Plan(**vars(parser.parse_args()))
    with (
        any_server(open_folder()) as server,
        tempfile.TemporaryDirectory() as name,
        Host() as host,
    ):
        print(f"{server.origin}; {plan}", flush=True)
        outcomes: list[Outcome] = []
        for label, killed in (("one process", False), (f"{plan.workers} processes", True)):
            url = fresh_database(server.url, f"vehicles_{'killed' if killed else 'calm'}")
            install(url)
            folder = Path(name) / label.replace(" ", "-")
            folder.mkdir()
            outcomes.append(one(url, host, plan, folder, killed=killed))
            tell(label, outcomes[-1], plan)
        calm, chaotic = outcomes
        problems = compare(calm, chaotic, plan, plan.fleet(host))
    for problem in problems[:50]:
        print(f"WRONG: {problem}")
    print("the same rows and objects" if not problems else f"failed: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
