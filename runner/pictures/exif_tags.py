"""The few texts that are wanted of an EXIF block, out of hostile bytes.

Pillow's reader copies every value, wanted or not, and unpacks numbers into many times their bytes.
This one reads two directories' entries and, of the wanted texts, their first bytes.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO

from PIL.ExifTags import IFD, Base

MOST_CHARACTERS = 200
MOST_TEXT_BYTES = 1000

_BYTE, _ASCII, _LONG, _UNDEFINED, _IFD, _LONG8, _IFD8, _UTF8 = 1, 2, 4, 7, 13, 16, 18, 129
"""Types of values: TIFF 6.0, its supplements 1 and BigTIFF, EXIF 3.0."""

_TEXT = frozenset({_BYTE, _ASCII, _UNDEFINED, _UTF8})
"""The standard asks for ASCII or UTF-8; writers that mean text have used the other two as well."""

_POINTERS = {_LONG: "I", _IFD: "I", _LONG8: "Q", _IFD8: "Q"}

_WANTED = frozenset(
    {Base.ProcessingSoftware, Base.ImageDescription, Base.Make, Base.Model, Base.Software,
     Base.DateTime, Base.DateTimeOriginal, Base.DateTimeDigitized, Base.OffsetTime,
     Base.OffsetTimeOriginal, Base.OffsetTimeDigitized, Base.UserComment}
)  # fmt: skip

_CHARSET_BYTES = 8
"""UserComment begins with the name of its character set (EXIF 2.32, tag 0x9286)."""

_DAMAGED = "its EXIF data, which is damaged"
_PARTLY_DAMAGED = "a part of its EXIF data, which is damaged"

_PLAIN, _BIG = 42, 43
"""The number in a TIFF header; with the second one offsets and counts have 64 bits."""


@dataclass(frozen=True, slots=True)
class Directory:
    """The numbers of all tags that a directory has, its wanted texts as bytes, and whether some
    of it could not be read. `exif` is where it says that the EXIF directory is.
    """

    present: frozenset[int] = frozenset()
    texts: Mapping[int, bytes] = field(default_factory=dict)
    exif: int | None = None
    damaged: bool = False

    def text(self, tag: int) -> str | None:
        """A wanted text, cleaned; None where there is none."""
        return cleaned(self.texts.get(tag, b"").decode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class Tags:
    """An EXIF block's first directory and its EXIF directory; both may be empty."""

    main: Directory = Directory()
    sub: Directory = Directory()
    problems: tuple[str, ...] = ()

    @property
    def comment(self) -> str | None:
        """UserComment, cleaned; what is not in Latin letters may come out as nonsense."""
        text = self.sub.texts.get(Base.UserComment, b"")[_CHARSET_BYTES:]
        return cleaned(text.decode("utf-8", "replace"))


def read_tags(file: IO[bytes] | None) -> Tags:
    """Read the block whose TIFF header is at the beginning of `file`; None: there is no block."""
    if file is None:
        return Tags()
    file.seek(0)
    header = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(header[:2])
    big = _BIG in header[2:4]
    if order is None or len(header) < (16 if big else 8) or not (big or _PLAIN in header[2:4]):
        return Tags(problems=(_DAMAGED,))
    tiff = _Tiff(file, order, big)
    main = tiff.directory(tiff.number(header[8:] if big else header[4:8]))
    if main.damaged and not main.present:
        return Tags(problems=(_DAMAGED,))
    sub = Directory() if main.exif is None else tiff.directory(main.exif)
    return Tags(main, sub, (_PARTLY_DAMAGED,) if main.damaged or sub.damaged else ())


def cleaned(text: str | None) -> str | None:
    """One line of printable characters without space around it, or None if nothing is left."""
    if text is None:
        return None
    printable = "".join(c if c.isprintable() else " " for c in text.replace("\0", ""))
    return " ".join(printable.split())[:MOST_CHARACTERS].rstrip() or None


class _Tiff:
    """Directories of a TIFF structure (TIFF 6.0, section 2; BigTIFF)."""

    def __init__(self, file: IO[bytes], order: str, big: bool) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)
        self._offset = f"{order}{'Q' if big else 'I'}"
        self._count = f"{order}{'Q' if big else 'H'}"
        self._entry = f"{order}HH{'Q8s' if big else 'I4s'}"
        self._order = order

    def number(self, data: bytes) -> int:
        """An offset as it is stored."""
        (value,) = struct.unpack(self._offset, data)
        return int(value)

    def directory(self, offset: int) -> Directory:
        """Read the directory there; a tag's first entry counts."""
        size = struct.calcsize(self._entry)
        stored = self._read(offset, struct.calcsize(self._count))
        if stored is None:
            return Directory(damaged=True)
        # A plain TIFF can't have more entries; a BigTIFF could, and no camera's does.
        stated = min(struct.unpack(self._count, stored)[0], 0xFFFF)
        data = self._file.read(stated * size)
        whole = len(data) // size
        return self._directory(data[: whole * size], damaged=whole < stated)

    def _directory(self, data: bytes, damaged: bool) -> Directory:
        present: set[int] = set()
        texts: dict[int, bytes] = {}
        exif = None
        for tag, kind, count, value in struct.iter_unpack(self._entry, data):
            if tag in _WANTED and tag not in present:
                text = self._text(kind, count, value)
                damaged = damaged or text is None
                texts[tag] = text or b""
            elif tag == IFD.Exif and tag not in present:
                exif = self._pointer(kind, value)
                damaged = damaged or exif is None
            present.add(tag)
        return Directory(frozenset(present), texts, exif, damaged)

    def _text(self, kind: int, count: int, value: bytes) -> bytes | None:
        if kind not in _TEXT:
            return None
        if count <= len(value):
            return value[:count]
        offset = self.number(value)
        if offset + count > self._size:
            return None
        return self._read(offset, min(count, MOST_TEXT_BYTES))

    def _pointer(self, kind: int, value: bytes) -> int | None:
        form = self._order + _POINTERS.get(kind, "x")
        if kind not in _POINTERS or struct.calcsize(form) > len(value):
            return None
        return int(struct.unpack_from(form, value)[0])

    def _read(self, offset: int, size: int) -> bytes | None:
        """None where the file does not reach that far."""
        if offset + size > self._size:
            return None
        self._file.seek(offset)
        return self._file.read(size)
