"""Writes the faces of `backfill faces review` as a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.cli.common import count
from runner.cli.faces_read import TASK, Found
from runner.cli.storage_progress import telling
from runner.options import settings_of
from runner.pages.faces import MOST_CARDS, page, regions
from runner.pages.faces_crops import Source, crops
from runner.pages.writing import write_page
from runner.registry import find
from runner.units import size


def write(found: Found, given: Mapping[str, str], path: Path) -> str:
    """Write the page; what was written, in a line. Raises `BackfillError`.

    Pictures are downloaded as the last run did, but for what is `given`.
    """
    found = replace(found, faces=found.faces[:MOST_CARDS])
    source = _source({**settings_of(find(TASK), found.last_options), **given})
    with source.client() as client, telling() as tell:
        made = crops(
            client,
            regions(found.faces),
            source.max_pixels,
            lambda done, of: tell(f"{done:,} of {count(of, 'picture')} downloaded"),
        )
    text = page(found.faces, made, made_at=found.source["read_at"], summary=list(_summary(found)))
    written = size(write_page(path, text))
    missing = {one.url for one, crop in made.items() if isinstance(crop, str)}
    words = f", {count(len(missing), 'picture')} not to be had" if missing else ""
    return f"{path}: {count(len(found.faces), 'face')}, {written}{words}"


def _source(settings: Mapping[str, Any]) -> Source:
    return Source(
        base_url=settings["base_url"],
        allow=settings["allow"] or "",
        max_bytes=settings["max_megabytes"] * 1_000_000,
        total_s=settings["download_timeout"],
        max_pixels=settings["max_megapixels"] * 1_000_000,
    )


def _summary(found: Found) -> Iterator[str]:
    """What is in the page and what is not, in sentences."""
    yield f"From database {found.source['database']}."
    if found.user is not None:
        yield f"Of user {found.user}."
    yield f"{count(found.all_faces, 'face')} of {count(found.users, 'user')} to name."
    if len(found.faces) < found.all_faces:
        yield f"Shown are {len(found.faces):,}, user by user."
