"""Pictures by number: each another file, of a few that are drawn."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from functools import cache

from PIL import Image

from runner.demo.drawn import drawing, image

DRAWN = 24
"""Drawings that all pictures are made from."""

LARGE_EVERY = 500
"""One picture of so many has 12 megapixels."""

_PNG_END = 12
"""Bytes of the chunk IEND, which ends every PNG file (PNG, 11.2.5)."""


def content(number: int) -> bytes:
    """The file with this number, JPEG or PNG; the number is in a comment within it."""
    mark = b"picture %d" % number
    if number % LARGE_EVERY == LARGE_EVERY - 1:
        return _with_jpeg_comment(_large(), mark)
    base = number % DRAWN
    if base % 8 == 7:
        return _with_png_text(_png(base), mark)
    return _with_jpeg_comment(_jpeg(base), mark)


def digest(number: int) -> str:
    """SHA-256 of the file with this number, in lower-case hex."""
    return hashlib.sha256(content(number)).hexdigest()


def giant_png() -> bytes:
    """A PNG file that says it has 60,000 x 60,000 pixels, and has none."""
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", head)
        + _chunk(b"IDAT", zlib.compress(bytes(200_000)))
        + _chunk(b"IEND", b"")
    )


def giant_jpeg() -> bytes:
    """A JPEG file whose frame header says 65,500 x 65,500 pixels."""
    data = bytearray(_jpeg(0))
    frame = data.index(b"\xff\xc0\x00\x11")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 65_500, 65_500)
    return bytes(data)


@cache
def _jpeg(base: int) -> bytes:
    exif = Image.Exif()
    if base % 3 == 0:
        # DateTimeOriginal and OffsetTimeOriginal, in the EXIF directory (EXIF 2.32, 4.6.5)
        exif.get_ifd(0x8769).update({0x9003: f"2021:07:{base + 1:02d} 10:20:30", 0x9011: "+02:00"})
        exif[0x010F] = "Drawn"
    return _saved(_small(base), "JPEG", exif=exif)


@cache
def _png(base: int) -> bytes:
    return _saved(_small(base).quantize(64), "PNG")


@cache
def _large() -> bytes:
    return _saved(image(drawing(0)).resize((4000, 3000)), "JPEG", quality=85)


def _small(base: int) -> Image.Image:
    picture = image(drawing(base))
    picture.thumbnail((800, 800))
    return picture


def _saved(picture: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def _with_jpeg_comment(data: bytes, text: bytes) -> bytes:
    """A segment COM before the frame's tables (ITU-T T.81, B.2.4.5)."""
    at = data.index(b"\xff\xdb")
    return data[:at] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + data[at:]


def _with_png_text(data: bytes, text: bytes) -> bytes:
    return data[:-_PNG_END] + _chunk(b"tEXt", b"Comment\0" + text) + data[-_PNG_END:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
