"""Pictures and metadata for the single-picture signals."""

from __future__ import annotations

import io
from random import Random
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from runner.pictures import Picture, decode
from runner.pictures.exif import Exif, read

LINES = (
    "Payment successful", "To Green Park Society", "From Amara Berg", "Harbor Bank xx4821",
    "02 Jan 2024, 03:04 PM", "Reference 482913370512", "Note Maintenance", "Status Completed",
)  # fmt: skip


def receipt(width: int = 720, height: int = 1600) -> Image.Image:
    """A receipt as a payment app shows it, drawn for any screen of this shape."""
    unit = width / 360
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width, 56 * unit), fill=(22, 150, 84))
    _write(draw, unit, 20, 18, "Transaction details", 17, "white")
    _write(draw, unit, 100, 90, "Rs 1,250.00", 34, (28, 28, 34))
    for i, line in enumerate(LINES):
        _write(draw, unit, 20, 170 + 42 * i, line, 14, (118, 120, 130))
    return image


def page(width: int = 720, height: int = 1600) -> Image.Image:
    """A screen full of small text."""
    unit = width / 360
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for i in range(int(height / unit / 17)):
        _write(draw, unit, 6, 4 + 17 * i, " ".join(LINES[i % 4 :]), 12, "black")
    return image


def photograph(width: int = 720, height: int = 1600) -> Image.Image:
    """What a photograph is to the measure: soft shapes of all sizes and some grain, so that one
    step in twenty is strong and most are faint.
    """
    random = Random("photograph")
    image = _enlarged(Image.effect_noise((width // 3, height // 3), 100), width, height)
    for side in (4, 12, 40):
        values = bytes(int(255 * random.random()) for _ in range(side * side))
        shapes = Image.frombytes("L", (side, side), values)
        image = Image.blend(image, _enlarged(shapes, width, height), 0.3)
    return image.convert("RGB")


def foliage(width: int = 720, height: int = 1600) -> Image.Image:
    """Sharp leaves in the sun: nearly all steps are strong, and nothing is flat."""
    return Image.effect_noise((width, height), 100).convert("RGB")


def jpeg(image: Image.Image, quality: int = 85, **options: Any) -> bytes:
    """The picture as a JPEG file."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, **options)
    return file.getvalue()


def png(image: Image.Image, **options: Any) -> bytes:
    """The picture as a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1, **options)
    return file.getvalue()


def opened(file: bytes) -> tuple[Picture, Exif]:
    """The picture and its metadata, read as the task does it."""
    return decode(file), read(file)


def _enlarged(image: Image.Image, width: int, height: int) -> Image.Image:
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _write(
    draw: ImageDraw.ImageDraw,
    unit: float,
    x: float,
    y: float,
    text: str,
    size: float,
    fill: str | tuple[int, int, int],
) -> None:
    draw.text((x * unit, y * unit), text, fill=fill, font=ImageFont.load_default(size * unit))
