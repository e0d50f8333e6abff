"""The sample task's database behind a real PgBouncer in transaction mode."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.plugins.pgbouncer import PgBouncer
from tests.plugins.processes import SampleDatabase


@pytest.fixture
def behind(sampled: SampleDatabase, pooler: PgBouncer) -> Iterator[str]:
    """The URL of that database by way of the pooler, for what is tested; the test itself asks
    directly. No session may be left with settings of somebody's.
    """
    yield pooler.url(sampled.url)
    assert pooler.left_behind(sampled.url) == set()
