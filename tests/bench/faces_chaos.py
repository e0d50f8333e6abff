"""Index faces at a provider that fails and forgets, killing processes: every asset is done once.

    python -m tests.bench.faces_chaos [--pictures 2000] [--users 50] [--runners 4] [--quota 50]
        [--faults 0.02] [--kill-every 1.0]

The provider gives each of these errors to that share of calls of every kind: throttling by three
names, an internal error before and after it did its part, no answer before and after it did. Of
the pictures it refuses the same share for good by each of four names. One run is left in peace, at
a provider that refuses pictures and else does not fail; in the other processes are killed with
SIGKILL. Both ends are compared with what the pictures show, with what the provider holds and
charged, and with each other. Starts an embedded server of its own unless TEST_DATABASE_URL is set.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from runner.errors import ExitCode
from runner.faces.rekognition_errors import PICTURE
from tests.bench.chaos import fresh_database
from tests.bench.faces_chaos_checks import Expected, quota
from tests.bench.faces_chaos_end import End, look
from tests.bench.faces_chaos_tables import TASK, Url, agree, fill, introduce
from tests.bench.faces_chaos_world import Asset, World, world
from tests.bench.vehicles_processes import Ran, run
from tests.face_index.application import install
from tests.plugins.picture_host import PictureHost
from tests.plugins.servers import any_server, open_folder
from tests.rekognition.ledger import most_in_any_second
from tests.rekognition.remote import in_process

MOST_MEMORY = 300_000_000
"""Bytes that a process may have resident."""

REFUSALS = (
    "ImageTooLargeException", "InvalidImageFormatException", "InvalidParameterException",
    "InvalidS3ObjectException",
)  # fmt: skip
"""Of a picture, for good."""

FAILURES: tuple[Mapping[str, object], ...] = (
    {"code": "ProvisionedThroughputExceededException"},
    {"code": "ThrottlingException"},
    {"code": "ThrottlingException", "status": 500},
    {"code": "InternalServerError"},
    {"code": "InternalServerError", "when": "after"},
    {"code": "lost"},
    {"code": "lost", "when": "after"},
)
"""That a repetition may not meet. After an internal error nothing is charged, see `Fault`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run; `quota` is calls a second, `faults` the share of each error."""

    pictures: int = 2000
    users: int = 50
    runners: int = 4
    threads: int = 8
    quota: float = 50
    faults: float = 0.02
    kill_every: float = 1.0
    most_kills: int | None = None
    attempts: int = 100
    seed: int = 1

    def settings(self, of: World, *, failing: bool) -> dict[str, Any]:
        """The service's."""
        refused = [
            {"operation": "IndexFaces", "code": code, "rate": self.faults, "sticky": True}
            for code in REFUSALS
        ]
        failed = [{"operation": "*", "rate": self.faults, **failure} for failure in FAILURES]
        return {
            "tps": {"*": round(self.quota)},
            "latency_s": {"IndexFaces": 0.1, "SearchFaces": 0.05},
            "faults": refused + (failed if failing else []),
            "seed": self.seed,
            "look_alikes": of.look_alikes(),
        }

    def arguments(self, allowed: str) -> list[str]:
        """Those of `backfill run face_index`."""
        return [
            "--allow", allowed, "--limit", "0", "--delay", "0", "--workers", str(self.runners),
            "--threads", str(self.threads), "--batch-size", "10", "--skip-prompt", "--json",
        ]  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """One run, and what it left."""

    ran: Ran
    end: End

    @property
    def peak(self) -> int:
        """The most memory of any process, bytes; 0 where the system doesn't tell."""
        return max(self.ran.peaks.values(), default=0)

    @property
    def refused(self) -> dict[str, str]:
        """Rows that failed for good, by key the class of the error."""
        return {
            key: word or "" for key, (state, word) in self.end.jobs.items() if state == "failed"
        }

    def problems(self, plan: Plan, expected: Expected) -> Iterator[str]:
        """What is wrong with it."""
        if self.ran.exit_code not in (ExitCode.DONE, ExitCode.FAILED_ITEMS):
            yield f"exit code {self.ran.exit_code}: {self.ran.said[-2000:]}"
        if self.peak > MOST_MEMORY:
            yield f"a process had {self.peak / 1e6:.0f} MB"
        yield from refused_rightly(self)
        yield from quota(self.end, plan.quota)
        yield from expected.problems(self.end)
        again, without = expected.again(self.end)
        if again:
            yield f"{again} charges of pictures whose faces the collection held"
        if again + without > self.ran.kills:
            yield f"{again + without} charges too many, {self.ran.kills} processes were killed"


@contextmanager
def pictures(of: World) -> Iterator[tuple[PictureHost, Url]]:
    """A host that has all pictures, and where."""
    host = PictureHost()
    known = (user.known for user in of.users if user.knows)
    for asset in (*of.assets, *of.others, *known):
        host.add(f"/{asset.id}", asset.file())

    def where(asset: Asset) -> str:
        return f"{host.url}/{asset.id}"

    with host.running():
        yield host, where


def one(url: str, host: PictureHost, where: Url, of: World, plan: Plan, log: Path) -> Outcome:
    """A run in a database with the task and no assets; in peace if the plan kills nobody."""
    killed = plan.kill_every > 0
    fill(url, of, where)
    agree(url, plan.quota, plan.attempts)
    with in_process({"tps": {"*": 10_000}}) as service:
        introduce(url, service, of)
        service.change(**plan.settings(of, failing=killed))
        began = time.monotonic()
        with patch.dict(os.environ, service.environment()):
            ran = run(
                url,
                plan.arguments(host.url.removeprefix("http://")),
                log,
                task=TASK,
                kill_every=plan.kill_every if killed else None,
                most_kills=plan.most_kills,
                seed=plan.seed,
            )
        return Outcome(ran, look(url, service, began))


