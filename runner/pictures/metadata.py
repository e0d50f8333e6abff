"""Where each format keeps metadata, found without decoding pixels."""

from __future__ import annotations

import io
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

from PIL.PngImagePlugin import PngStream

from runner.pictures.formats import FORMATS

MOST_CHUNKS = 100_000
"""A PNG's pieces that are looked at; encoders write 8 to 64 kB a piece, so this is 0.8 GB."""

_PNG_METADATA = frozenset({b"eXIf", b"tEXt", b"zTXt", b"iTXt"})
_PNG_HEADER_BYTES = 8
_CHECKSUM_BYTES = 4

_PROGRAM_KEYS = ("Software", "Creator")
_COMMENT_KEYS = ("comment", "Comment", "Description", "Title")

_MADE_WITH = re.compile(r"created (?:with|using) (.+)", re.IGNORECASE)
"""GIMP writes no Software but a comment, `Created with GIMP`, into every format."""

_OLD_PROFILE = "Raw profile type exif"
"""ImageMagick's way into PNG from before the chunk eXIf: a line `exif`, a length, and hex."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """The parts of a file that hold metadata.

    `exif` is at the beginning of a TIFF header, None where the file has none; `xmp` is XML;
    `programs` and `comments` are texts of the format's own kind, as they are stored.
    """

    exif: IO[bytes] | None = None
    xmp: bytes = b""
    programs: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def read_blocks(form: str, file: IO[bytes]) -> Blocks:
    """The metadata of a file of this format (a name of `FORMATS`)."""
    file.seek(0)
    if form == "TIFF":
        return Blocks(exif=file)
    problems: tuple[str, ...] = ()
    info: Mapping[Any, Any] = {}
    stream = PngStream(file) if form == "PNG" else None
    try:
        if stream is None:
            info = FORMATS[form].open(file).info
        else:
            info = stream.im_info  # keeps what was read before any damage
            _read_png(stream, file)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - hostile bytes can break a parser anywhere
        traceback.clear_frames(error.__traceback__)
        problems = ("the end of its metadata, which is damaged",)
    return _from_info(info, problems)


def _read_png(stream: PngStream, file: IO[bytes]) -> None:
    """Read the metadata of the whole file; Pillow itself reads what is behind the pixels last."""
    file.seek(_PNG_HEADER_BYTES)
    for _ in range(MOST_CHUNKS):
        kind, position, length = stream.read()
        if kind == b"IEND":
            return
        if kind in _PNG_METADATA:
            stream.call(kind, position, length)
        file.seek(position + length + _CHECKSUM_BYTES)
    raise ValueError("too many chunks")


def _from_info(info: Mapping[Any, Any], problems: tuple[str, ...]) -> Blocks:
    comments = _texts(info, _COMMENT_KEYS)
    made_with = tuple(found[1] for text in comments if (found := _MADE_WITH.match(text)))
    exif, xmp = info.get("exif") or _old_profile(info), info.get("xmp")
    return Blocks(
        exif=_tiff(exif) if isinstance(exif, bytes) and exif else None,
        xmp=xmp if isinstance(xmp, bytes) else b"",
        programs=_texts(info, _PROGRAM_KEYS) + made_with,
        comments=comments,
        problems=problems,
    )


def _tiff(exif: bytes) -> IO[bytes]:
    return io.BytesIO(re.sub(rb"\A(?:Exif\0\0)+", b"", exif))


def _texts(info: Mapping[Any, Any], keys: tuple[str, ...]) -> tuple[str, ...]:
    values = (info.get(key) for key in keys)
    return tuple(
        value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        for value in values
        if isinstance(value, (bytes, str))
    )


def _old_profile(info: Mapping[Any, Any]) -> bytes | None:
    text = info.get(_OLD_PROFILE)
    if not isinstance(text, str):
        return None
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return b"?"  # there is a profile, though a damaged one
