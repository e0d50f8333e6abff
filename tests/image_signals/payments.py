"""An application with payments, and the steps of image_signals done by hand."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from runner.database import migrate
from runner.registry import find

TABLE = """
create table payment_submissions (
    id {type} primary key {default},
    flat_id text,
    screenshot_url text,
    created_at timestamptz
)
"""


def install(url: str) -> None:
    """The task on payments with numbers for keys."""
    _install(url, "bigint", "")


def install_with_uuids(url: str) -> None:
    """The task on payments with UUIDs for keys."""
    _install(url, "uuid", "default gen_random_uuid()")


def _install(url: str, kind: str, default: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLE.format(type=kind, default=default).encode())
    migrate.upgrade(url, [find("image_signals")], {}, known=[find("quality_score")])


def sha(picture: str) -> str:
    """SHA-256 of the file of a picture that tests call by a name."""
    return hashlib.sha256(picture.encode()).hexdigest()


class Payments:
    """A database with the task; payments are numbers, pictures are names."""

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

    def one(self, query: str, *parameters: Any) -> dict[str, Any]:
        """The only row of a query."""
        (row,) = self.all(query, *parameters)
        return row

    def add(self, *keys: int, url: str | None = None, minutes: int | None = None) -> None:
        """Payments, each so many minutes (by default as many as its key) after the first."""
        for key in keys:
            self.all(
                "insert into payment_submissions values (%s, %s, %s,"
                " timestamptz '2024-01-01 UTC' + make_interval(mins => %s))",
                key, f"F-{key}", f"/{key}.png" if url is None else url,
                key if minutes is None else minutes,
            )  # fmt: skip

    def needs(self, key: object) -> dict[str, Any] | None:
        """The payment's row of the needs view, if it needs anything."""
        found = self.all(
            "select revision, step, comparison from backfill.needs_image_signals where key = %s",
            str(key),
        )
        return found[0] if found else None

    def step(self, key: object) -> str | None:
        """The payment's next step."""
        row = self.needs(key)
        return None if row is None else row["step"] or row["comparison"]["step"]

    def apply(self, *results: Mapping[str, Any], revision: str | None = None) -> None:
        """Call the apply function with these results, each with its key."""
        rows = [
            {
                "key": str(result["key"]),
                "revision": revision or (self.needs(result["key"]) or {}).get("revision"),
                "result": {k: v for k, v in result.items() if k != "key"},
            }
            for result in results
        ]
        self.all("select backfill.apply_image_signals(%s)", Jsonb(rows))

    def analyse(
        self, key: object, picture: str, hashes: Sequence[int | None] = (), generation: int = 1
    ) -> None:
        """Do the first step: the payment's file is this picture, with these hashes."""
        first = hashes[0] if hashes else None
        self.apply(
            {
                "key": key, "step": "analysis", "generation": generation, "url": f"/{key}.png",
                "sha256": sha(picture), "algorithm": f"phash64 v{generation}",
                "hash": None if first is None else f"{first & (2**64 - 1):016x}",
                "picture": {
                    "width": 100, "height": 200, "hashes": list(hashes),
                    "coarse": base64.b64encode(picture.encode()).decode(),
                    "thumbnail": base64.b64encode(b"thumbnail of " + picture.encode()).decode(),
                },
                "signals": {"text_density_score": 40, "exif_available": False},
            }
        )  # fmt: skip

    def compare(
        self, key: object, *, like: Mapping[str, str] | None = None, generation: int = 1
    ) -> None:
        """Do the last step: the payment's picture is like these, with these verdicts."""
        row = self.needs(key)
        assert row is not None
        comparison = row["comparison"]
        if comparison["step"] == "settle":
            self.apply({"key": key, "step": "comparison", "pairs": []})
            return
        assert comparison["step"] == "compare"
        there = {c["sha256"]: c["bits"] for c in comparison["candidates"]}
        told = {"sentences": ["they are alike"], "regions": [[0, 0, 0.5, 0.25]],
                "first_regions": []}  # fmt: skip
        pairs = [
            {"sha256": sha(other), "bits": there[sha(other)], "verdict": verdict,
             "percentage": 98.5, "my_first": told, "their_first": told}
            for other, verdict in (like or {}).items()
            if sha(other) in there
        ]  # fmt: skip
        self.apply(
            {
                "key": key, "step": "comparison", "generation": generation, "pairs": pairs,
                "sha256": comparison["sha256"], "crowded": comparison["crowded"],
                "candidate_count": comparison["candidate_count"],
            }
        )  # fmt: skip

    def rank(self, key: object, likeliest: Sequence[str]) -> dict[str, Any]:
        """Do a step of ranking, in which these pictures come out best; what the step was given."""
        row = self.needs(key)
        assert row is not None
        comparison: dict[str, Any] = row["comparison"]
        assert comparison["step"] == "rank"
        told = ("sha256", "last", "ranked_bits", "ranked_sha256", "candidate_count", "crowded")
        self.apply(
            {
                "key": key, "step": "shortlist", "generation": 1,
                "shortlist": [p for p in comparison["pictures"] if p in likeliest],
                **{name: comparison[name] for name in told},
            }
        )  # fmt: skip
        return comparison

    def both(
        self, key: object, picture: str, hashes: Sequence[int | None] = (), **like: str
    ) -> None:
        """Analyse and compare."""
        self.analyse(key, picture, hashes)
        self.compare(key, like=like)

    def signals(self, key: object) -> dict[str, Any]:
        """The payment's row of signals."""
        return self.one(
            "select * from payment_image_signals where payment_submission_id::text = %s", str(key)
        )

    def duplicate_of(self) -> dict[str, str]:
        """Each duplicate and the earlier payment that it points to."""
        rows = self.all("select * from payment_image_signals where duplicate_detected")
        return {str(r["payment_submission_id"]): str(r["similar_to_payment_id"]) for r in rows}

    def uploads(self) -> dict[str, tuple[int, Any]]:
        """The application's hash index: how often each hash was uploaded, and first by whom."""
        rows = self.all(
            "select * from image_perceptual_hash_index where algorithm like 'phash64%%'"
        )
        return {r["hash"]: (r["upload_count"], r["first_payment_id"]) for r in rows}

    def checks(self) -> list[str]:
        """Sanity checks that fail."""
        return [r["name"] for r in self.all("select * from backfill.image_signals_checks")
                if not r["ok"]]  # fmt: skip
