"""Grids of how much edge there is where: a few hundred bytes that order many candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from runner.similarity.thumbnail import Gray, pixels

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Frame = tuple[float, float, float, float]
"""Left, top, right, bottom of another picture in shares of this one: (0, 0, 1, 1) is the same."""

WHOLE: Frame = (0.0, 0.0, 1.0, 1.0)

ROWS, COLUMNS = 48, 16
BYTES = ROWS * COLUMNS

KNOWN = 0.6
"""Share of a cell that a picture has to show for the cell to count."""


def coarse(gray: Image.Image) -> bytes:
    """Mean edge (0..255) in `ROWS` x `COLUMNS` cells of a picture, row by row."""
    cells, _ = Summed.of(gray).cells(WHOLE)
    return np.rint(cells).astype(np.uint8).tobytes()


@dataclass(frozen=True, slots=True)
class Summed:
    """A picture's edges summed from its top left corner, for exact means over any box."""

    total: Doubles

    @classmethod
    def of(cls, gray: Image.Image) -> Summed:
        """Of an 8-bit gray picture."""
        edges = _edges(pixels(gray))
        total = np.zeros((edges.shape[0] + 1, edges.shape[1] + 1))
        np.cumsum(edges, axis=0, dtype=np.float64, out=total[1:, 1:])
        np.cumsum(total[1:, 1:], axis=1, out=total[1:, 1:])
        return cls(total)

    def cells(self, frame: Frame) -> tuple[Floats, Floats]:
        """Means in `ROWS` x `COLUMNS` cells of the frame, and 1 where they are known, else 0."""
        left, top, right, bottom = frame
        rows, high, known_rows = self._bands(top, bottom, ROWS, axis=0)
        columns, wide, known_columns = self._bands(left, right, COLUMNS, axis=1)
        sums = _between(_between(self.total, rows, 0), columns, 1)
        area = np.outer(high, wide)
        known = np.outer(known_rows, known_columns)
        return (sums / np.maximum(area, 1e-9)).astype(np.float32), known.astype(np.float32)

    def row_means(self, top: float, bottom: float) -> tuple[Floats, Floats]:
        """Means over the whole width in `ROWS` bands, and 1 where they are known, else 0."""
        rows, high, known = self._bands(top, bottom, ROWS, axis=0)
        sums = _between(self.total[:, -1:], rows, 0)[:, 0]
        means = sums / np.maximum(high, 1e-9) / (self.total.shape[1] - 1)
        return means.astype(np.float32), known.astype(np.float32)

    def _bands(
        self, low: float, high: float, count: int, axis: int
    ) -> tuple[Doubles, Doubles, npt.NDArray[np.bool_]]:
        """Edges of bands, held within the picture; their lengths there; whether each is known."""
        length = self.total.shape[axis] - 1
        edges = (low + (high - low) * np.arange(count + 1) / count) * length
        inside = np.clip(edges, 0, length)
        lengths = np.diff(inside)
        return inside, lengths, lengths >= KNOWN * (high - low) * length / count


def correlations(table: Floats, cells: Floats, known: Floats) -> Floats:
    """Pearson's correlation of the known cells with those of each row of the table."""
    cells, known = cells.ravel(), known.ravel()
    some = known > 0
    mine = cells[some]
    mine = mine - mine.mean()
    others = table[:, some] if not some.all() else table
    both = others @ mine
    sums = others.sum(axis=1)
    spreads = np.einsum("ij,ij->i", others, others) - sums * sums / len(mine)
    result: Floats = both / np.sqrt(np.maximum(spreads, 1) * max(float(mine @ mine), 1.0))
    return result


def _edges(levels: Gray) -> Floats:
    """How much edge there is at each pixel, up to 255."""
    total = np.zeros_like(levels)
    total[:, 1:] = np.abs(np.diff(levels, axis=1))
    total[1:] += np.abs(np.diff(levels, axis=0))
    return np.minimum(total, np.float32(255))


def _between(total: Doubles, edges: Doubles, axis: int) -> Doubles:
    """Sums between edges along an axis of a summed table, pixels counted in part."""
    low = np.minimum(edges.astype(np.int64), total.shape[axis] - 2)
    share = (edges - low).reshape((-1, 1) if axis == 0 else (1, -1))
    lower, upper = total.take(low, axis=axis), total.take(low + 1, axis=axis)
    return np.diff(lower + (upper - lower) * share, axis=axis)
