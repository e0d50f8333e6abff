"""An application with vehicles, and the steps of vehicle_images done by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from PIL import Image
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from runner.contract import Compute, Result
from runner.errors import NothingFound, Permanent
from tests.pictures.samples import encoded

HOST = "https://pictures.test"


def sha(name: str) -> str:
    """SHA-256 of the file of a picture that tests call by a name."""
    return hashlib.sha256(name.encode()).hexdigest()


def jpeg(number: int, **options: Any) -> bytes:
    """A small picture's file; another number is another file."""
    # its colour alone would be rounded off
    comment = f"{number:06}".encode()
    return encoded(Image.new("RGB", (16, 12), "navy"), "JPEG", comment=comment, **options)


def given(position: int) -> str:
    """A URL."""
    return f"{HOST}/{position}.jpg"


def outcome(position: int, state: str = "stored", file: str | None = None, **more: Any) -> Any:
    """What became of the URL at this place; `file` names the picture that was stored."""
    reason = None if state in ("stored", "pending") else "http_404"
    found = {"position": position, "url": given(position), "state": state, "attempts": 0,
             "host": "pictures.test", "error_class": reason}  # fmt: skip
    if state == "stored":
        found["file_hash"] = sha(file or f"file {position}")
    return found | more


def known(position: int) -> dict[str, Any]:
    """An outcome of an earlier step."""
    return {"position": position, "url": given(position)}


def picture(position: int, file: str | None = None, **more: Any) -> dict[str, Any]:
    """A row of a picture that was stored."""
    digest = sha(file or f"file {position}")
    path = f"{digest[:2]}/{digest[2:4]}/{digest}.jpg"
    return {
        "position": position, "source_url": given(position), "image_url": path,
        "storage_path": path, "file_hash": digest, "file_size": 1000, "mime_type": "image/jpeg",
        "filename": f"{position}.jpg", "taken_at": None, "exif_data": None, **more,
    }  # fmt: skip


def objects(storage: Path) -> list[str]:
    """Paths of what is stored in a folder."""
    return sorted(str(path.relative_to(storage)) for path in storage.rglob("*.*") if path.is_file())


class Vehicles:
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

    def add(self, urls: object, **columns: Any) -> str:
        """A vehicle that names these URLs; its key."""
        metadata = {"image_urls": urls, "source": "listing"}
        values = {"origin_metadata": Jsonb(metadata), **columns}
        names, places = ", ".join(values), ", ".join(["%s"] * len(values))
        query = f"insert into vehicles ({names}) values ({places}) returning id::text"
        return str(self.one(query, *values.values()))

    def named(self, number: int) -> str:
        """A vehicle with so many URLs; its key."""
        return self.add([given(position) for position in range(number)])

    def change(self, key: str, urls: object) -> None:
        """Let the vehicle name other URLs."""
        self.all(
            "update vehicles set origin_metadata ="
            " jsonb_set(origin_metadata, '{image_urls}', %s) where id::text = %s",
            Jsonb(urls), key,
        )  # fmt: skip

    def clear(self, key: str) -> None:
        """Take the mark away."""
        self.all(
            "update vehicles set origin_metadata = origin_metadata - 'images_backfilled'"
            " where id::text = %s",
            key,
        )

    def marks(self, key: str) -> dict[str, Any]:
        """What the task wrote into the vehicle's metadata; the name's beginning is left out."""
        found = self.one("select origin_metadata from vehicles where id::text = %s", key)
        beginning = "images_backfilled"
        return {
            name.removeprefix(beginning).removeprefix("_"): value
            for name, value in (found or {}).items()
            if name.startswith(beginning)
        }

    def primary(self, key: str) -> str | None:
        """The vehicle's first picture, by its own column."""
        found = self.one("select primary_image_url from vehicles where id::text = %s", key)
        return None if found is None else str(found)

    def pictures(self, key: str) -> list[dict[str, Any]]:
        """The vehicle's rows of pictures, the first first."""
        return self.all(
            "select * from vehicle_images where vehicle_id::text = %s order by position", key
        )

    # --- the binding --------------------------------------------------------------------------

    def needs(self, key: str) -> dict[str, Any] | None:
        """The vehicle's row of the needs view, as JSON, if it needs anything."""
        found = self.all(
            "select to_jsonb(n) as row from backfill.needs_vehicle_images n where key = %s", key
        )
        return found[0]["row"] if found else None

    def states(self, key: str) -> dict[int, str]:
        """What became of the vehicle's URLs, by place."""
        rows = self.all(
            "select position, outcome from backfill.vehicle_urls where key = %s order by position",
            key,
        )
        return {row["position"]: row["outcome"] for row in rows}

    def apply(
        self,
        key: str,
        *outcomes: Any,
        pictures: tuple[Any, ...] = (),
        done: bool = False,
        error: str | None = None,
        revision: str | None = None,
    ) -> None:
        """Apply a step of one vehicle, at the revision of now unless another is given."""
        value = {"outcomes": outcomes, "pictures": pictures, "done": done, "error": error}
        self.apply_all(self.result(key, value, revision))

    def result(
        self, key: str, value: Mapping[str, Any], revision: str | None = None
    ) -> dict[str, Any]:
        """An element for the apply function."""
        revision = revision or (self.needs(key) or {}).get("revision")
        return {"key": key, "revision": revision, "result": value}

    def apply_all(self, *results: Mapping[str, Any]) -> None:
        """Call the apply function."""
        self.all("select backfill.apply_vehicle_images(%s)", Jsonb(list(results)))

    def fail(self, key: str, message: str = "it can't be had") -> None:
        """Tell of a vehicle that failed for good."""
        row = {"key": key, "revision": "r", "error_class": "c", "error_message": message}
        self.all("select backfill.fail_vehicle_images(%s)", Jsonb([row]))

    def store(self, key: str, *positions: int) -> None:
        """A whole vehicle in one step: each URL has its own picture."""
        self.apply(
            key,
            *(outcome(position) for position in positions),
            pictures=tuple(picture(position) for position in positions),
            done=True,
        )

    def step(self, key: str, compute: Compute) -> Result | NothingFound | Permanent:
        """Compute and apply the vehicle's next step as a process does; what came of it."""
        row = self.needs(key)
        assert row is not None
        try:
            found: Any = compute(row)
        except (NothingFound, Permanent) as ending:
            found = ending
        if isinstance(found, Permanent):
            self.fail(key, str(found))
            return found
        value = found.value if isinstance(found, Result) else found.result
        # a value has to survive JSON as the database takes it
        value = json.loads(json.dumps(value, allow_nan=False))
        self.apply_all({"key": key, "revision": row["revision"], "result": value})
        return found  # type: ignore[no-any-return]

    def done(self) -> int:
        """Vehicles that are marked."""
        return int(self.one("select backfilled from backfill.vehicle_images_coverage"))

    def paths(self) -> list[str]:
        """Paths that rows of pictures refer to."""
        rows = self.all("select storage_path from vehicle_images order by 1")
        return [row["storage_path"] for row in rows]

    def checks(self) -> list[str]:
        """Sanity checks that fail."""
        return [
            row["name"]
            for row in self.all("select * from backfill.vehicle_images_checks")
            if not row["ok"]
        ]
