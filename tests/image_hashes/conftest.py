"""Fixtures of the tests of candidate search."""

from __future__ import annotations

import pytest

from tests.image_hashes.index import HashIndex, install
from tests.plugins.database import Database, DatabaseTemplate, NewDatabase


@pytest.fixture
def indexed(database_template: DatabaseTemplate, new_database: NewDatabase) -> Database:
    """A database with the hash index in it and no hashes."""
    return new_database(template=database_template("image hashes", install))


@pytest.fixture
def index(indexed: Database) -> HashIndex:
    """The index of a database of the test's own."""
    return HashIndex(indexed.connect(autocommit=True))
