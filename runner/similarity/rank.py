"""Which of many candidates deserve to be compared: a cheap order, the likeliest copies first.

Thousands of receipts of one app are near by hash, and what tells them apart is where their words
begin and end. That shows in grids of edges (`coarse`), once the query is cut to the frame that the
others have. The frame is found against the mean of a group of candidates that are alike, where
words have averaged out and the app's own lines remain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from runner.similarity.coarse import (
    BYTES,
    COLUMNS,
    ROWS,
    WHOLE,
    Floats,
    Frame,
    Summed,
    correlations,
)
from runner.similarity.thumbnail import decode

TOPS = (-0.12, -0.105, -0.09, -0.075, -0.06, -0.045, -0.03, -0.015, 0.0,
        0.015, 0.03, 0.045, 0.06, 0.075, 0.09, 0.105)  # fmt: skip
BOTTOMS = (-0.054, -0.036, -0.018, 0.0, 0.018, 0.036, 0.054)
SIDES = (-0.05, -0.025, 0.0, 0.025, 0.05)
"""How far a candidate's frame is tried beyond (negative) or inside the query's."""

STEPS = (0.012, 0.006, 0.003, 0.0015)
"""Shares by which a frame's sides are moved while refining."""

DOWNS = tuple((top, 1 - bottom) for top, bottom in product(TOPS, BOTTOMS))

PAIRS = 4
"""Of top and bottom, that are tried with all sides."""

ALIKE = 0.85
"""Correlation with a group's first member from which a candidate belongs to it."""

MOST_GROUPS = 16
"""Framed one by one; candidates beyond come last."""


def rank(thumbnail: bytes, coarse: Sequence[bytes]) -> list[int]:
    """Indices of the candidates, the likeliest copies first.

    `thumbnail` is the query's, `coarse` are the candidates'. Raises `ValueError` where those are
    of another length than this version's.
    """
    if len(coarse) < 2:
        return list(range(len(coarse)))
    table = _table(coarse)
    query = Summed.of(decode(thumbnail))
    scores = correlations(table, *query.cells(WHOLE))
    likely = _by_rows(query, table)
    for members in _groups(table, np.maximum(scores, likely.max(axis=0))):
        downs = np.argsort(-likely[:, members].mean(axis=1), kind="stable")[:PAIRS]
        mean = table[members].mean(axis=0, keepdims=True)
        frame = _framed(query, mean, [DOWNS[int(i)] for i in downs])
        found = correlations(table[members], *query.cells(frame))
        scores[members] = np.maximum(scores[members], found)
    return [int(i) for i in np.argsort(-scores, kind="stable")]


def _table(coarse: Sequence[bytes]) -> Floats:
    if any(len(one) != BYTES for one in coarse):
        raise ValueError(f"can't rank grids that don't have {BYTES} bytes: compute them again")
    table = np.frombuffer(b"".join(coarse), np.uint8).astype(np.float32)
    return table.reshape(len(coarse), BYTES)


def _by_rows(query: Summed, table: Floats) -> Floats:
    """Correlation of rows alone, which crops at the sides hardly change; (`DOWNS`, candidates)."""
    rows = table.reshape(len(table), ROWS, COLUMNS).mean(axis=2)
    return np.stack([correlations(rows, *query.row_means(*down)) for down in DOWNS])


def _groups(table: Floats, likely: Floats) -> Iterator[npt.NDArray[np.intp]]:
    """Groups of candidates that look alike, the likeliest first."""
    everywhere = np.ones(table.shape[1], np.float32)
    left = np.ones(len(table), np.bool_)
    for _ in range(MOST_GROUPS):
        if not left.any():
            return
        first = int(np.where(left, likely, -2).argmax())
        alike = correlations(table, table[first], everywhere) >= ALIKE
        alike[first] = True
        members = np.flatnonzero(alike & left)
        left[members] = False
        yield members


def _framed(query: Summed, mean: Floats, downs: Sequence[tuple[float, float]]) -> Frame:
    """The frame of the query under which it correlates best with the mean."""
    frames = [
        (left, top, 1 - right, bottom)
        for (top, bottom), left, right in product(downs, SIDES, SIDES)
    ]
    score, best = max((_fit(query, mean, frame), frame) for frame in frames)
    for step in STEPS:
        moved = True
        while moved:
            moved = False
            for frame in _beside(best, step):
                found = _fit(query, mean, frame)
                if found > score + 1e-6:
                    best, score, moved = frame, found, True
    return best


def _beside(frame: Frame, step: float) -> Iterator[Frame]:
    """The frame with one side moved in or out."""
    for side, move in product(range(4), (step, -step)):
        tried = list(frame)
        tried[side] += move
        yield tried[0], tried[1], tried[2], tried[3]


def _fit(query: Summed, mean: Floats, frame: Frame) -> float:
    return float(correlations(mean, *query.cells(frame))[0])