def refused_rightly(outcome: Outcome) -> Iterator[str]:
    """Each row that failed is a refusal of the service, which in peace are as many."""
    failed, said = Counter(outcome.refused.values()), Counter[str]()
    for code, times in outcome.end.calls("IndexFaces").get("failed", {}).items():
        if code in PICTURE:
            said[PICTURE[code]] += times
    if failed != said if not outcome.ran.kills else not failed <= said:
        yield f"failed are {dict(failed)}, refused were {dict(said)}"


def compare(calm: Outcome, killed: Outcome, plan: Plan, of: World) -> list[str]:
    """Everything that is wrong."""
    expected = Expected(of, calm.refused)
    problems = [f"calm: {problem}" for problem in calm.problems(in_peace(plan), expected)]
    problems += [f"killed: {problem}" for problem in killed.problems(plan, expected)]
    if calm.ran.exit_code != killed.ran.exit_code:
        problems.append(f"exit codes {calm.ran.exit_code} and {killed.ran.exit_code}")
    differ = {k for k, v in calm.end.checksums().items() if killed.end.checksums()[k] != v}
    problems += [f"differs: {part}" for part in sorted(differ)]
    if not killed.ran.kills:
        problems.append("nobody was killed")
    return problems


def in_peace(plan: Plan) -> Plan:
    """The same with one process, nobody killed, and a rate that takes less time."""
    return Plan(
        pictures=plan.pictures, users=plan.users, runners=1, threads=16, quota=200,
        faults=plan.faults, kill_every=0, seed=plan.seed,
    )  # fmt: skip


def tell(name: str, outcome: Outcome, plan: Plan, expected: Expected) -> None:
    """Print what came of a run."""
    ran, end = outcome.ran, outcome.end
    peaks = sorted(ran.peaks.values())
    again, again_without = expected.again(end)
    seconds = end.arrivals[-1] - end.arrivals[0] if len(end.arrivals) > 1 else 1.0
    figures = {
        "run": name,
        "seconds": round(ran.seconds),
        "killed": ran.kills,
        "exit_code": ran.exit_code,
        "jobs": Counter(state for state, _ in end.jobs.values()),
        "faces": len(end.rows),
        "decisions": Counter(row.decision or "by hand" for row in end.rows),
        "charged": {op: end.calls(op).get("billed", 0) for op in ("IndexFaces", "SearchFaces")},
        "charged_again": {"with_faces": again, "without_faces": again_without},
        "booked": _by_operation(end, "calls"),
        "of_these_assumed": _by_operation(end, "assumed"),
        "booked_usd": float(sum(paid.usd for paid in end.paid)),
        "calls_arrived": len(end.arrivals),
        "calls_a_second": round(len(end.arrivals) / seconds, 1),
        "fullest_second_of_quota": round(most_in_any_second(end.arrivals) / plan.quota, 3),
        "failed_calls": _failed(end),
        "peak_mb": round(outcome.peak / 1e6),
        "median_peak_mb": round(peaks[len(peaks) // 2] / 1e6) if peaks else None,
        "processes": len(peaks),
        "checksums": end.checksums(),
    }
    print(json.dumps(figures), flush=True)


def _by_operation(end: End, what: str) -> Counter[str]:
    found = Counter[str]()
    for paid in end.paid:
        found[paid.operation] += getattr(paid, what)
    return found


def _failed(end: End) -> Counter[str]:
    found = Counter[str]()
    for calls in end.state["calls"].values():
        found.update(calls["failed"])
        found["lost"] += calls["lost"]
    return found


def parsed(arguments: Sequence[str] | None = None) -> Plan:
    """The command's arguments."""
    plan = Plan()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pictures", type=int, default=plan.pictures)
    parser.add_argument("--users", type=int, default=plan.users)
    parser.add_argument("--runners", type=int, default=plan.runners, help="processes")
    parser.add_argument("--threads", type=int, default=plan.threads, help="in each process")
    parser.add_argument("--quota", type=float, default=plan.quota, help="calls a second")
    parser.add_argument("--faults", type=float, default=plan.faults, help="share of each error")
    parser.add_argument("--kill-every", type=float, default=plan.kill_every, help="seconds")
    parser.add_argument("--most-kills", type=int, help="kill no more after that many")
    parser.add_argument("--attempts", type=int, default=plan.attempts, help="max_attempts")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    return Plan(**vars(parser.parse_args(arguments)))


def main() -> int:
    """The command."""
    plan = parsed()
    of = world(plan.pictures, plan.users, plan.seed)
    with (
        any_server(open_folder()) as server,
        tempfile.TemporaryDirectory() as folder,
        pictures(of) as (host, where),
    ):
        print(f"{server.origin}; {plan}", flush=True)
        outcomes: list[Outcome] = []
        for label, how in (("calm", in_peace(plan)), ("killed", plan)):
            url = fresh_database(server.url, f"faces_{label}")
            install(url)
            outcomes.append(one(url, host, where, of, how, Path(folder) / label))
            tell(label, outcomes[-1], how, Expected(of, outcomes[0].refused))
        calm, chaotic = outcomes
        problems = compare(calm, chaotic, plan, of)
    for problem in problems[:50]:
        print(f"WRONG: {problem}")
    print("every asset done once" if not problems else f"failed: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
