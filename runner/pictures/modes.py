"""Any of Pillow's modes to 8-bit RGB, a strip at a time so that no second full copy exists."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

STRIP_PIXELS = 1 << 21
"""A strip's size before it is reduced: large enough for speed, small beside the picture."""

BITS_PER_SAMPLE = 258
"""The TIFF tag; 12-bit pictures arrive in 16-bit modes with values up to 4095."""

_ALPHA = frozenset({"RGBA", "LA", "PA", "RGBa"})

Levels = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]


def to_rgb(image: Image.Image, factor: int) -> Image.Image:
    """A loaded picture as 8-bit RGB, each side divided by `factor` (box filter, rounded up).

    Transparency is composited on white, as on a page. Integers of 16 bits are scaled, not
    clipped. Values of 32-bit integers and of floats have no agreed range: floats within 0..1
    count as shares, anything within 0..255 is kept, and the rest is stretched from its minimum
    to its maximum.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image.reduce(factor) if factor > 1 else image.copy()
    convert = _converter(image)
    width, height = image.size
    result = Image.new("RGB", (-(-width // factor), -(-height // factor)))
    rows = max(1, STRIP_PIXELS // (width * factor)) * factor
    for top in range(0, height, rows):
        strip = convert(image.crop((0, top, width, min(top + rows, height))))
        if factor > 1:
            strip = strip.reduce(factor)
        result.paste(strip, (0, top // factor))
    return result


def _converter(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        levels = _levels(image)
        key = image.info.get("transparency")
        return lambda strip: _from_levels(strip, levels, key if isinstance(key, int) else None)
    if image.mode in _ALPHA or "transparency" in image.info:
        return _on_white
    return lambda strip: strip.convert("RGB")


def _on_white(strip: Image.Image) -> Image.Image:
    rgba = strip if strip.mode == "RGBA" else strip.convert("RGBA")
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=rgba.getchannel("A"))
    return white


def _from_levels(strip: Image.Image, levels: Levels, transparent: int | None) -> Image.Image:
    values = np.asarray(strip).astype(np.float64)
    gray = np.clip(np.nan_to_num(levels(values)), 0, 255).round().astype(np.uint8)
    if transparent is not None:
        gray[values == transparent] = 255
    return Image.fromarray(gray).convert("RGB")


def _levels(image: Image.Image) -> Levels:
    """How values of an integer or float picture become 0..255."""
    if image.mode.startswith("I;16"):
        highest = (1 << _bits(image)) - 1
        return lambda values: values * (255 / highest)
    low, high = _finite_extrema(image)
    if image.mode == "F" and low >= 0 and high <= 1:
        return lambda values: values * 255
    if low >= 0 and high <= 255:
        return lambda values: values
    span = max(high - low, float(np.finfo(np.float32).tiny))
    return lambda values: (values - low) * (255 / span)


def _bits(image: Image.Image) -> int:
    tags = getattr(image, "tag_v2", None)
    stated = tags.get(BITS_PER_SAMPLE) if tags is not None else None
    bits = stated[0] if isinstance(stated, tuple) and stated else 16
    return bits if isinstance(bits, int) and 8 < bits <= 16 else 16


def _finite_extrema(image: Image.Image) -> tuple[float, float]:
    width, height = image.size
    rows = max(1, STRIP_PIXELS // width)
    low, high = np.inf, -np.inf
    for top in range(0, height, rows):
        strip = np.asarray(image.crop((0, top, width, min(top + rows, height))))
        finite = strip[np.isfinite(strip)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return (low, high) if low <= high else (0.0, 0.0)
