"""Fixtures of the tests of candidate search."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.image_hashes.index import HashIndex, install
from tests.plugins.database import Database, DatabaseTemplate, NewDatabase, with_dbname


@pytest.fixture
def indexed(database_template: DatabaseTemplate, new_database: NewDatabase) -> Database:
    """A database with the hash index in it and no hashes."""
    return new_database(template=database_template("image hashes", install))


@pytest.fixture
def index(indexed: Database) -> HashIndex:
    """The index of a database of the test's own."""
    return HashIndex(indexed.connect(autocommit=True))


@pytest.fixture(scope="session")
def shared(server_url: str) -> Iterator[HashIndex]:
    """One index for all tests that keep to a generation of their own."""
    name = "pgbackfill_image_hashes"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create database {name} template template0")
        url = with_dbname(server_url, name)
        install(url)
        with psycopg.connect(url, autocommit=True) as inside:
            yield HashIndex(inside)
        connection.execute(f"drop database {name} with (force)")
