"""Fixtures of the tests of image_signals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.image_signals.payments import Payments, install
from tests.plugins.database import DatabaseTemplate, NewDatabase


@pytest.fixture
def payments(database_template: DatabaseTemplate, new_database: NewDatabase) -> Iterator[Payments]:
    """A database with the task and no payments."""
    found = Payments(new_database(template=database_template("image signals", install)).url)
    yield found
    found.close()
