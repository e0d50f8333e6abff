"""Where one picture lies in another: a scale and a shift along each axis."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from runner.similarity.thumbnail import Gray

Floats = npt.NDArray[np.float32]

EDGE = 12.0
"""A step of this many levels a pixel counts as an edge to align by."""

MOST_POINTS = 5_000

FEWEST_POINTS = 60
ROUNDS = 5

SLACK = 0.3
EDGE_PIXELS = 0.7
"""Where one picture is cut, its outermost pixels hold a part of what the other shows there; less
than `SLACK` is rounding."""


@dataclass(frozen=True, slots=True)
class Placement:
    """x in b = `scale_x` * x in a + `shift_x`, likewise y; pixels of the two thumbnails."""

    scale_x: float
    shift_x: float
    scale_y: float
    shift_y: float

    def zoomed(self, factor: float) -> Placement:
        """The same placement of pictures that are `factor` times as large."""
        return Placement(self.scale_x, self.shift_x * factor, self.scale_y, self.shift_y * factor)

    def overlap(self, a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in a of what both show; sizes are (width, height)."""
        left = max(0.0, -self.shift_x / self.scale_x)
        top = max(0.0, -self.shift_y / self.scale_y)
        right = min(float(a[0]), (b[0] - self.shift_x) / self.scale_x)
        bottom = min(float(a[1]), (b[1] - self.shift_y) / self.scale_y)
        return (
            math.ceil(left + EDGE_PIXELS) if left > SLACK else 0,
            math.ceil(top + EDGE_PIXELS) if top > SLACK else 0,
            math.floor(right - EDGE_PIXELS) if a[0] - right > SLACK else a[0],
            math.floor(bottom - EDGE_PIXELS) if a[1] - bottom > SLACK else a[1],
        )

    def box(self, area: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """A box of a's pixels in b's."""
        return (
            area[0] * self.scale_x + self.shift_x,
            area[1] * self.scale_y + self.shift_y,
            area[2] * self.scale_x + self.shift_x,
            area[3] * self.scale_y + self.shift_y,
        )


def stretched(a: tuple[int, int], b: tuple[int, int]) -> Placement:
    """The whole of one on the whole of the other, whatever their sizes (width, height)."""
    return Placement(b[0] / a[0], 0.0, b[1] / a[1], 0.0)


def warped(
    image: Image.Image, placement: Placement, area: tuple[int, int, int, int]
) -> Image.Image:
    """B's pixels in a's grid, for `area` of a."""
    left, top, right, bottom = placement.box(area)
    box = (max(0.0, left), max(0.0, top), min(image.width, right), min(image.height, bottom))
    size = (area[2] - area[0], area[3] - area[1])
    return image.resize(size, Image.Resampling.BICUBIC, box=box)


@dataclass(frozen=True, slots=True)
class Points:
    """Pixels of a picture at which it has edges: levels, gradients, positions of centres."""

    level: Floats
    across: Floats
    down: Floats
    x: Floats
    y: Floats
    size: tuple[int, int]


def edge_points(a: Gray) -> Points | None:
    """Evenly chosen edge pixels; None where there are too few to align by."""
    across, down = _gradients(a)
    found = np.flatnonzero((np.abs(across) + np.abs(down)).ravel() > EDGE)
    if len(found) < FEWEST_POINTS:
        return None
    found = found[:: max(1, len(found) // MOST_POINTS)]
    rows, columns = np.divmod(found, a.shape[1])
    return Points(
        level=a.ravel()[found],
        across=across.ravel()[found],
        down=down.ravel()[found],
        x=columns.astype(np.float32) + 0.5,
        y=rows.astype(np.float32) + 0.5,
        size=(a.shape[1], a.shape[0]),
    )


def refined(points: Points, b: Gray, start: Placement) -> Placement:
    """The placement near `start` that makes b's levels fit best (Lucas and Kanade, 1981).

    Weights go down where levels disagree (Geman and McClure), so that words that differ don't
    pull; contrast and brightness are fitted beside. Reaches about one pixel far.
    """
    middle_x, middle_y = points.size[0] / 2, points.size[1] / 2
    x, y = points.x - np.float32(middle_x), points.y - np.float32(middle_y)
    steps = np.stack(
        [points.across * x, points.across, points.down * y, points.down,
         -points.level, -np.ones_like(points.level)]
    )  # fmt: skip
    place, gain, offset = start, 1.0, 0.0
    for _ in range(ROUNDS):
        at_x = points.x * np.float32(place.scale_x) + np.float32(place.shift_x - 0.5)
        at_y = points.y * np.float32(place.scale_y) + np.float32(place.shift_y - 0.5)
        inside = (at_x >= 0) & (at_x <= b.shape[1] - 1) & (at_y >= 0) & (at_y <= b.shape[0] - 1)
        if inside.sum() < FEWEST_POINTS:
            return start
        residual = _sampled(b, at_x, at_y) - (gain * points.level + offset)
        spread = 2 * (1.5 * float(np.median(np.abs(residual[inside]))) + 3)
        weight = np.where(inside, 1 / (1 + (residual / spread) ** 2) ** 2, 0).astype(np.float32)
        weighted = steps * weight
        normal = (weighted @ steps.T).astype(np.float64)
        normal[np.diag_indices(6)] += 1e-3
        move = np.linalg.solve(normal, -(weighted @ residual).astype(np.float64))
        place = _moved(place, move, middle_x, middle_y)
        gain, offset = gain + float(move[4]), offset + float(move[5])
        if max(abs(move[1]), abs(move[3]), abs(move[0]) * middle_x, abs(move[2]) * middle_y) < 0.02:
            break
    return place


def _moved(
    place: Placement, move: npt.NDArray[np.float64], middle_x: float, middle_y: float
) -> Placement:
    grow_x, right, grow_y, down = (float(m) for m in move[:4])
    return Placement(
        scale_x=place.scale_x * (1 + grow_x),
        shift_x=place.shift_x + place.scale_x * (right - grow_x * middle_x),
        scale_y=place.scale_y * (1 + grow_y),
        shift_y=place.shift_y + place.scale_y * (down - grow_y * middle_y),
    )


def _gradients(a: Gray) -> tuple[Floats, Floats]:
    across, down = np.zeros_like(a), np.zeros_like(a)
    np.subtract(a[:, 2:], a[:, :-2], out=across[:, 1:-1])
    np.subtract(a[2:], a[:-2], out=down[1:-1])
    across *= 0.5
    down *= 0.5
    return across, down


def _sampled(b: Gray, x: Floats, y: Floats) -> Floats:
    """Levels of b between its pixels (bilinear); positions count from centres of pixels."""
    height, width = b.shape
    left = np.clip(x.astype(np.int32), 0, width - 2)
    top = np.clip(y.astype(np.int32), 0, height - 2)
    right_share, low_share = x - left, y - top
    flat, at = b.ravel(), top * width + left
    upper = flat[at] * (1 - right_share) + flat[at + 1] * right_share
    at += width
    lower = flat[at] * (1 - right_share) + flat[at + 1] * right_share
    result: Floats = (upper * (1 - low_share) + lower * low_share).astype(np.float32)
    return result
