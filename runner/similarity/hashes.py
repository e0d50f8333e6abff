"""64-bit perceptual hashes of a picture and of windows inside it, for finding candidates."""

from __future__ import annotations

from collections.abc import Sequence

import imagehash
import numpy as np
from PIL import Image

RADIUS = 10
"""Bits: two pictures are candidates if any hash of one is this near to any of the other."""

WINDOWS = (
    (0.0, 0.0, 0.0, 0.0),
    (0.0125, 0.08, 0.025, 0.0),
    (0.0375, 0.06, 0.0375, 0.04),
    (0.0375, 0.08, 0.0125, 0.04),
    (0.0, 0.02, 0.0375, 0.0),
)
"""What each hash leaves out at left, top, right and bottom, in shares of width and height.

A perceptual hash bears about 2 % of misplaced frame. The differences between these windows lie
densely enough among all crops of up to 5 % a side, and of up to 11 % at the top (a status bar
beside it), that some window of a picture shows nearly what some window of its crop shows.
"""

FLAT = 1.5
"""Standard deviation, of 256 levels, below which a window has nothing to hash."""

HASHED_SIDE = 256
"""Windows are cut from a picture whose longer side is reduced to this."""

_SIGNED = 1 << 63


def hashes(gray: Image.Image) -> tuple[int | None, ...]:
    """The hash of each of `WINDOWS`, as signed 64-bit integers (PostgreSQL's bigint).

    None where the window is flat: the hash of next to nothing is chance.
    """
    small = gray.copy()
    small.thumbnail((HASHED_SIDE, HASHED_SIDE), Image.Resampling.BOX)
    return tuple(_hash(_cut(small, window)) for window in WINDOWS)


def distance(a: int, b: int) -> int:
    """In how many of 64 bits two signed hashes differ."""
    return ((a ^ b) & (2 * _SIGNED - 1)).bit_count()


def nearest(a: Sequence[int | None], b: Sequence[int | None]) -> int | None:
    """The least distance of any hash of one to any of the other; None if there is no hash."""
    return min((distance(x, y) for x in a for y in b if x is not None and y is not None),
               default=None)  # fmt: skip


def _cut(image: Image.Image, window: tuple[float, float, float, float]) -> Image.Image:
    left, top, right, bottom = window
    width, height = image.size
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    side = 4 * 8  # imagehash's own size before its cosine transform, so it resizes no more
    return image.resize((side, side), Image.Resampling.LANCZOS, box=box)


def _hash(image: Image.Image) -> int | None:
    if float(np.asarray(image, dtype=np.float32).std()) < FLAT:
        return None
    bits = imagehash.phash(image, hash_size=8).hash
    value = int.from_bytes(np.packbits(bits).tobytes(), "big")
    return value - 2 * _SIGNED if value >= _SIGNED else value
