"""Finds how two thumbnails lie on one another, and what then differs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from runner.similarity.align import (
    Placement,
    Points,
    edge_points,
    refined,
    stretched,
    warped,
)
from runner.similarity.search import searched
from runner.similarity.structure import CELL, Structure, structure
from runner.similarity.thumbnail import Gray, pixels

AGREES = 0.2
"""A window's difference below which both pictures show the same there."""

TIGHT = 0.05
SURE = 0.4
"""Share of windows that agree this tightly from which no other placement can be better: the app's
own labels and lines agree there, the words do not."""

BANDS = 6
SURE_IN_BAND = 0.15
"""A placement that is right only at one end agrees in no window at the other."""

BAND_CONTENT = 15
UNEQUAL = 1.4
"""A thumbnail so many times larger than the other is reduced first."""


STARTS = 3
"""Placements that are tried where the whole does not lie on the whole."""

HOPELESS = 0.3
"""Correlation of edges below which two pictures show different things; crops have .6 and more."""

FEWEST_EDGES = 400
"""Pixels at half the size, below which faint words may be gone there."""

SAME = 0.995
"""Agreement from which the placement is right, wherever it ended."""

PROPORTIONS = 0.008
"""By which rounding to whole pixels changes the shape of a thumbnail."""

MOVED = 2.0
"""Pixels by which corners of whole pictures move at most while a placement is refined."""


@dataclass(frozen=True, slots=True)
class Match:
    """Thumbnail b laid on thumbnail a; `area` (left, top, right, bottom) is what both show, in
    pixels of a, and `structure` compares it. Sizes are (width, height).
    """

    placement: Placement
    size_a: tuple[int, int]
    size_b: tuple[int, int]
    area: tuple[int, int, int, int]
    structure: Structure
    zoom: float = 1.0

    @property
    def full_placement(self) -> Placement:
        """The placement of the pictures before they were reduced to `zoom`."""
        return self.placement.zoomed(1 / self.zoom)

    @property
    def agreement(self) -> float:
        """Share of the windows with content that show the same."""
        content = self.structure.content
        if not content.any():
            return 0.0
        return float((self.structure.difference[content] < AGREES).mean())

    @property
    def shared(self) -> float:
        """How much of a or of b both show, whichever is less."""
        area = (self.area[2] - self.area[0]) * (self.area[3] - self.area[1])
        there = area * self.placement.scale_x * self.placement.scale_y
        return min(
            area / (self.size_a[0] * self.size_a[1]), there / (self.size_b[0] * self.size_b[1])
        )


def best_match(a: Image.Image, b: Image.Image) -> Match:
    """The placement in which most agrees: the whole on the whole, or one found by searching."""
    a, b = _alike_in_size(a, b)
    full, half = _Pair.of(a, b, 1), _Pair.of(a, b, 2)
    judge = half if half.edges >= FEWEST_EDGES else full
    start = stretched(a.size, b.size)
    tried = [judge.fitted(start)]
    if full.edges and not _stayed(tried[0], start):
        tried.extend(_searched(full, judge, _Pair.of(a, b, 4)))
    return full.fitted(max(tried, key=_worth).full_placement)


def _searched(full: _Pair, judge: _Pair, quarter: _Pair) -> Iterator[Match]:
    """What a search finds, the likeliest first; ends with one that is surely right."""
    ratio = math.sqrt(full.levels_b.size / full.levels_a.size)
    for score, start in searched(full.levels_a, full.levels_b, ratio, STARTS):
        if score < HOPELESS:
            return
        found = judge.fitted(quarter.refined(start))
        yield found
        if _sure(found.structure):
            return


def _stayed(match: Match, whole: Placement) -> bool:
    """Whether the whole surely lies on the whole.

    What was cut off changes the proportions, or drags the placement along.
    """
    if match.agreement <= SAME and abs(whole.scale_x / whole.scale_y - 1) > PROPORTIONS:
        return False
    if not _sure(match.structure):
        return False
    frame = (0.0, 0.0, match.size_a[0] / match.zoom, match.size_a[1] / match.zoom)
    moved = zip(whole.box(frame), match.full_placement.box(frame), strict=True)
    return match.agreement > SAME or all(abs(x - y) < MOVED for x, y in moved)


def _worth(match: Match) -> float:
    return match.agreement * match.shared


@dataclass(frozen=True, slots=True)
class _Pair:
    """Both pictures at `zoom` of their size, and what placing b on a takes.

    Placements that go in and out are those of the full size.
    """

    levels_a: Gray
    levels_b: Gray
    image_b: Image.Image
    points: Points | None
    zoom: float

    @classmethod
    def of(cls, a: Image.Image, b: Image.Image, reduced: int) -> _Pair:
        a, b = a.reduce(reduced), b.reduce(reduced)
        levels = pixels(a)
        return cls(levels, pixels(b), b, edge_points(levels), 1 / reduced)

    @property
    def edges(self) -> int:
        """How many pixels of a there are to align by."""
        return 0 if self.points is None else len(self.points.level)

    def refined(self, start: Placement) -> Placement:
        """The best placement near `start`, or `start` where there is nothing to align by."""
        if self.points is None or min(self.levels_b.shape) < 2:
            return start
        found = refined(self.points, self.levels_b, start.zoomed(self.zoom))
        return found.zoomed(1 / self.zoom)

    def fitted(self, start: Placement) -> Match:
        """What both show under the best placement near `start`, compared."""
        place = self.refined(start).zoomed(self.zoom)
        size = (self.levels_a.shape[1], self.levels_a.shape[0])
        left, top, right, bottom = area = place.overlap(size, self.image_b.size)
        if min(right - left, bottom - top) < 4 * CELL:
            nothing = np.zeros((1, 1), np.float32)
            found, area = Structure(nothing, nothing > 0), (0, 0, 0, 0)
        else:
            laid = pixels(warped(self.image_b, place, area))
            found = structure(self.levels_a[top:bottom, left:right], laid)
        return Match(place, size, self.image_b.size, area, found, self.zoom)


def _alike_in_size(a: Image.Image, b: Image.Image) -> tuple[Image.Image, Image.Image]:
    share = math.sqrt(a.width * a.height / (b.width * b.height))
    if share < 1 / UNEQUAL:
        return a, _reduced(b, share)
    if share > UNEQUAL:
        return _reduced(a, 1 / share), b
    return a, b


def _reduced(image: Image.Image, share: float) -> Image.Image:
    size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
    return image.resize(size, Image.Resampling.LANCZOS)


def _sure(found: Structure) -> bool:
    """Whether the placement is right everywhere, so that what differs does differ."""
    same = (found.difference < TIGHT) & found.content
    total = int(found.content.sum())
    if not total or same.sum() < SURE * total:
        return False
    for content, agreeing in zip(
        np.array_split(found.content, BANDS), np.array_split(same, BANDS), strict=True
    ):
        seen = int(content.sum())
        if seen >= BAND_CONTENT and agreeing.sum() < SURE_IN_BAND * seen:
            return False
    return True
