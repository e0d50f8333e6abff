"""Many processes, and none of them to be relied on."""

from __future__ import annotations

import pytest

from tests.bench.chaos import chaos
from tests.plugins.database import NewDatabase


@pytest.mark.slow
@pytest.mark.parametrize(
    "rows, kill_every", [(2_000, None), (6_000, 1.0)], ids=["calm", "kill -9 every second"]
)
def test_every_row_is_finished_exactly_once(
    new_database: NewDatabase, rows: int, kill_every: float | None
) -> None:
    """Four processes finish thousands of mixed rows once each, and the counters agree with them.

    The rows are fast, slow and failing, and a trigger on the application's table counts the writes.
    """
    report = chaos(new_database().url, rows, 4, kill_every)
    assert report.problems == []
    assert report.exit_code == 3
    assert (report.kills > 2) == (kill_every is not None)
