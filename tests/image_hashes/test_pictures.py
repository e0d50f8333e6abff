"""Adding and forgetting pictures."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.cli.catalog import catalog
from tests.image_hashes.index import DOWN, UP, HashIndex, install, script
from tests.plugins.database import Database


def test_adding_again_changes_nothing(index: HashIndex) -> None:
    """A batch that is applied twice leaves what it left the first time, and writes no row."""
    pictures: dict[str, list[int | None]] = {"a": [1, None, 1, -2], "b": [1], "c": []}
    assert index.add(1, pictures) == 2
    rows = "select ctid, xmin::text, * from backfill.image_hash_owner order by ctid"
    before = index.all(rows)
    assert index.add(1, pictures) == 0
    assert index.all(rows) == before
    assert index.owners(1) == [("a", -2), ("a", 1), ("b", 1)]


def test_each_generation_has_its_own(index: HashIndex) -> None:
    """The same picture with the same hash is added to each generation that it is told for."""
    assert [index.add(generation, {"a": [1]}) for generation in (1, 2)] == [1, 1]
    assert index.owners(1) == index.owners(2) == [("a", 1)]


def test_picture_without_hashes_is_nobodys_candidate(index: HashIndex) -> None:
    """Where nothing is to be seen in a picture, nothing is added for it."""
    assert index.add(1, {"a": [], "b": [None]}) == 0
    assert index.owners(1) == []


def test_same_key_twice_in_a_batch_is_one_picture(index: HashIndex) -> None:
    """A key that is told twice gets the hashes of both."""
    batch = Jsonb([{"key": "61", "hashes": [1]}, {"key": "61", "hashes": [2, 1]}])
    assert index.one("select backfill.image_hash_add_batch(1, %s)", batch) == 2
    assert index.owners(1) == [("a", 1), ("a", 2)]


@pytest.mark.parametrize(
    "picture, state",
    [
        ({"hashes": [1]}, "23502"),
        ({"key": "a", "hashes": [1]}, "22023"),
        ({"key": "61", "hashes": [1e30]}, "22003"),
    ],
    ids=["no key", "key that is no hex", "hash of more than 64 bits"],
)
def test_bad_batch_adds_nothing(index: HashIndex, picture: object, state: str) -> None:
    """A picture without a key, or with a hash that is none, is an error and leaves no trace."""
    whole = {"key": "62", "hashes": [5]}
    with pytest.raises(psycopg.Error) as error:
        index.one("select backfill.image_hash_add_batch(1, %s)", Jsonb([whole, picture]))
    assert error.value.sqlstate == state
    assert index.one("select count(*) from backfill.image_hash") == 0


def test_removed_picture_is_no_candidate(index: HashIndex) -> None:
    """A picture without its rows is gone at once, though its hashes stay; others keep theirs."""
    index.add(1, {"a": [1, 2], "b": [1]})
    index.remove("a")
    assert [c.picture for c in index.candidates(1, [1, 2])] == ["b"]


def test_prune_takes_what_nobody_has(index: HashIndex) -> None:
    """Pruning takes the hashes that no picture of their generation has, and nothing else."""
    index.add(1, {"a": [1], "b": [2]})
    index.add(2, {"b": [1, 3], "c": [2]})
    index.remove("b")
    assert index.one("select backfill.image_hash_prune()") == 3
    hashes = "select generation, hash from backfill.image_hash order by 1, 2"
    assert index.all(hashes) == [(1, 1), (2, 2)]
    assert index.one("select backfill.image_hash_prune()") == 0
    assert [c.picture for c in index.candidates(2, [3])] == ["c"]


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
    install(database.url)
    up = catalog(database.url)
    with psycopg.connect(database.url, autocommit=True) as connection:
        connection.execute(script(DOWN))
        down = catalog(database.url)
        connection.execute("drop schema backfill; create schema backfill")
        assert catalog(database.url) == down
        connection.execute(script(UP))
    assert catalog(database.url) == up
