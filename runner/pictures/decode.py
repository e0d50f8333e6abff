"""Bytes of unknown origin to a small RGB picture, in bounded memory, or a clear refusal."""

from __future__ import annotations

import io
import math
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from PIL import ExifTags, Image, ImageFile

from runner.errors import Permanent
from runner.pictures.formats import FORMATS, Format
from runner.pictures.memory import MEGABYTE, Allowance
from runner.pictures.modes import to_rgb
from runner.pictures.sniff import HEAD_BYTES, describe, sniff

DEFAULT_MAX_PIXELS = 100_000_000
DEFAULT_SHORT_SIDE = 512
MOST_KEPT_PIXELS = 4_000_000
"""A picture much longer than wide is reduced further, though its short side falls below."""

_memory = Allowance(600 * MEGABYTE)

_SIDEWAYS = range(5, 9)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How to turn pixels upright, by EXIF orientation (EXIF 2.32, tag 0x0112)."""

# Odd metadata of somebody's picture is no news to whoever runs this, and Pillow's own warning
# about many pixels is superseded by `max_pixels`.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture.

    `image` is upright 8-bit RGB and usually smaller than the original by `scale` (0..1];
    `width` and `height` are those of the original, in pixels, upright; `mode` is Pillow's name
    for what the file holds; of an animation, `image` is the first frame.
    """

    image: Image.Image
    width: int
    height: int
    format: str
    mode: str
    scale: float
    animated: bool


def decode(
    data: bytes | IO[bytes],
    *,
    short_side: int = DEFAULT_SHORT_SIDE,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Picture:
    """Decode once, at the smallest whole fraction whose short side has `short_side` pixels.

    Raises `Permanent` with the code `empty_picture`, `not_a_picture`, `too_many_pixels`,
    `truncated_picture` or `broken_picture`. Blocks while other threads use the memory that
    decoding may take. `data`, if a file, is read from its beginning and not closed.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    form, size = _recognise(file)
    _check_whole(form, file, size)
    with _codec_errors(form, size, max_pixels):
        image = form.open(file)
    full = image.size
    _check_pixels(form, *full, max_pixels)
    if form.scales:
        image.draft(None, (short_side, short_side))
    with _memory.take(form.memory(image, *full)):
        try:
            with _codec_errors(form, size, max_pixels):
                image.load()
            if not form.scales:
                full = image.size  # TIFF turns itself while loading, HEIF may correct its header
            reduced = to_rgb(image, _factor(*image.size, short_side))
            return _picture(form, image, reduced, full)
        finally:
            del image  # its pixels have to be gone before their memory is handed on


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a picture's file says of itself: its format, and its size in pixels as stored."""

    format: str
    width: int
    height: int


def inspect(data: bytes | IO[bytes], *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Inspected:
    """Recognise a picture and read its header, without decoding a pixel.

    Raises as `decode` does; `broken_picture` only where the header is.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    form, size = _recognise(file)
    _check_whole(form, file, size)
    with _codec_errors(form, size, max_pixels), form.open(file) as image:
        width, height = image.size
    _check_pixels(form, width, height, max_pixels)
    return Inspected(form.name, width, height)


def _picture(
    form: Format, image: ImageFile.ImageFile, reduced: Image.Image, full: tuple[int, int]
) -> Picture:
    orientation = _orientation(image)
    if orientation in _TURNS:
        reduced = reduced.transpose(_TURNS[orientation])
    width, height = full[::-1] if orientation in _SIDEWAYS else full
    return Picture(
        image=reduced,
        width=width,
        height=height,
        format=form.name,
        mode=image.mode,
        scale=min(1.0, max(reduced.size) / max(full)),
        animated=form.animates and _animated(image),
    )


def _recognise(file: IO[bytes]) -> tuple[Format, int]:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if not size:
        raise Permanent("empty file (0 bytes)", code="empty_picture")
    name = sniff(head)
    if name is None:
        raise Permanent(f"not a picture: {describe(head)} ({size:,} bytes)", code="not_a_picture")
    return FORMATS[name], size


def _check_pixels(form: Format, width: int, height: int, most: int) -> None:
    if width < 1 or height < 1:
        raise Permanent(
            f"broken {form.name} picture: it says {width} x {height} pixels", code="broken_picture"
        )
    if width * height > most:
        raise Permanent(
            f"too many pixels: {width} x {height} is {width * height / 1e6:,.1f} megapixels, "
            f"the limit is {most / 1e6:,.0f}",
            code="too_many_pixels",
        )


@contextmanager
def _codec_errors(form: Format, size: int, most: int) -> Iterator[None]:
    """Turn whatever a decoder raises on damaged bytes into `Permanent`."""
    try:
        yield
    except MemoryError:
        raise
    except Image.DecompressionBombError as error:
        raise Permanent(
            f"too many pixels: more than the limit of {most / 1e6:,.0f} megapixels",
            code="too_many_pixels",
        ) from error
    except Exception as error:  # hostile bytes can break a decoder anywhere
        traceback.clear_frames(error.__traceback__)  # they hold on to the pixels
        if "truncated" in str(error).lower():
            raise _truncated(form, size) from error
        raise Permanent(
            f"broken {form.name} picture: {_one_line(error)}", code="broken_picture"
        ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _check_whole(form: Format, file: IO[bytes], size: int) -> None:
    """Refuse a file whose container says that it is longer; HEIF decodes with tiles missing."""
    if form.name == "WEBP":
        end = int.from_bytes(file.read(8)[4:], "little") + 8
    elif form.name in ("AVIF", "HEIF"):
        end = _last_box_end(file, size)
    else:
        return
    file.seek(0)
    if end > size:
        raise _truncated(form, size)


def _last_box_end(file: IO[bytes], size: int) -> int:
    """Where the last top-level box of an ISO media file ends (ISO/IEC 14496-12, 4.2)."""
    end = 0
    while end < size:
        file.seek(end)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:], "big")
        if length < 8:  # 0 is to the end of the file; anything else is for the decoder to refuse
            break
        end += length
    return end


def _truncated(form: Format, size: int) -> Permanent:
    return Permanent(
        f"truncated {form.name} picture: it ends early, after {size:,} bytes",
        code="truncated_picture",
    )


def _factor(width: int, height: int, short_side: int) -> int:
    keeps_short_side = min(width, height) // short_side
    keeps_memory = math.ceil(math.sqrt(width * height / MOST_KEPT_PIXELS))
    return max(1, keeps_short_side, keeps_memory)


def _orientation(image: ImageFile.ImageFile) -> int:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001 - unreadable metadata: shown as it is stored
        return 1
    return value if isinstance(value, int) else 1


def _animated(image: ImageFile.ImageFile) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001 - a second frame, though a damaged one
        return True
