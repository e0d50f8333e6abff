"""What a picture's file says about its origin: EXIF, and what PNG text and XMP add to it.

Nothing here decodes pixels, and nothing that was said about a place (GPS) is read.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import IO

from PIL.ExifTags import IFD, Base

from runner.pictures.exif_dates import Dated, first_date
from runner.pictures.exif_tags import Tags, cleaned, read_tags
from runner.pictures.metadata import Blocks, read_blocks
from runner.pictures.sniff import HEAD_BYTES, sniff
from runner.pictures.xmp import Xmp, read_xmp

CARRIERS = frozenset({"JPEG", "HEIF"})
"""Formats in which cameras and phones write EXIF: a file of these without any has lost it, or its
program never wrote it. TIFF is not among them, since its own directory can't be taken away."""

_DATES = (
    (Base.DateTimeOriginal, Base.OffsetTimeOriginal, True),
    (Base.DateTimeDigitized, Base.OffsetTimeDigitized, True),
    (Base.DateTime, Base.OffsetTime, False),
)
"""Date, its offset from UTC (always in the EXIF directory), whether the date is there as well."""

_DESCRIPTIVE = frozenset(
    {Base.ImageDescription, Base.Make, Base.Model, Base.Software, Base.DateTime, Base.Artist,
     Base.Copyright, Base.ProcessingSoftware, IFD.Exif}
)  # fmt: skip
"""What makes a TIFF's directory more than a description of its pixels."""


@dataclass(frozen=True, slots=True)
class Exif:
    """What the file says; text is one line of at most 200 printable characters.

    `available`: there is EXIF data other than the orientation, which decoders add by themselves.
    `created`: ISO 8601 to the second, with an offset from UTC where the file gives one.
    `software`: what EXIF says; `programs` are all that name themselves anywhere, that one first.
    `comments`: descriptions and comments, for marks such as `Screenshot`.
    `stripped`: a format that cameras and phones put EXIF into (`CARRIERS`) without any metadata.
    `problems`: what could not be read, as noun phrases for people.
    """

    available: bool = False
    created: str | None = None
    software: str | None = None
    make: str | None = None
    model: str | None = None
    programs: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()
    stripped: bool = False
    problems: tuple[str, ...] = ()


def read(data: bytes | IO[bytes]) -> Exif:
    """Read a file's metadata; what is damaged or is no picture shows in `problems` only.

    `data`, if a file, is read from its beginning and not closed. Takes at most a few times the
    file's size of memory. Raises `MemoryError`, and `OSError` where the file can't be accessed.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    file.seek(0)
    form = sniff(file.read(HEAD_BYTES))
    if form is None:
        return Exif(problems=("a format that can't be read here",))
    blocks = read_blocks(form, file)
    tags = read_tags(blocks.exif)
    xmp = read_xmp(blocks.xmp)
    dated = _created(tags)
    software = tags.main.text(Base.Software)
    programs = _distinct(
        software, tags.main.text(Base.ProcessingSoftware), *blocks.programs, *xmp.programs
    )
    available = _available(form, tags)
    return Exif(
        available=available,
        created=dated.text,
        software=software,
        make=tags.main.text(Base.Make),
        model=tags.main.text(Base.Model),
        programs=programs,
        comments=_comments(tags, blocks, xmp),
        stripped=form in CARRIERS and not (available or tags.problems or blocks.xmp or programs),
        problems=(*blocks.problems, *tags.problems, *dated.problems),
    )


def _available(form: str, tags: Tags) -> bool:
    present = tags.main.present
    return bool(present & _DESCRIPTIVE if form == "TIFF" else present - {Base.Orientation})


def _created(tags: Tags) -> Dated:
    return first_date(
        ((tags.sub if in_sub else tags.main).text(date), tags.sub.text(offset))
        for date, offset, in_sub in _DATES
    )


def _comments(tags: Tags, blocks: Blocks, xmp: Xmp) -> tuple[str, ...]:
    return _distinct(
        tags.main.text(Base.ImageDescription), tags.comment, *blocks.comments, *xmp.comments
    )


def _distinct(*texts: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in map(cleaned, texts) if text))
