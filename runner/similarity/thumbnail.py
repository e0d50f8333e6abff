"""The small gray picture that is kept of every picture, to compare with later."""

from __future__ import annotations

import io
import math

import numpy as np
import numpy.typing as npt
from PIL import Image, WebPImagePlugin

Gray = npt.NDArray[np.float32]

PIXELS = 160_000
"""Of a phone's screen, 271 x 589: small text is 8 pixels high there."""

SCREEN, MOST_SCREENS = 2.2, 3.0
"""Height to width of a screen; a screenshot as long as several has as many times the pixels and
bytes, up to this, so that its text is no smaller."""

MOST_BYTES = 10_000
QUALITIES = (60, 40, 20, 5)
"""Tried in turn until the thumbnail fits into `MOST_BYTES`; drawn screens fit at the first."""


def encode(gray: Image.Image) -> bytes:
    """An 8-bit gray picture at `PIXELS` pixels or fewer a screen as lossy WebP.

    Deterministic for one version of libwebp; another's result differs by less than its loss.
    """
    screens = min(MOST_SCREENS, max(1.0, gray.height / gray.width / SCREEN))
    share = min(1.0, math.sqrt(screens * PIXELS / (gray.width * gray.height)))
    size = (max(1, round(gray.width * share)), max(1, round(gray.height * share)))
    small = gray if size == gray.size else gray.resize(size, Image.Resampling.LANCZOS)
    for quality in QUALITIES:
        file = io.BytesIO()
        small.save(file, "WEBP", quality=quality, method=2)
        if file.tell() <= screens * MOST_BYTES:
            break
    return file.getvalue()


def decode(data: bytes) -> Image.Image:
    """The gray picture again."""
    with WebPImagePlugin.WebPImageFile(io.BytesIO(data)) as image:
        return image.convert("L")


def pixels(image: Image.Image) -> Gray:
    """A gray picture's levels, shape (height, width)."""
    return np.asarray(image, dtype=np.float32)
