"""Installing image_signals beside what an application has, and taking it out again."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from runner.database import migrate
from runner.errors import BackfillError, UsageError
from runner.registry import find
from tests.image_signals.payments import Payments
from tests.plugins.database import NewDatabase

TABLES = """
create schema "My App";
create table "My App"."pay%ments" (
    no bigint primary key, shot text, "when" timestamp
);
create table "My App"."sig""nals" (
    payment_submission_id bigint not null unique, analysis_status varchar(20) default 'pending',
    similarity_percentage integer
);
create table "My App".hashes (
    hash text, algorithm text, first_payment_id bigint, first_uploaded_at timestamptz,
    upload_count integer, last_updated_at timestamptz
);
"""

NAMES = {
    "table": "My App.pay%ments", "key": "no", "url": "shot", "created_at": "when", "label": "",
    "signals": 'My App.sig"nals', "hash_index": "My App.hashes",
}  # fmt: skip


def up(url: str, names: dict[str, str]) -> None:
    """Install the task with these names."""
    migrate.upgrade(url, [find("image_signals")], names)


def down(url: str) -> None:
    """Take the task out."""
    migrate.downgrade(url, [find("image_signals")])


def catalogue(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    """Columns and indexes of the application's tables."""
    return connection.execute(
        "select c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod)"
        "  from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0"
        " where c.relnamespace = '\"My App\"'::regnamespace and not a.attisdropped"
        " order by 1, 2"
    ).fetchall()


def test_tables_that_are_there_are_kept(new_database: NewDatabase) -> None:
    """Odd names work, missing columns are added, and a removal leaves all as it was."""
    url = new_database().url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES.encode())
        before = catalogue(connection)
        up(url, NAMES)
        connection.execute(
            """insert into "My App"."pay%ments" values (1, '/a', '2024-01-01'), (2, '/a', null)"""
        )
        payments = Payments(url)
        for key in (2, 1):
            payments.both(key, "same", [7])
        rows = connection.execute(
            "select payment_submission_id, analysis_status, similar_to_payment_id,"
            ' similarity_percentage from "My App"."sig""nals" order by 1'
        ).fetchall()
        assert rows == [(1, "completed", None, None), (2, "completed", 1, 100)]
        assert payments.checks() == []
        payments.close()
        down(url)
        assert catalogue(connection) == before
        count = connection.execute('select count(*) from "My App".hashes').fetchone()
        assert count == (0,)


def test_going_down_and_up_again_counts_nothing_twice(new_database: NewDatabase) -> None:
    """The application's own hash index holds each upload once, however often we come and go."""
    url = new_database().url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES.encode())
        connection.execute("""insert into "My App"."pay%ments" values (1, '/a', '2024-01-01')""")
        for _ in range(2):
            up(url, NAMES)
            payments = Payments(url)
            payments.both(1, "same", [7])
            payments.close()
            rows = connection.execute('select upload_count from "My App".hashes').fetchall()
            assert rows == [(1,)]
            down(url)


@pytest.mark.parametrize(
    "change, said",
    [
        (
            'alter table "My App"."pay%ments" alter "when" type bigint using 1',
            "is bigint and no time",
        ),
        (
            'create index hashes_hash_algorithm_key on "My App".hashes (hash)',
            "is there and is not unique",
        ),
    ],
)
def test_what_can_not_work_is_refused_at_once(
    new_database: NewDatabase, change: str, said: str
) -> None:
    """An installation that would fail every row is refused with what to do."""
    url = new_database().url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES.encode())
        connection.execute(change.encode())
    with pytest.raises(UsageError, match=said):
        up(url, NAMES)


def test_several_rows_for_a_payment_are_refused(new_database: NewDatabase) -> None:
    """Two rows for one payment would be two answers; whoever installs is told."""
    url = new_database().url
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES.encode())
        connection.execute(
            'alter table "My App"."sig""nals" drop constraint "sig""nals_payment_submission_id_key"'
        )
        connection.execute('insert into "My App"."sig""nals" values (1), (1)')
    with pytest.raises(BackfillError, match="1 payments have several rows"):
        up(url, NAMES)
