"""EXIF blocks and files made for tests."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import Image
from PIL.ExifTags import IFD, Base

from tests.pictures.samples import encoded, png_header

FULL: dict[int, Any] = {
    Base.Make: "Fruit",
    Base.Model: "Fruit Phone 12",
    Base.Software: "16.2",
    Base.DateTime: "2024:01:03 00:00:00",
}
FULL_SUB: dict[int, Any] = {
    Base.DateTimeOriginal: "2024:01:02 03:04:05",
    Base.OffsetTimeOriginal: "+05:30",
    Base.UserComment: b"ASCII\0\0\0Screenshot",
}


def exif_block(tags: dict[int, Any], sub: dict[int, Any] | None = None) -> bytes:
    """An EXIF block as Pillow writes it; `sub` goes into the EXIF directory."""
    exif = Image.Exif()
    exif.update(tags)
    if sub:
        exif.get_ifd(IFD.Exif).update(sub)
    return exif.tobytes()


def with_exif(form: str, exif: bytes = b"") -> bytes:
    """A small picture's file with this block, or with none."""
    image = Image.new("RGB", (48, 64), "navy")
    options = {"exif": exif} if exif else {}
    if form == "HEIF":
        from pillow_heif import from_pillow

        file = io.BytesIO()
        from_pillow(image).save(file, **options)
        return file.getvalue()
    return encoded(image, form, **options)


Entry = tuple[int, int, int, bytes | int]
"""Tag, type, count, and four bytes or an offset."""


def raw_block(*entries: Entry, rest: bytes = b"", stated: int | None = None) -> bytes:
    """A little-endian block of one directory with exactly these entries, then `rest`.

    `stated` is the number of entries that it claims to have.
    """
    body = b"".join(
        struct.pack("<HHI", tag, kind, count)
        + (struct.pack("<I", value) if isinstance(value, int) else value.ljust(4, b"\0"))
        for tag, kind, count, value in entries
    )
    count = len(entries) if stated is None else stated
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", count) + body + b"\0\0\0\0" + rest


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of 4 x 4 pixels that are missing, with these chunks behind them."""
    added = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    file = png_header(4, 4)
    return file[:-12] + added + file[-12:]
