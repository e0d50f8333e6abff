"""A provider's quota and a budget, with several processes that index faces at once."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.bench import paid
from tests.bench.paid_budget import spend
from tests.bench.paid_quota import MOST, see
from tests.face_index.application import install
from tests.plugins.database import DatabaseTemplate, NewDatabase


@pytest.mark.slow
def test_the_quota_is_never_exceeded(
    database_template: DatabaseTemplate, new_database: NewDatabase, tmp_path: Path
) -> None:
    """No second at the provider has more calls than the quota and 2 %, however many processes call.

    How much of it they use is for `tests.bench.paid_quota` to say: here other tests run beside it.
    """
    url = new_database(template=database_template("faces", install)).url
    with paid.pictures() as host:
        seen = see(url, host, 50, 2, 3.0, tmp_path / "log")
    assert seen.fullest <= MOST
    assert seen.throttled == 0
    # else it was the machine that kept them from calling more
    assert seen.used > 0.5


@pytest.mark.slow
def test_the_limit_is_the_limit(
    database_template: DatabaseTemplate, new_database: NewDatabase, tmp_path: Path
) -> None:
    """What killed processes may have spent counts as spent, so the run stops within one call's
    price of the limit, and the provider never charges more.
    """
    url = new_database(template=database_template("faces", install)).url
    with paid.pictures() as host:
        found = spend(url, host, Decimal("0.2"), 2, 0.5, tmp_path / "log", most_kills=2)
    assert list(found.problems()) == []
    assert found.ran.kills
