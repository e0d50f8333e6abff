"""What people and their apps do to a screenshot before it is sent once more."""

from __future__ import annotations

import io
from collections.abc import Callable
from random import Random

from PIL import Image, ImageEnhance

Edit = Callable[[Image.Image, Random, float], Image.Image]
"""Picture, dice, share of the height that the status bar takes -> picture."""


def between(random: Random, low: float, high: float) -> float:
    """Any number from `low` to `high`."""
    return low + (high - low) * random.random()


def encode(image: Image.Image, form: str, quality: int = 85) -> bytes:
    """The picture as a file; PNG is packed lightly, since only its pixels matter here."""
    file = io.BytesIO()
    if form == "PNG":
        image.save(file, form, compress_level=1)
    elif form == "WEBP":
        image.save(file, form, quality=quality, method=1)
    else:
        image.save(file, form, quality=quality)
    return file.getvalue()


def recode(image: Image.Image, form: str, quality: int) -> Image.Image:
    """Through a lossy file and back."""
    with Image.open(io.BytesIO(encode(image, form, quality))) as again:
        return again.convert("RGB")


def _same(image: Image.Image, random: Random, bar: float) -> Image.Image:
    return image


def _resize(image: Image.Image, random: Random, bar: float) -> Image.Image:
    share = 0.5 * 4 ** random.random()
    filters = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
    size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    return image.resize(size, filters[int(random.random() * 3)])


def _halve(image: Image.Image, random: Random, bar: float) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BILINEAR)


def _crop(image: Image.Image, random: Random, bar: float) -> Image.Image:
    left, right = (round(image.width * between(random, 0, 0.05)) for _ in range(2))
    top, bottom = (round(image.height * between(random, 0, 0.05)) for _ in range(2))
    return image.crop((left, top, image.width - right, image.height - bottom))


def _crop_most(image: Image.Image, random: Random, bar: float) -> Image.Image:
    across, down = int(image.width * 0.05), int(image.height * 0.05)
    return image.crop((across, down, image.width - across, image.height - down))


def _no_bar(image: Image.Image, random: Random, bar: float) -> Image.Image:
    return image.crop((0, round(image.height * bar), image.width, image.height))


def _brighten(image: Image.Image, random: Random, bar: float) -> Image.Image:
    brighter = ImageEnhance.Brightness(image).enhance(between(random, 0.88, 1.15))
    return ImageEnhance.Contrast(brighter).enhance(between(random, 0.88, 1.15))


def _messenger(image: Image.Image, random: Random, bar: float) -> Image.Image:
    share = min(1.0, 1600 / max(image.size))
    return image.resize((round(image.width * share), round(image.height * share)))


Kind = tuple[tuple[Edit, ...], str, float, float]
"""Edits in order, format, lowest and highest quality."""

KINDS: dict[str, Kind] = {
    "jpeg 60-95": ((), "JPEG", 60, 95),
    "jpeg 60": ((), "JPEG", 60, 60),
    "png": ((), "PNG", 0, 0),
    "webp 60-95": ((), "WEBP", 60, 95),
    "resize 50-200 %": ((_resize,), "JPEG", 75, 95),
    "resize 50 %, jpeg 60": ((_halve,), "JPEG", 60, 60),
    "crop <= 5 % a side": ((_crop,), "JPEG", 75, 95),
    "crop 5 % every side": ((_crop_most,), "JPEG", 75, 95),
    "status bar cut": ((_no_bar,), "JPEG", 75, 95),
    "brightness, contrast": ((_brighten,), "JPEG", 75, 95),
    "messenger": ((_messenger,), "JPEG", 65, 80),
    "crop, resize": ((_crop, _resize), "JPEG", 70, 95),
    "bar cut, messenger": ((_no_bar, _messenger), "JPEG", 65, 80),
    "brighten, crop, webp": ((_brighten, _crop), "WEBP", 70, 95),
    "bar cut, crop, resize": ((_no_bar, _crop, _resize), "JPEG", 70, 95),
    "messenger twice": ((_messenger,), "JPEG", 65, 80),
}


def edited(image: Image.Image, kind: str, seed: str, bar: float) -> bytes:
    """A copy of the screenshot with this kind of edit, as a file."""
    random = Random(f"edit {kind} {seed}")
    edits, form, low, high = KINDS[kind]
    if kind == "messenger twice":
        image = recode(_messenger(image, random, bar), "JPEG", 75)
    for edit in edits:
        image = edit(image, random, bar)
    return encode(image, form, round(between(random, low, high)))
