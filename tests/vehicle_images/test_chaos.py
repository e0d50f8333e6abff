"""Many processes that are killed all the time leave what one that nobody disturbs leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.vehicles_chaos import Outcome, Plan, compare, one
from tests.bench.vehicles_host import Host
from tests.bench.vehicles_tables import install
from tests.plugins.database import NewDatabase


@pytest.mark.slow
def test_killed_processes_leave_the_same_rows_and_objects(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """From a hostile host come the same rows, outcomes and objects, at no more than its rate."""
    plan = Plan(vehicles=12, urls=5, rate=60, workers=2, threads=6, most_kills=2, timeout=1.5)
    outcomes: list[Outcome] = []
    with Host(burst_every=4.0, burst_for=0.3) as host:
        for killed in (False, True):
            url = new_database().url
            install(url)
            folder = tmp_path / f"killed-{killed}"
            folder.mkdir()
            outcomes.append(one(url, host, plan, folder, killed=killed))
        calm, chaotic = outcomes
        assert compare(calm, chaotic, plan, plan.fleet(host)) == []
