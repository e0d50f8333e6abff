"""Writes what `backfill duplicates` found as a page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runner.cli.common import count
from runner.cli.duplicates_read import Found, thumbnails
from runner.pages.duplicates import (
    Picture,
    Section,
    group_sections,
    page,
    pairs_section,
    wanted,
)
from runner.pages.writing import write_page

if TYPE_CHECKING:
    from runner.database.session import Connection


def write(connection: Connection, found: Found, path: Path) -> str:
    """Write the page; what was written, in a line. Raises `BackfillError`."""
    sections = _sections(found)
    pictures = {
        (row["generation"], row["picture"]): Picture(
            row["width"], row["height"], bytes(row["thumbnail"])
        )
        for row in thumbnails(connection, wanted(sections))
    }
    text = page(
        sections, pictures, made_at=found.source["read_at"], summary=list(_summary(found, sections))
    )
    size = write_page(path, text)
    shown = sum(len(section.pairs) for section in sections)
    return f"{path}: {count(shown, 'pair')}, {count(len(pictures), 'picture')}, {size / 1e6:.1f} MB"


def _sections(found: Found) -> list[Section]:
    if not found.wanted.grouped:
        return pairs_section(found.pairs)
    pairs = {(pair["payment"], pair["duplicate_of"]): pair for pair in found.pairs}
    return group_sections(
        [pairs[member.pair] for member in group.members if member.pair is not None]
        for group in found.groups
    )


def _summary(found: Found, sections: list[Section]) -> Iterator[str]:
    """What is in the page and what is not, in sentences."""
    counts, asked = found.counts, found.wanted
    yield f"From database {found.source['database']}."
    if asked.payment is not None:
        yield f"About payment {asked.payment}."
    if asked.since is not None:
        yield f"Submitted since {asked.since:%Y-%m-%d %H:%M}."
    pairs, groups = count(counts["pairs"], "pair"), count(counts["groups"], "group")
    yield f"{pairs} in {groups} of payments."
    shown = len(sections) if asked.grouped else sum(len(section.pairs) for section in sections)
    if shown < counts["groups" if asked.grouped else "pairs"]:
        yield f"Shown are the newest {count(shown, 'group' if asked.grouped else 'pair')}."
    if counts["review"] and not asked.review:
        yield f"Not among them: {count(counts['review'], 'pair')} that only a person can judge."
    if counts["not_duplicate"] and not asked.marked:
        yield f"Nor {count(counts['not_duplicate'], 'pair')} marked as no duplicates."
