"""What the database fixtures promise to the tests that use them."""

from __future__ import annotations

import psycopg
import pytest

from tests.plugins.database import Database, DatabaseTemplate, NewDatabase, with_dbname


def _fill(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("create table filled (n int)")


def test_database_is_empty(database: Database) -> None:
    """A test's database holds no tables of anybody else."""
    connection = database.connect()
    found = connection.execute(
        "select count(*) from pg_class where relnamespace = 'public'::regnamespace"
    )
    assert found.fetchone() == (0,)


def test_databases_are_apart(new_database: NewDatabase) -> None:
    """What one database is given does not show up in another."""
    one, other = new_database(), new_database()
    _fill(one.url)
    with pytest.raises(psycopg.errors.UndefinedTable):
        other.connect().execute("select from filled")


def test_template_is_built_once(
    database_template: DatabaseTemplate, new_database: NewDatabase
) -> None:
    """A template's builder runs once, however many databases are made of it."""
    built = []

    def build(url: str) -> None:
        built.append(url)
        _fill(url)

    for _ in range(2):
        copy = new_database(template=database_template("built once", build))
        assert copy.connect().execute("select count(*) from filled").fetchone() == (0,)
    assert len(built) == 1


def test_with_dbname_keeps_the_rest() -> None:
    """Only the database's name changes in a URL, be it over TCP or a socket."""
    assert with_dbname("postgresql://u:p@h:1/a?x=y", "b") == "postgresql://u:p@h:1/b?x=y"
    assert with_dbname("postgresql://u@/a?host=/s", "b") == "postgresql://u@/b?host=/s"
