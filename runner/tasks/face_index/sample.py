"""What a run is expected to pay for, by a sample of its own pictures."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from runner.contract import Expected, Row, Settings
from runner.errors import RowOutcome, UsageError
from runner.faces import dropped
from runner.faces.local import LocalFaces
from runner.faces.rekognition_calls import NAME, RATE
from runner.faces.rekognition_client import region
from runner.pictures import decode
from runner.tasks import downloads

log = logging.getLogger(__name__)

ASSUMED_FACES = 2.0
"""Faces of a picture where none could be looked at."""

LOOKS_S = 10.0
"""Seconds that are spent on looking at pictures at most."""


def expected(settings: Settings, rows: Sequence[Row]) -> Sequence[Expected]:
    """IndexFaces for each picture, SearchFaces for each face in it. Nothing is paid for."""
    new = [row for row in rows if row["state"] is None]
    begun = [face for row in rows if row["state"] for face in row["faces"] or ()]
    seen = _looked_at(settings, new)
    # without any row a run of such a kind would still be one of new pictures
    new_a_row = len(new) / len(rows) if rows else 1.0
    begun_a_row = sum(not face["searched"] for face in begun) / len(rows) if rows else 0.0
    if seen:
        faces = sum(seen) / len(seen)
        basis = f"{faces:.1f} faces a picture in {len(seen)} of these pictures"
    else:
        faces, basis = ASSUMED_FACES, f"{ASSUMED_FACES:g} faces a picture are assumed"
    where, rate = region(), RATE
    return (
        Expected(NAME, "IndexFaces", new_a_row, where, "one for each picture", rate),
        Expected(
            NAME, "SearchFaces", new_a_row * faces + begun_a_row, where, basis, rate,
            assumed=not seen,
        ),
    )  # fmt: skip


def _looked_at(settings: Settings, rows: Sequence[Row]) -> list[int]:
    """Faces in each picture that could be looked at here; empty without a local engine."""
    if not rows:
        return []
    try:
        local = LocalFaces()
    except UsageError:
        return []
    seen: list[int] = []
    ends = time.monotonic() + LOOKS_S
    with downloads.client(settings) as client:
        for row in rows:
            if time.monotonic() > ends:
                break
            try:
                with client.get(row["url"]) as download:
                    picture = decode(
                        download.file,
                        short_side=local.short_side,
                        max_pixels=downloads.max_pixels(settings),
                    )
            except RowOutcome as error:
                log.debug("not looked at for the estimate: %s", error)
                continue
            seen.append(sum(dropped(face) is None for face in local.find(picture.image)))
    return seen
