"""Adding, changing and forgetting pictures."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from tests.cli.catalog import catalog
from tests.image_hashes.index import DOWN, EPOCH, UP, HashIndex
from tests.plugins.database import Database


def test_adding_again_changes_nothing(index: HashIndex) -> None:
    """A batch that is applied twice leaves what it left the first time, and writes no row."""
    pictures: dict[str, list[int | None]] = {"a": [1, None, 1, -2], "b": [1], "c": []}
    assert index.add(1, pictures) == 2
    rows = "select ctid, xmin::text, * from backfill.image_hash_owner order by key, kind"
    before = index.all(rows)
    assert index.add(1, pictures) == 0
    assert index.all(rows) == before
    assert [row[:3] for row in index.owners(1)] == [("a", 1, 0), ("a", -2, 3), ("b", 1, 0)]


def test_adding_other_hashes_replaces(index: HashIndex) -> None:
    """A picture that is another one now is not found by what it was, but for other generations."""
    index.add(1, {"a": [1, 2], "b": [1]})
    index.add(2, {"a": [1]})
    index.add(1, {"a": [2, -1]})
    assert [row[:3] for row in index.owners(1)] == [("a", 2, 0), ("a", -1, 1), ("b", 1, 0)]
    assert [c.key for c in index.candidates(1, [1], radius=0)] == ["b"]
    assert [c.key for c in index.candidates(2, [1], radius=0)] == ["a"]
    index.add(1, {"a": []})
    assert [row[0] for row in index.owners(1)] == ["b"]


def test_single_add_is_a_batch_of_one(index: HashIndex) -> None:
    """The function for one picture leaves what the function for many leaves."""
    added = index.one(
        "select backfill.image_hash_add(1, 'a', array[5, null, -7, 5]::bigint[], %s)", EPOCH
    )
    assert added == 2
    assert index.owners(1) == [("a", 5, 0, EPOCH), ("a", -7, 2, EPOCH)]
    assert index.one("select backfill.image_hash_add(1, 'a', '{}')") == 0
    assert index.owners(1) == []


def test_earliest_time_stays(index: HashIndex) -> None:
    """Whatever the order in which times are told, the earliest decides who came first."""
    for hours in (3, 1, 2):
        index.add(1, {"a": [1]}, {"a": EPOCH + timedelta(hours=hours)})
    index.one("select backfill.image_hash_add(1, 'a', '{1}')")
    assert index.owners(1) == [("a", 1, 0, EPOCH + timedelta(hours=1))]


def test_removed_picture_is_no_candidate(index: HashIndex) -> None:
    """A removed picture is gone from every generation, its neighbours stay."""
    index.add(1, {"a": [1, 2], "b": [1]})
    index.add(2, {"a": [1]})
    assert index.one("select backfill.image_hash_remove('a')") == 3
    assert [c.key for c in index.candidates(1, [1])] == ["b"]
    assert index.candidates(2, [1]) == []
    assert index.one("select backfill.image_hash_remove('a')") == 0


def test_prune_takes_what_nobody_has(index: HashIndex) -> None:
    """Pruning takes hashes without pictures and older generations, and nothing else."""
    index.add(1, {"a": [1], "b": [2]})
    index.add(2, {"a": [1], "b": [2, 3]})
    index.one("select backfill.image_hash_remove('a')")
    assert index.all("select * from backfill.image_hash_prune()") == [(0, 2)]
    hashes = "select generation, hash from backfill.image_hash order by 1, 2"
    assert index.all(hashes) == [(1, 2), (2, 2), (2, 3)]
    assert index.all("select * from backfill.image_hash_prune(2)") == [(1, 1)]
    assert index.all(hashes) == [(2, 2), (2, 3)]
    assert [c.key for c in index.candidates(2, [2])] == ["b"]


WRITERS = """
select p.proname from pg_proc p
 where p.pronamespace = 'backfill'::regnamespace and (p.prosecdef or p.provolatile = 'v')
   and has_function_privilege('pg_monitor', p.oid, 'execute')
"""


def test_nobody_writes_without_a_grant(index: HashIndex) -> None:
    """No function that writes, or that makes others wait, can be called by just anybody."""
    assert index.all(WRITERS) == []


def test_down_removes_everything(database: Database) -> None:
    """Going up and down again leaves the database as it was, and up works once more."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute("create schema backfill")
        before = catalog(database.url)
        connection.execute(UP.read_bytes())
        up = catalog(database.url)
        connection.execute(DOWN.read_bytes())
        assert catalog(database.url) == before
        connection.execute(UP.read_bytes())
    assert catalog(database.url) == up


def test_same_key_twice_in_a_batch_is_one_picture(index: HashIndex) -> None:
    """A key that is told twice gets the hashes of both and the earlier time."""
    index.one(
        "select backfill.image_hash_add_batch(1, %s::jsonb)",
        """[{"key": "a", "hashes": [1], "seen_at": "2024-01-01T01:00:00Z"},
            {"key": "a", "hashes": [2, 1], "seen_at": "2024-01-01T00:00:00Z"}]""",
    )
    assert index.owners(1) == [("a", 1, 0, EPOCH), ("a", 2, 0, EPOCH)]


@pytest.mark.parametrize("batch", ['[{"hashes": [1]}]', '[{"key": "a", "hashes": [1e30]}]'])
def test_bad_batch_adds_nothing(index: HashIndex, batch: str) -> None:
    """A picture without a key, or with a hash that is none, is an error and leaves no trace."""
    with pytest.raises((psycopg.errors.NotNullViolation, psycopg.errors.NumericValueOutOfRange)):
        index.one("select backfill.image_hash_add_batch(1, %s::jsonb)", batch)
    assert index.one("select count(*) from backfill.image_hash") == 0
