"""Payments with pictures that are alike, as image_signals leaves them behind."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import psycopg
from PIL import Image
from psycopg.types.json import Jsonb

from tests.image_signals.payments import sha
from tests.plugins.database import Database

FIRST_DAY = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
Box = tuple[float, float, float, float]


def key(name: str) -> str:
    """The key of the payment that a test calls this."""
    return str(uuid5(NAMESPACE_URL, name))


def thumbnail(shade: int = 128) -> bytes:
    """A small gray WebP of one shade."""
    file = io.BytesIO()
    Image.new("L", (27, 48), shade).save(file, "WEBP")
    return file.getvalue()


class Found:
    """Adds payments, pictures and pairs of them to a database."""

    def __init__(self, database: Database) -> None:
        self.connection: psycopg.Connection[Any] = database.connect(autocommit=True)

    def picture(
        self, name: str, data: bytes | None = None, size: tuple[int, int] = (270, 480)
    ) -> None:
        """A picture that is kept; `size` is the original's."""
        self.connection.execute(
            "insert into backfill.image_picture"
            " (generation, sha256, width, height, hashes, coarse, thumbnail)"
            " values (1, decode(%s, 'hex'), %s, %s, '{}', '', %s)",
            [sha(name), *size, data or thumbnail()],
        )

    def payment(
        self,
        name: str,
        *,
        day: float | None,
        picture: str,
        label: str | None = None,
        url: str = "https://files.test/a.png?token=secret",
    ) -> str:
        """A payment submitted on this day, counted from the first, or at some time; its key."""
        at = None if day is None else FIRST_DAY + timedelta(days=day)
        self.connection.execute(
            "insert into public.payment_submissions values (%s, %s, %s, %s)",
            [key(name), label, url, at],
        )
        self.connection.execute(
            "insert into backfill.image_subject"
            " (key, native_key, generation, seen_at, sha256, algorithm, settled_at, alike)"
            " values (%s, %s, 1, coalesce(%s::timestamptz, 'infinity'), decode(%s, 'hex'), 'phash',"
            " now(), true)",
            [key(name), key(name), at, sha(picture)],
        )
        self.connection.execute(
            "insert into backfill.job (task, key, state, task_version, finished_at)"
            " values ('image_signals', %s, 'ok', 1, now())",
            [key(name)],
        )
        return key(name)

    def pair(
        self,
        first: str,
        second: str,
        *,
        verdict: str = "copy",
        percentage: float = 99.1,
        sentences: tuple[str, ...] = ("99.1 % of what both show is the same",),
        first_boxes: tuple[Box, ...] = (),
        second_boxes: tuple[Box, ...] = (),
    ) -> None:
        """Two pictures that are alike."""
        seen = {"sentences": sentences, "regions": second_boxes, "first_regions": first_boxes}
        turned = {"sentences": sentences, "regions": first_boxes, "first_regions": second_boxes}
        one, other = sorted((sha(first), sha(second)))
        found = (seen, turned) if one == sha(first) else (turned, seen)
        self.connection.execute(
            "insert into backfill.image_pair"
            " (generation, one, other, verdict, percentage, bits, found)"
            " values (1, decode(%s, 'hex'), decode(%s, 'hex'), %s, %s, 2, %s)",
            [one, other, verdict, percentage,
             Jsonb({"one_first": found[0], "other_first": found[1]})],
        )  # fmt: skip
