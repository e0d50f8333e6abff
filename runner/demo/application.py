"""The sample application's table, filled with rows that point at the picture host."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from runner.database.files import sql_folder
from runner.demo.pictures import Picture, catalogue
from runner.errors import UsageError

NAMESPACE = uuid.UUID("6f0d0e52-3b0c-5c43-9a6c-0e5b8c3f7d11")
"""Rows' ids are UUIDs (version 5) of their address below the host, so that each is added once."""

MINUTES_APART = 7
"""Between the ages of two rows that follow each other in the catalogue."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What `load` did, in rows, and what the table holds now.

    `broken` is how many of the rows asked for were broken on purpose, so that they will fail.
    """

    inserted: int
    moved: int
    total: int
    broken: int


def load(connection: psycopg.Connection[Any], base_url: str, rows: int = 400) -> Counts:
    """Create the sample table where it is missing and add the rows that aren't there yet.

    Rows beyond the catalogue's 400 are the same pictures again, at addresses of their own. What
    is there already stays as it is, except that rows follow the host to another port; `base_url`
    is the host's, with or without a slash at its end. All in one transaction, committed unless
    the caller has one open. Raises `UsageError` where `rows` is below 1 or the database holds an
    `images` table that isn't the demo's.
    """
    if rows < 1:
        raise UsageError(f"the demo needs at least 1 row, not {rows}")
    base_url = base_url.rstrip("/")
    found = list(_targets(rows))
    with connection.transaction():
        present, ours = _owner(connection)
        if present and not ours:
            raise UsageError(
                "this database has a table public.images that is not the demo's: "
                "use another database for the demo"
            )
        connection.execute(_statement("application"))
        moved = connection.execute(_statement("move_images"), {"base_url": base_url})
        inserted = connection.execute(
            _statement("insert_images"),
            {"rows": Jsonb([_row(n, target, p, base_url) for n, (target, p) in enumerate(found)])},
        )
        total = connection.execute("select count(*) from public.images").fetchone()
    return Counts(
        inserted=inserted.rowcount,
        moved=moved.rowcount,
        total=total[0] if total else 0,
        broken=sum(not picture.scorable for _, picture in found),
    )


def last_port(connection: psycopg.Connection[Any]) -> int:
    """The host's port that the rows point to; 0 where there are none.

    A host on the same port again saves moving the rows: a moved row has a changed input, and is
    computed once more.
    """
    with connection.transaction():
        if _owner(connection) != (True, True):
            return 0
        row = connection.execute(_statement("served_at")).fetchone()
    return int(row[0]) if row else 0


def drop(connection: psycopg.Connection[Any]) -> None:
    """Remove the sample table, if it is the demo's; what binds to it has to be gone before."""
    with connection.transaction():
        if _owner(connection) == (True, True):
            connection.execute(_statement("drop"))


@cache
def _statement(name: str) -> bytes:
    return (sql_folder() / "demo" / f"{name}.sql").read_bytes()


def _owner(connection: psycopg.Connection[Any]) -> tuple[bool, bool]:
    row = connection.execute(_statement("owner"), {"tables": ["public.images"]}).fetchone()
    return (bool(row[0]), bool(row[1])) if row else (False, False)


def _targets(rows: int) -> Iterator[tuple[str, Picture]]:
    pictures = catalogue()
    for n in range(rows):
        copy, index = divmod(n, len(pictures))
        picture = pictures[index]
        yield (f"{picture.path}?copy={copy + 1}" if copy else picture.path), picture


def _row(number: int, target: str, picture: Picture, base_url: str) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid5(NAMESPACE, target)),
        "url": target if picture.source_type == "local_upload" else base_url + target,
        "width": picture.width,
        "height": picture.height,
        "source_type": picture.source_type,
        "boxes": list(picture.boxes) or None,
        "minutes": number * MINUTES_APART,
    }
