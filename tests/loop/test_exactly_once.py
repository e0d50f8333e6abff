"""Many processes, and none of them to be relied on."""

from __future__ import annotations

import pytest

from tests.bench.chaos import chaos
from tests.plugins.database import NewDatabase


@pytest.mark.slow
@pytest.mark.parametrize("kill_every", [None, 1.0], ids=["calm", "kill -9 every second"])
def test_every_row_is_finished_exactly_once(
    new_database: NewDatabase, kill_every: float | None
) -> None:
    """Four processes finish 10,000 mixed rows once each, and the counters agree with the rows.

    The rows are fast, slow and failing, and a trigger on the application's table counts the writes.
    """
    report = chaos(new_database().url, 10_000, 4, kill_every)
    assert report.problems == []
    assert report.exit_code == 3
    assert (report.kills > 2) == (kill_every is not None)
