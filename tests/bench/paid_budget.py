"""Index faces until the money is used up, with many processes, in peace and with kills.

    python -m tests.bench.paid_budget [--max-cost 1.00] [--processes 8] [--kill-every 1.0]

The run has more to do than it may spend. In peace it has to stop within one call's price of the
limit, and the books are what the provider charged. Where processes are killed, what they may have
spent counts as spent: the provider charges at most the limit, and at most what the books say.
Starts an embedded server of its own unless TEST_DATABASE_URL is set.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from unittest.mock import patch

import psycopg

from runner.errors import ExitCode
from tests.bench import paid
from tests.bench.chaos import fresh_database
from tests.bench.faces_chaos_tables import TASK
from tests.bench.vehicles_processes import Ran, run
from tests.face_index.application import install
from tests.plugins.picture_host import PictureHost
from tests.plugins.servers import any_server, open_folder
from tests.rekognition.ledger import PAID
from tests.rekognition.remote import in_process

PRICE = Decimal("0.001")
"""Of a call, as the engine is installed."""

SPENT = "select coalesce(sum(usd), 0), coalesce(sum(open_usd), 0) from backfill.spend"
REASON = "select exit_reason from backfill.runs"
FAILURES = "select coalesce(sum(failures), 0)::int from backfill.job"

RATE = 100
"""Calls a second: so few that a run lasts until somebody is killed."""


@dataclass(frozen=True, slots=True)
class Spent:
    """US dollars: the books' charged ones, what may have been charged, and the provider's bill."""

    ran: Ran
    limit: Decimal
    charged: Decimal
    unknown: Decimal
    billed: Decimal
    reason: str
    failures: int

    def problems(self) -> Iterator[str]:
        """What is not as promised."""
        if (self.ran.exit_code, self.reason) != (ExitCode.DONE, "budget"):
            yield f"ended with {self.ran.exit_code}, {self.reason}: {self.ran.said[-1000:]}"
        booked = self.charged + self.unknown
        if booked > self.limit:
            yield f"${booked} are booked, ${self.limit} is the limit"
        if self.billed > booked:
            yield f"${self.billed} were billed, ${booked} are booked"
        # what dead processes hold may be all that is left, so that too little of it can be used
        if booked <= self.limit - PRICE:
            yield f"${booked} are booked, one more call would fit into ${self.limit}"
        if not self.ran.kills:
            if self.billed != self.charged or self.unknown:
                yield f"${self.billed} were billed, ${self.charged} and ${self.unknown} are booked"
            if self.failures:
                yield f"{self.failures} failures are held against rows"


def spend(
    url: str, host: PictureHost, limit: Decimal, processes: int, kill_every: float | None,
    log: Path, *, most_kills: int | None = None, seed: int = 1,
) -> Spent:  # fmt: skip
    """A run that could use twice as much; the database has the task and no assets."""
    paid.prepare(url, host, int(limit / PRICE), RATE)
    settings = {"tps": {"*": 2 * RATE}, "latency_s": {"IndexFaces": 0.1, "SearchFaces": 0.05}}
    with (
        in_process(settings) as service,
        patch.dict(os.environ, service.environment()),
        psycopg.connect(url, autocommit=True) as connection,
    ):
        ran = run(
            url,
            paid.arguments(host, processes, "--max-cost", str(limit)),
            log,
            task=TASK,
            kill_every=kill_every,
            most_kills=most_kills,
            seed=seed,
        )
        calls = service.state()["calls"]
        charged, unknown = connection.execute(SPENT).fetchone() or (0, 0)
        (reason,) = connection.execute(REASON).fetchone() or ("no run",)
        (failures,) = connection.execute(FAILURES).fetchone() or (0,)
    return Spent(
        ran=ran,
        limit=limit,
        charged=charged,
        unknown=unknown,
        billed=PRICE * sum(calls.get(operation, {}).get("billed", 0) for operation in PAID),
        reason=reason,
        failures=failures,
    )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--max-cost", type=Decimal, default=Decimal("1.00"), help="US dollars")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--kill-every", type=float, default=1.0, help="seconds, in the second run")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    problems: list[str] = []
    with (
        any_server(open_folder()) as server,
        tempfile.TemporaryDirectory() as folder,
        paid.pictures() as host,
    ):
        print(server.origin)
        for label, kill_every in (("calm", None), ("killed", given.kill_every)):
            url = fresh_database(server.url, f"budget_{label}")
            install(url)
            log = Path(folder) / label
            found = spend(
                url, host, given.max_cost, given.processes, kill_every, log, seed=given.seed
            )
            figures = {
                "run": label,
                "processes": given.processes,
                "seconds": round(found.ran.seconds),
                "killed": found.ran.kills,
                "limit_usd": float(found.limit),
                "charged_usd": float(found.charged),
                "unknown_usd": float(found.unknown),
                "billed_usd": float(found.billed),
                "exit_reason": found.reason,
            }
            print(json.dumps(figures), flush=True)
            problems += [f"{label}: {problem}" for problem in found.problems()]
            if kill_every is not None and not found.ran.kills:
                problems.append(f"{label}: nobody was killed")
    for problem in problems:
        print(f"WRONG: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
