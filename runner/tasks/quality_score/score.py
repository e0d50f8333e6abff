"""The score's rules, pure: five parts of 0..100 and their weighted sum.

The rules are those of the application's quality validator: size (25 %), position (20 %),
resolution (20 %), contrast (15 %) and primary subject (20 %).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from runner.tasks.quality_score.boxes import Box

VERSION = 1
"""Of the rules and of what the details hold; raised, every image is scored again."""

ALGORITHM = "weighted-five-part"

LEAST_SHARE, MOST_SHARE = 0.15, 0.80
LEAST_VISIBLE = 0.60
EDGE = 0.05
LEAST_PIXELS = 120_000
DARKEST, BRIGHTEST = 40, 220
BRIGHTEST_RANGE = 255 - BRIGHTEST

DECIMALS = 4
"""Parts are kept with this many, and the score is computed from what is kept, so that anybody
can compute it again from the stored details."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The five parts, each 0..100."""

    size: float
    position: float
    resolution: float
    contrast: float
    primary: float


def parts(
    *,
    box: Box | None,
    subjects: int,
    visible_ratio: float | None,
    width: int,
    height: int,
    brightness: float,
) -> Parts:
    """All five parts; `box` is that of the main subject, None where there is no subject.

    `width` and `height` are the picture's in pixels, `brightness` is the mean of R, G and B.
    """
    share = None if box is None else box.share
    return Parts(
        size=_kept(size(share)),
        position=_kept(position(box, visible_ratio)),
        resolution=_kept(resolution(width, height)),
        contrast=_kept(contrast(brightness)),
        primary=_kept(primary(share, subjects)),
    )


def total(scored: Parts) -> int:
    """The score 0..100: the weighted sum, a half rounded up (as SQL and JavaScript do)."""
    hundredfold = (
        25 * scored.size
        + 20 * scored.position
        + 20 * scored.resolution
        + 15 * scored.contrast
        + 20 * scored.primary
    )
    # The parts have four decimals, so ten decimals only take away what binary fractions added.
    return round(_clamp(math.floor(round(hundredfold / 100, 10) + 0.5)))


def size(share: float | None) -> float:
    """By the share of the picture that the subject's box covers; 0 without a subject."""
    if share is None:
        return 0.0
    if share < LEAST_SHARE:
        return _clamp(share / LEAST_SHARE * 100)
    if share > MOST_SHARE:
        return _clamp((1 - (share - MOST_SHARE) / (1 - MOST_SHARE)) * 100)
    return 100.0


def position(box: Box | None, visible_ratio: float | None) -> float:
    """By how much of the subject is seen; where that is unknown, 50 if its box is at an edge."""
    if visible_ratio is not None:
        return 100.0 if visible_ratio >= LEAST_VISIBLE else _clamp(visible_ratio / 0.006)
    if box is None:
        return 100.0
    at_edge = (
        box.x < EDGE
        or box.y < EDGE
        or box.x + box.width > 1 - EDGE
        or box.y + box.height > 1 - EDGE
    )
    return 50.0 if at_edge else 100.0


def resolution(width: int, height: int) -> float:
    """By the number of pixels; 400 x 300 is enough."""
    return _clamp(width * height / LEAST_PIXELS * 100)


def contrast(brightness: float) -> float:
    """By exposure: less when too dark or too bright."""
    if brightness < DARKEST:
        return _clamp(brightness / DARKEST * 100)
    if brightness > BRIGHTEST:
        return _clamp((1 - (brightness - BRIGHTEST) / BRIGHTEST_RANGE) * 100)
    return 100.0


def primary(share: float | None, subjects: int) -> float:
    """By whether one subject of a fitting size is what the picture is of."""
    if share is None:
        return 0.0
    if not LEAST_SHARE <= share <= MOST_SHARE:
        return 50.0
    return 75.0 if subjects > 1 else 100.0


def _clamp(value: float) -> float:
    return min(max(value, 0.0), 100.0)


def _kept(value: float) -> float:
    return round(value, DECIMALS)
