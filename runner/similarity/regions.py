"""Boxes around the places where two pictures differ, for a person to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Block = tuple[int, int]

MOST = 40
"""Boxes of one comparison; where more differ, the smaller ones are left out."""


@dataclass(frozen=True, slots=True)
class Region:
    """A box in shares (0..1) of a picture's width and height."""

    left: float
    top: float
    width: float
    height: float


def boxes(marked: Bools) -> list[tuple[int, int, int, int]]:
    """First and last (exclusive) column and row of each group of marked cells, largest first.

    Cells within two of one another belong together.
    """
    height, width = (side + side % 2 for side in marked.shape)
    padded = np.zeros((height, width), np.bool_)
    padded[: marked.shape[0], : marked.shape[1]] = marked
    blocks = padded.reshape(height // 2, 2, width // 2, 2).any(axis=(1, 3))
    found = []
    for group in _groups({(int(y), int(x)) for y, x in np.argwhere(blocks)}):
        rows = [y for y, _ in group]
        columns = [x for _, x in group]
        found.append((2 * min(columns), 2 * min(rows), 2 * max(columns) + 2, 2 * max(rows) + 2))
    found.sort(key=lambda box: (box[0] - box[2]) * (box[3] - box[1]))
    return found[:MOST]


def _groups(blocks: set[Block]) -> Iterator[list[Block]]:
    """Blocks that touch, diagonals included."""
    while blocks:
        waiting, group = [blocks.pop()], []
        while waiting:
            y, x = waiting.pop()
            group.append((y, x))
            near = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & blocks
            blocks -= near
            waiting.extend(near)
        yield group
