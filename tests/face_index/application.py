"""An application with users' pictures and people, and the task face_index in its database."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from runner.database import migrate
from runner.registry import find

TABLES = """
create table assets (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null,
    storage_url text,
    mime_type text default 'image/jpeg',
    approved boolean default true,
    deleted boolean default false,
    created_at timestamptz default now()
);
"""

ANN, BEN = (f"{n}1111111-1111-4111-8111-111111111111" for n in (1, 2))
"""Two users."""


def install(url: str) -> None:
    """The application's pictures, and the task."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLES.encode())
    known = [find(name) for name in ("quality_score", "image_signals", "vehicle_images")]
    migrate.upgrade(url, [find("face_index")], {}, known=known)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "update backfill.task set backoff_base = '50 milliseconds', backoff_max = '0.2 seconds'"
        )


class Application:
    """A database with the task."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection: psycopg.Connection[dict[str, Any]] = psycopg.connect(
            url, autocommit=True, row_factory=dict_row, prepare_threshold=None
        )

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def all(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        """The rows of a query."""
        cursor = self.connection.execute(query.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def one(self, query: str, *parameters: Any) -> Any:
        """The only value of a query."""
        (row,) = self.all(query, *parameters)
        return next(iter(row.values()))

    # --- the application ----------------------------------------------------------------------

    def add(self, url: str | None, user: str = ANN, **columns: Any) -> str:
        """A picture of a user; its key."""
        values = {"storage_url": url, "user_id": user, **columns}
        names, places = ", ".join(values), ", ".join(["%s"] * len(values))
        query = f"insert into assets ({names}) values ({places}) returning id::text"
        return str(self.one(query, *values.values()))

    def person(self, name: str, user: str = ANN) -> str:
        """Somebody whom a user knows; their key."""
        query = "insert into person_groups (user_id, name) values (%s, %s) returning id::text"
        return str(self.one(query, user, name))

    def link(self, asset: str, person: str) -> None:
        """Say whom the only face of a picture shows."""
        face = self.one("select id from faces where asset_id::text = %s", asset)
        self.all("select backfill.assign_face(%s, %s)", face, person)

    def shown(self, asset: str) -> list[str | None]:
        """The names of who is linked to a picture's faces, by their place from the left."""
        rows = self.all(
            "select p.name from faces f"
            " left join face_person_links l on l.face_id = f.id and not l.deleted"
            " left join person_groups p on p.id = l.person_group_id"
            " where f.asset_id::text = %s order by (f.bounding_box ->> 'Left')::numeric",
            asset,
        )
        return [row["name"] for row in rows]

    # --- the binding --------------------------------------------------------------------------

    def needs(self, key: str) -> dict[str, Any] | None:
        """The picture's row of the needs view, as JSON, if it needs anything."""
        found = self.all(
            "select to_jsonb(n) as row from backfill.needs_face_index n where key = %s", key
        )
        return found[0]["row"] if found else None

    def apply(self, key: str, value: Any) -> None:
        """Call the apply function with one result."""
        element = {"key": key, "revision": "r", "result": value}
        self.all("select backfill.apply_face_index(%s)", Jsonb([element]))

    def outcomes(self) -> dict[str, int]:
        """How many jobs came to each state."""
        rows = self.all("select state, count(*) as n from backfill.job group by state")
        return {row["state"]: row["n"] for row in rows}

    def checks(self) -> list[str]:
        """What should be true of the results and is not."""
        rows = self.all("select name, detail from backfill.face_index_checks where not ok")
        return [f"{row['name']}: {row['detail']}" for row in rows]
