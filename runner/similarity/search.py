"""Finds roughly how one picture lies in another: one scale for both axes, and a shift."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from runner.similarity.align import Placement
from runner.similarity.thumbnail import Gray

Floats = npt.NDArray[np.float32]
Found = tuple[float, Placement]

SCALES = np.exp(np.arange(-0.18, 0.1801, 0.03))
"""Tried between the two pictures, beside what their sizes say. A crop of 5 % a side and a status
bar less is within .83 to 1.2 of it."""

MOST_SHIFT = 0.2
"""In shares of the height or width."""

PIXELS = 4_500
"""Of a phone's screen, 45 x 100: a line of small text is one or two high there."""

LEAST_SIDE = 45

MOST_EDGE = 40.0
"""Levels a pixel; stronger edges count no more, or a card's border would outweigh all words."""

SLOW = 8
"""Pixels over which the mean is taken away, so that detail decides."""


def searched(a: Gray, b: Gray, ratio: float, count: int) -> list[Found]:
    """Up to `count` placements with their correlations (-1..1), the likeliest first.

    Good to about 2 % of the side. Maps of edges are correlated at each scale, all shifts at once
    (by Fourier's transform). `ratio` is b's scale to a's by their sizes alone.
    """
    share = _share(*a.shape)
    mine = _resized(_edges(a, share), (round(a.shape[0] * share), round(a.shape[1] * share)))
    shape = (_padded(mine.shape[0]), _padded(mine.shape[1]))
    others = _edges(b, share / ratio)
    maps = []
    for grown in SCALES:
        size = [max(8, round(side * share / ratio / float(grown))) for side in b.shape]
        maps.append(_resized(others, (size[0], size[1])))
    surfaces = _correlated(mine, maps, shape)
    found = []
    for surface, other in zip(surfaces, maps, strict=True):
        found.extend(_peaks(surface, mine, other, a, b))
    found.sort(key=lambda pair: -pair[0])
    return _apart(found, a.shape, count)


def _share(height: int, width: int) -> float:
    """How far a picture is reduced; a very long one less, or nothing is left of its width."""
    return min(1.0, max(math.sqrt(PIXELS / (height * width)), LEAST_SIDE / min(height, width)))


def _edges(levels: Gray, share: float) -> Image.Image:
    """How much edge there is at each pixel, at twice `share` of the size or a little more."""
    total = np.zeros_like(levels)
    total[:, 1:] = np.abs(np.diff(levels, axis=1))
    total[1:] += np.abs(np.diff(levels, axis=0))
    image = Image.fromarray(np.sqrt(np.minimum(total, MOST_EDGE)))
    return image.reduce(max(1, int(0.5 / share)))


def _resized(edges: Image.Image, shape: tuple[int, int]) -> Floats:
    """A map of this shape, without its slow part."""
    small = edges.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    slow = small.reduce(SLOW).resize(small.size, Image.Resampling.BILINEAR)
    result: Floats = np.asarray(small) - np.asarray(slow)
    return result


def _padded(side: int) -> int:
    """Room for every scale and shift, rounded up to what transforms fast."""
    return math.ceil(side * (1 + 2 * MOST_SHIFT) / 16) * 16


def _correlated(mine: Floats, maps: Sequence[Floats], shape: tuple[int, int]) -> Floats:
    """For each map its correlation with mine by shift down and right (negative: from the end)."""
    stack = np.zeros((len(maps), *shape), np.float32)
    for layer, other in zip(stack, maps, strict=True):
        height, width = min(other.shape[0], shape[0]), min(other.shape[1], shape[1])
        layer[:height, :width] = other[:height, :width]
    norms = np.sqrt((stack**2).sum(axis=(1, 2)) * float((mine**2).sum())) + 1e-6
    spectrum = np.conj(np.fft.rfft2(mine, shape)).astype(np.complex64)
    found = np.fft.irfft2(np.fft.rfft2(stack) * spectrum, shape) / norms[:, None, None]
    result: Floats = found.astype(np.float32)
    return result


def _peaks(surface: Floats, mine: Floats, other: Floats, a: Gray, b: Gray) -> list[Found]:
    """The two best shifts of one scale."""
    reach = [int(MOST_SHIFT * side) for side in mine.shape]
    near = np.roll(surface, (reach[0], reach[1]), axis=(0, 1))
    near = near[: 2 * reach[0] + 1, : 2 * reach[1] + 1].copy()
    scale_y = b.shape[0] / other.shape[0] * mine.shape[0] / a.shape[0]
    scale_x = b.shape[1] / other.shape[1] * mine.shape[1] / a.shape[1]
    found = []
    for _ in range(2):
        row, column = np.unravel_index(int(near.argmax()), near.shape)
        down = (int(row) - reach[0]) * b.shape[0] / other.shape[0]
        right = (int(column) - reach[1]) * b.shape[1] / other.shape[1]
        found.append((float(near[row, column]), Placement(scale_x, right, scale_y, down)))
        near[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3] = -1
    return found


def _apart(found: Sequence[Found], shape: tuple[int, ...], count: int) -> list[Found]:
    """The first `count` whose corners lie more than 2.5 % of a side from each better one's."""
    height, width = float(shape[0]), float(shape[1])
    chosen: list[Found] = []
    for score, place in found:
        corners = place.box((0.0, 0.0, width, height))
        if all(_far(corners, other.box((0.0, 0.0, width, height)), width, height)
               for _, other in chosen):  # fmt: skip
            chosen.append((score, place))
        if len(chosen) == count:
            break
    return chosen


def _far(one: Sequence[float], other: Sequence[float], width: float, height: float) -> bool:
    sides = (width, height, width, height)
    return any(abs(x - y) > 0.025 * side for x, y, side in zip(one, other, sides, strict=True))
