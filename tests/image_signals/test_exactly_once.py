"""Many processes that are killed all the time find what one that nobody disturbs finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.duplicates_chaos import analyse, draw, prepare
from tests.plugins.database import NewDatabase


@pytest.mark.slow
def test_the_same_pairs_are_found_though_processes_are_killed(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """Payments, pairs and the hash index end the same, and every copy's original is found."""
    true = draw(tmp_path, 6)
    outcomes = []
    for workers, kill_every in ((1, None), (3, 0.8)):
        url = new_database().url
        prepare(url, tmp_path, seed=7)
        report = analyse(url, tmp_path, workers, kill_every)
        assert report.exit_code == 0
        assert (report.kills > 0) == (kill_every is not None)
        assert report.outcome["wrong"] is None
        assert report.duplicates == true
        outcomes.append(report.outcome)
    assert outcomes[0] == outcomes[1]
