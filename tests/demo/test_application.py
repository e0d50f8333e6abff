"""What filling the sample application's table promises."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import urljoin

import httpx
import psycopg
import pytest

from runner.database.files import sql_folder
from runner.demo import application, process
from runner.demo.pictures import by_path, catalogue
from runner.errors import UsageError
from tests.plugins.database import Database

HERE = "http://127.0.0.1:8001"
THERE = "http://127.0.0.1:8002"


def rows(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    """The table's rows in the order of their keys."""
    return connection.execute("select * from public.images order by id").fetchall()


def test_load_fills_a_new_table(database: Database) -> None:
    """The first call creates the table and adds the rows asked for, of every source."""
    connection = database.connect()
    counts = application.load(connection, HERE)
    assert (counts.inserted, counts.moved, counts.total) == (400, 0, 400)
    assert counts.broken == sum(not p.scorable for p in catalogue())
    found = connection.execute(
        "select source_type, count(*), count(boxes) from public.images group by 1"
    ).fetchall()
    assert {source for source, _, _ in found} == {"unsplash", "local_upload", "url"}
    assert 100 <= sum(boxes for _, _, boxes in found) <= 300


def test_load_commits(database: Database) -> None:
    """What was loaded is there for other connections."""
    application.load(database.connect(), HERE, 10)
    assert len(rows(database.connect())) == 10


def test_load_twice_adds_nothing(database: Database) -> None:
    """A second call changes no row at all."""
    connection = database.connect()
    application.load(connection, HERE, 50)
    before = rows(connection)
    counts = application.load(connection, HERE + "/", 50)
    assert (counts.inserted, counts.moved, counts.total) == (0, 0, 50)
    assert rows(connection) == before


def test_load_of_more_rows_adds_the_rest(database: Database) -> None:
    """A call for more rows keeps those that are there, and one for fewer removes none."""
    connection = database.connect()
    application.load(connection, HERE, 30)
    before = {row[0] for row in rows(connection)}
    assert application.load(connection, HERE, 45).inserted == 15
    assert before < {row[0] for row in rows(connection)}
    assert application.load(connection, HERE, 5).total == 45


def test_rows_beyond_the_catalogue_have_addresses_of_their_own(database: Database) -> None:
    """More rows than pictures repeat the pictures, each row at its own address."""
    connection = database.connect()
    size = len(catalogue())
    counts = application.load(connection, HERE, 2 * size + 7)
    assert counts.total == 2 * size + 7
    urls = [url for (url,) in connection.execute("select url from public.images")]
    assert len(set(urls)) == len(urls)
    paths = Counter(url.removeprefix(HERE).partition("?")[0] for url in urls)
    assert set(paths) == set(by_path())
    assert set(paths.values()) == {2, 3}


def test_rows_follow_the_host_to_another_port(database: Database) -> None:
    """After a change of port absolute addresses are the new ones, relative ones as before."""
    connection = database.connect()
    application.load(connection, HERE, 100)
    relative = connection.execute(
        "select count(*) from public.images where source_type = 'local_upload'"
    ).fetchone()
    assert relative is not None
    counts = application.load(connection, THERE, 100)
    assert (counts.inserted, counts.moved, counts.total) == (0, 100 - relative[0], 100)
    found = connection.execute(
        "select source_type = 'local_upload', starts_with(url, '/uploads/'),"
        " starts_with(url, %s) from public.images group by 1, 2, 3",
        [THERE + "/"],
    ).fetchall()
    assert sorted(found) == [(False, False, True), (True, True, False)]


def test_other_addresses_are_left_alone(database: Database) -> None:
    """Only addresses on the host move; one that somebody added stays."""
    connection = database.connect()
    application.load(connection, HERE, 5)
    connection.execute(
        "insert into public.images (url, source_type) values ('http://example.org/a.jpg', 'url')"
    )
    application.load(connection, THERE, 5)
    found = connection.execute("select 1 from public.images where url = 'http://example.org/a.jpg'")
    assert found.fetchone() == (1,)


def test_last_port_is_where_the_rows_point_to(database: Database) -> None:
    """The port is remembered in the rows: 0 before there are any."""
    connection = database.connect()
    assert application.last_port(connection) == 0
    application.load(connection, HERE, 20)
    assert application.last_port(connection) == 8001


def test_load_fetches_real_pictures(database: Database, host: process.Host) -> None:
    """Every row's address, made absolute by the host's, is one that the host knows."""
    connection = database.connect()
    application.load(connection, host.base_url, 60)
    with httpx.Client(timeout=20, trust_env=False) as client:
        for (url,) in connection.execute("select url from public.images").fetchall():
            full = urljoin(host.base_url, url)
            expected = by_path()[full.removeprefix(host.base_url)].answer
            assert client.get(full).status_code == (expected.first_status or expected.status)


def test_load_keeps_off_somebody_elses_table(database: Database) -> None:
    """A table of that name that is not the demo's is neither filled nor dropped."""
    connection = database.connect(autocommit=True)
    connection.execute("create table public.images (id uuid primary key, url text)")
    with pytest.raises(UsageError, match="not the demo's"):
        application.load(connection, HERE)
    application.drop(connection)
    assert application.last_port(connection) == 0
    assert rows(connection) == []


def test_load_needs_a_row(database: Database) -> None:
    """Fewer than one row is refused before anything is created."""
    connection = database.connect()
    with pytest.raises(UsageError, match="at least 1 row"):
        application.load(connection, HERE, 0)
    found = connection.execute("select to_regclass('public.images')")
    assert found.fetchone() == (None,)


def test_drop_leaves_nothing(database: Database) -> None:
    """After drop the database is as it was before load; a second drop does nothing."""
    connection = database.connect()
    application.load(connection, HERE, 5)
    application.drop(connection)
    application.drop(connection)
    found = connection.execute(
        "select count(*) from pg_class where relnamespace = 'public'::regnamespace"
    )
    assert found.fetchone() == (0,)


def test_table_is_as_before_any_backfill(database: Database) -> None:
    """The sample table has the application's columns only, each with a comment."""
    connection = database.connect()
    application.load(connection, HERE, 1)
    found = connection.execute(
        "select attname, col_description(attrelid, attnum) is not null from pg_attribute"
        " where attrelid = 'public.images'::regclass and attnum > 0 order by attnum"
    ).fetchall()
    names = ["id", "url", "width", "height", "source_type", "boxes", "created_at"]
    assert found == [(name, True) for name in names]


@pytest.mark.parametrize(
    "column, value",
    [
        ("source_type", "'elsewhere'"),
        ("width", "0"),
        ("height", "-1"),
        ("boxes", "'{}'"),
        ("url", "null"),
    ],
)
def test_impossible_rows_are_refused(database: Database, column: str, value: str) -> None:
    """The sample table refuses what can't be."""
    connection = database.connect()
    application.load(connection, HERE, 1)
    with pytest.raises(psycopg.errors.IntegrityError):
        connection.execute(f"update public.images set {column} = {value}".encode())


def test_every_statement_has_a_header() -> None:
    """Each SQL file of the demo begins with a comment that says what it is for."""
    files = sorted((sql_folder() / "demo").glob("*.sql"))
    assert len(files) >= 6
    assert all(file.read_text().startswith("-- ") for file in files)
