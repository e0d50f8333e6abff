"""How far two aligned pictures show the same, window by window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from runner.similarity.thumbnail import Gray

Floats = npt.NDArray[np.float32]

CELL = 4
"""Pixels; a window is 2 x 2 cells, about a letter of small text, and starts at every cell."""

NOISE = 300.0
"""Variance, in squared levels, that compression alone may cause."""

CLIPPED = 1000.0
"""The same where either picture is pure white or black: more brightness or contrast swallows
faint lines there."""

PURE, PURE_VARIANCE = 10.0, 16.0
"""Levels from white or black, and variance, up to which a window is pure."""

CONTENT = 60.0
"""A window of less variance in both pictures is background."""


@dataclass(frozen=True, slots=True)
class Structure:
    """One value a window, shape (rows, columns), of the area that two pictures share.

    `difference` is what is left of the windows' variance after the best local contrast, as a
    share of the variance nearby: 0 for the same, about 1 for something else. `content` is where
    there is anything to see.
    """

    difference: Floats
    content: npt.NDArray[np.bool_]

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of a window in the shared area's pixels."""
        left, top = column * CELL, row * CELL
        return left, top, left + 2 * CELL, top + 2 * CELL


def structure(a: Gray, b: Gray) -> Structure:
    """Compare two pictures of equal shape.

    Like the structure term of SSIM (Wang et al., 2004) with two additions: contrast is fitted
    over 3 x 3 windows, so that blurred or paler text is the same text; and the residual is held
    against the strongest variance nearby, so that a letter's ringing in the white beside it is
    no difference.
    """
    a, b = _softened(a), _softened(b)
    mean_a, mean_b = _windows(a), _windows(b)
    var_a = np.maximum(_windows(a * a) - mean_a**2, 0)
    var_b = np.maximum(_windows(b * b) - mean_b**2, 0)
    both = _windows(a * b) - mean_a * mean_b
    near_a, near_both = _around(var_a), _around(both)
    noise = np.where(_pure(mean_a, var_a) | _pure(mean_b, var_b), CLIPPED, NOISE)
    gain = np.clip((near_both + NOISE) / (near_a + NOISE), 0.5, 2.0)
    scaled = gain * gain * var_a
    strongest = _strongest(np.maximum(scaled, var_b))
    difference = (scaled + var_b - 2 * gain * both) / (noise + strongest)
    return Structure(
        difference=np.maximum(difference, 0),
        content=np.maximum(var_a, var_b) > CONTENT,
    )


def _softened(values: Gray) -> Floats:
    """Without the finest detail, which depends on where pixels happen to lie ([1 2 1] / 4)."""
    wide = np.pad(values, 1, mode="edge")
    rows = wide[:-2] + 2 * wide[1:-1] + wide[2:]
    total: Floats = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 16
    return total


def _pure(mean: Floats, variance: Floats) -> npt.NDArray[np.bool_]:
    return (variance < PURE_VARIANCE) & ((mean > 255 - PURE) | (mean < PURE))


def _windows(values: Gray) -> Floats:
    """Means over windows: cells first, then 2 x 2 of them."""
    height, width = (side // CELL * CELL for side in values.shape)
    cells = np.asarray(Image.fromarray(values[:height, :width]).reduce(CELL))
    high: Floats = cells[:-1] + cells[1:]
    return (high[:, :-1] + high[:, 1:]) / np.float32(4)


def _around(values: Floats) -> Floats:
    """Mean over each window and its eight neighbours."""
    wide = np.pad(values, 1, mode="edge")
    rows = wide[:-2] + wide[1:-1] + wide[2:]
    total: Floats = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9
    return total


def _strongest(values: Floats) -> Floats:
    """Maximum over each window and its eight neighbours."""
    wide = np.pad(values, 1, mode="edge")
    rows = np.maximum(np.maximum(wide[:-2], wide[1:-1]), wide[2:])
    most: Floats = np.maximum(np.maximum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
    return most
