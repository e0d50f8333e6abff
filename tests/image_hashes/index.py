"""The hash index in a database, and what it should find by plain reckoning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import psycopg
from psycopg.types.json import Jsonb

from runner.database.files import sql_folder
from runner.database.scripts import render

FOLDER = sql_folder() / "tasks" / "image_signals" / "0001"
UP = "30_hash_index.sql"
DOWN = "39_hash_index_down.sql"

BITS = (1 << 64) - 1
BANDS = ((47, 17), (30, 17), (14, 16), (0, 14))
"""Lowest bit and width of each band that the index cuts a hash into."""


class Candidate(NamedTuple):
    """A row of image_candidates()."""

    picture: str
    distance: int
    large_cluster: bool


def signed(bits: int) -> int:
    """The bits as PostgreSQL's bigint."""
    bits &= BITS
    return bits - (1 << 64) if bits >> 63 else bits


def distance(a: int, b: int) -> int:
    """In how many of 64 bits two hashes differ."""
    return ((a ^ b) & BITS).bit_count()


def key(picture: str) -> str:
    """The key of a picture that tests call so: in hex, in the order of their names."""
    return picture.encode().hex()


def script(name: str) -> bytes:
    """One of the index's scripts, rendered as a migration renders it."""
    return render((FOLDER / name).read_text(encoding="utf-8"), {}).encode()


def install(url: str) -> None:
    """Make the hash index in a database that has nothing of ours yet."""
    with psycopg.connect(url) as connection:
        connection.execute("create schema backfill")
        connection.execute(script(UP))


def batch(pictures: Mapping[str, Sequence[int | None]]) -> Jsonb:
    """Pictures with their hashes, as the index's functions take them."""
    return Jsonb([{"key": key(picture), "hashes": list(h)} for picture, h in pictures.items()])


def candidate(found: str, bits: int, large_cluster: bool) -> Candidate:
    """A row of image_candidates(), its picture by the name that the test gave it."""
    return Candidate(bytes.fromhex(found).decode(), bits, large_cluster)


def add(
    connection: psycopg.Connection[Any],
    generation: int,
    pictures: Mapping[str, Sequence[int | None]],
) -> int:
    """Add pictures in one batch; how many hashes were new."""
    ((new,),) = connection.execute(
        "select backfill.image_hash_add_batch(%s, %s)", [generation, batch(pictures)]
    ).fetchall()
    return int(new)


class HashIndex:
    """A connection to the index; each test example takes a generation of its own."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self._generations = count(1)

    def generation(self) -> int:
        """A generation that nobody used yet."""
        return next(self._generations)

    def all(self, query: str, *parameters: Any) -> list[Any]:
        """The rows of a query."""
        return self.connection.execute(query.encode(), parameters or None).fetchall()

    def do(self, statement: str) -> None:
        """Execute a statement that returns nothing."""
        self.connection.execute(statement.encode())

    def one(self, query: str, *parameters: Any) -> Any:
        """The only value of a query."""
        ((value,),) = self.all(query, *parameters)
        return value

    def add(self, generation: int, pictures: Mapping[str, Sequence[int | None]]) -> int:
        """Add pictures in one batch; how many hashes were new."""
        return add(self.connection, generation, pictures)

    def remove(self, picture: str) -> None:
        """Take a picture's hashes from it, in every generation."""
        self.connection.execute(
            "delete from backfill.image_hash_owner where sha256 = decode(%s, 'hex')",
            [key(picture)],
        )

    def add_hashes(self, generation: int, hashes: Iterable[int]) -> None:
        """Add each hash with a picture of its own."""
        self.add(generation, {f"p{i}": [h] for i, h in enumerate(sorted(set(hashes)))})

    def search(
        self, generation: int, asked: Sequence[int], radius: int = 10, most: int = 1_000_000
    ) -> dict[int, tuple[dict[int, int], bool]]:
        """For each hash asked for with a result: distance by hash, and whether it was cut."""
        found: dict[int, tuple[dict[int, int], bool]] = {}
        query = "select * from backfill.image_hash_search(%s, %s::bigint[], %s, %s)"
        for a, h, d, cut in self.all(query, generation, list(asked), radius, most):
            near, flag = found.setdefault(a, ({}, cut))
            assert h not in near
            assert flag == cut
            near[h] = d
        return found

    def candidates(
        self,
        generation: int,
        hashes: Sequence[int | None],
        radius: int = 10,
        most: int = 1000,
        but: str | None = None,
    ) -> list[Candidate]:
        """The candidates of one picture."""
        query = "select * from backfill.image_candidates(%s, %s::bigint[], %s, %s, %s)"
        parameters = (generation, list(hashes), radius, most, but and key(but))
        return [candidate(*row) for row in self.all(query, *parameters)]

    def owners(self, generation: int) -> list[Any]:
        """Every (picture, hash) of the generation, in order."""
        return self.all(
            "select convert_from(sha256, 'UTF8'), hash from backfill.image_hash_owner"
            " where generation = %s order by sha256, hash",
            generation,
        )

    def buffers(self, query: str, *parameters: Any) -> int:
        """Pages that a query touches."""
        plan = self.one("explain (analyze, buffers, format json) " + query, *parameters)
        top = plan[0]["Plan"]
        return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])
