"""`backfill run TASK --dry-run`: the database itself refuses any write."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.cli.conftest import Backfill
from tests.plugins.database import Database
from tests.plugins.processes import SampleDatabase


@pytest.fixture
def dry(sampled: SampleDatabase, backfill: Backfill, monkeypatch: pytest.MonkeyPatch) -> Backfill:
    """`backfill` in this process, on the database with the sample task."""
    monkeypatch.setenv("DATABASE_URL", sampled.url)
    monkeypatch.setenv("BACKFILL_TASKS", "tests.sample:task")
    return backfill


@pytest.fixture
def reader(sampled: SampleDatabase) -> Iterator[str]:
    """A URL for a member of backfill_reader, who may look and nothing else."""
    name = f"reader_of_{sampled.one('select current_database()')}"
    role = sql.Identifier(name)
    sampled.connection.execute(sql.SQL("create role {} login").format(role))
    sampled.connection.execute(sql.SQL("grant backfill_reader to {}").format(role))
    yield make_conninfo(sampled.url, user=name)
    sampled.connection.execute(sql.SQL("drop owned by {}").format(role))
    sampled.connection.execute(sql.SQL("drop role {}").format(role))


def contents(database: SampleDatabase) -> dict[str, str]:
    """A checksum of every table's rows, and every sequence's position."""
    tables = database.all(
        "select c.oid::regclass::text as name, c.relkind as kind from pg_class c"
        " where c.relkind in ('r', 'S') and c.relnamespace::regnamespace::text"
        " in ('public', 'backfill')"
    )
    rows = "select coalesce(md5(string_agg(t::text, '|' order by t::text)), '') from {} t"
    position = "select format('%s %s', last_value, is_called) from {}"
    return {
        row["name"]: database.one((rows if row["kind"] == "r" else position).format(row["name"]))
        for row in tables
    }


def test_dry_run_changes_nothing(sampled: SampleDatabase, dry: Backfill) -> None:
    """Not a row of any table is another one afterwards, and no sequence has moved."""
    sampled.items(ok=20, fail=2)
    before = contents(sampled)
    assert len(before) > 10
    ended = dry("run", "sample", "--dry-run", "--resume", "--workers", "4", "--where", "key <> '3'")
    assert ended.code == 0
    assert contents(sampled) == before


def test_dry_run_says_what_would_be_done(sampled: SampleDatabase, dry: Backfill) -> None:
    """How many rows, the first ones with their inputs, and how long it would take."""
    sampled.items(ok=1200)
    ended = dry("run", "sample", "--dry-run", "--delay", "1000", "--batch-size", "100")
    assert ended.out.splitlines() == [
        "sample: dry run, nothing is changed",
        "1,200 rows to do; the first:",
        *(f'  {key}  {{"input": "a", "behaviour": "ok"}}' for key in range(1, 6)),
        "expected time: at least 11s",
    ]
    ended = dry("run", "sample", "--dry-run", "--limit", "2")
    assert ended.out.splitlines() == [
        "sample: dry run, nothing is changed",
        "2 rows to do; the first:",
        '  1  {"input": "a", "behaviour": "ok"}',
        '  2  {"input": "a", "behaviour": "ok"}',
        "expected time: not known before the first run; try one with --limit 10",
    ]
    assert dry("run", "sample", "--dry-run", "--where", "false").out.splitlines() == [
        "sample: dry run, nothing is changed",
        "nothing to do",
    ]


def test_dry_run_as_json(sampled: SampleDatabase, dry: Backfill) -> None:
    """--dry-run --json prints one object with what would be done."""
    sampled.items(ok=7)
    found = dry("run", "sample", "--dry-run", "--json").json
    assert found == {
        "task": "sample", "dry_run": True, "found": 7, "found_exact": True, "expected_s": None,
        "expected_usd": 0.0,
        "first_keys": ["1", "2", "3", "4", "5"],
    }  # fmt: skip


def test_dry_run_needs_no_right_to_write(
    sampled: SampleDatabase, dry: Backfill, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backfill_reader can make a dry run, and can't start a real one."""
    sampled.items(ok=7)
    monkeypatch.setenv("DATABASE_URL", reader)
    with psycopg.connect(reader) as connection, pytest.raises(psycopg.Error):
        connection.execute("delete from item")
    ended = dry("run", "sample", "--dry-run", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert ended.json["found"] == 7
    ended = dry("run", "sample")
    assert ended.code == 1
    assert "the database refused: permission denied for function start" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_dry_run_works_while_paused(sampled: SampleDatabase, dry: Backfill) -> None:
    """A pause stops no one from looking."""
    sampled.items(ok=2)
    sampled.do("select backfill.pause('sample')")
    assert dry("run", "sample", "--dry-run").code == 0


def test_dry_run_shows_no_query_strings(backfill: Backfill, installed: Database) -> None:
    """What follows an address's question mark may be a signature, in relative ones too."""
    with installed.connect() as connection:
        connection.execute(
            "insert into images (url, source_type) values"
            " ('a.png?sig=hush', 'local_upload'), ('https://x.test/b.png?sig=hush', 'url')"
        )
    ended = backfill.use(installed)("run", "quality_score", "--dry-run")
    assert "a.png?***" in ended.out
    assert "hush" not in ended.out + ended.err
