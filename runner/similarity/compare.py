"""Is one picture a copy of another? Aligned comparison of two fingerprints."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from runner.similarity.explain import explained
from runner.similarity.fingerprint import Fingerprint
from runner.similarity.matching import Match, best_match
from runner.similarity.regions import Region, boxes
from runner.similarity.structure import CELL
from runner.similarity.thumbnail import decode

Verdict = Literal["copy", "review", "different"]
Shares = tuple[float, float, float, float]

SAME, OTHER = 0.1, 0.7
"""A window's difference up to which compression explains it, and from which all is other."""

DIFFERS = 0.2
"""A window's difference from which something else is seen there; true copies stay below."""

DOUBTFUL = 0.03
STANDS_OUT = 2.0
"""A window from `DOUBTFUL` on that differs so many times more than any other place of the picture
is looked at by a person: all of a re-encoded copy suffers alike, an edited letter stands out."""

USUAL = 0.95
UNUSUAL = 5.0
"""Likewise, if several places differ so many times more than 95 % of the picture."""

EVENLY, MOST_EVENLY = 0.01, 0.6
"""Half of the picture's windows differ this much, and none more than that, where a photograph was
blurred, sharpened or squashed; words that differ do so more, and the rest not at all."""

BESIDE = (4, 6)
"""Windows up and down, left and right, that belong to the same place."""

FEW_WINDOWS = 16
"""An edited letter or two; where more differs, the content does."""

LEAST_SHARED = 0.7
"""Of either picture; 5 % cut off each side and a status bar leave .75."""

LEAST_CONTENT = 25
"""Windows with something to see; with fewer, likeness means nothing."""

SCREEN, TALL = 1.5, 1.95
"""Height to width from which a picture may have a status bar, and from which a high one."""

STATUS_BAR, TALL_STATUS_BAR = 0.04, 0.065
"""Height that a phone's clock and battery take, in shares of the screen's: 24 of 640 dp, and 54 of
852 where a camera is in the screen."""

LONG, LONG_STATUS_BAR = 2.5, 0.09
"""No screen is so high for its width: a screenshot of several screens, whose status bar is small.
It is taken as 36 of 411 dp of the width, so that no content is left out."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What comparing pictures a and b gave.

    `percentage` (0..100) is how much of the content that both show is the same; 100 only without
    any region that differs. `scale` is b's size relative to a's, for the same content. The
    `cut_*` are shares of that picture beyond the other's left, top, right and bottom. Regions
    are where they differ, in shares of a and of b, in the same order. `explanation` has a
    sentence for each thing that a person would want to know.
    """

    percentage: float
    verdict: Verdict
    scale: float
    cut_a: Shares
    cut_b: Shares
    regions_a: tuple[Region, ...]
    regions_b: tuple[Region, ...]
    explanation: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Findings:
    """A match, reduced to what the verdict rests on."""

    enough: bool
    loss: float
    marked: npt.NDArray[np.bool_]
    faint: bool
    even: bool
    bar_differs: bool


def compare(a: Fingerprint, b: Fingerprint) -> Comparison:
    """Compare two pictures by their fingerprints; swapping them swaps the result's sides only.

    Raises `ValueError` where the fingerprints are of different algorithms or versions.
    """
    if (a.algorithm, a.version) != (b.algorithm, b.version):
        raise ValueError(
            f"can't compare fingerprints of {a.algorithm} {a.version} and {b.algorithm} "
            f"{b.version}: compute the older one again"
        )
    # Numbers differ a little by which picture is laid on which, and the order must not matter.
    turned = (len(a.thumbnail), a.thumbnail) > (len(b.thumbnail), b.thumbnail)
    first, second = (b, a) if turned else (a, b)
    match = best_match(decode(first.thumbnail), decode(second.thumbnail))
    return _reported(first, second, match, turned=turned)


def _findings(match: Match) -> _Findings:
    found = match.structure
    content = found.content.copy()
    bar = _status_bar_rows(match)
    bar_differs = bool((found.difference[:bar][content[:bar]] > DIFFERS).any())
    content[:bar] = False
    seen = found.difference[content]
    if len(seen) < LEAST_CONTENT:
        return _Findings(False, 0.0, np.zeros_like(content), False, False, bar_differs)
    worst = float(seen.max())
    unlike = worst > DOUBTFUL and _stands_out(found.difference, content)
    faint = unlike and worst <= DIFFERS
    even = DIFFERS < worst < MOST_EVENLY and not unlike and float(np.median(seen)) > EVENLY
    marked = (found.difference > (0.8 * worst if faint else DIFFERS)) & content
    if even:
        marked[:] = False
    loss = float(np.clip((seen - SAME) / (OTHER - SAME), 0, 1).mean())
    return _Findings(True, loss, marked, faint, even, bar_differs)


def _stands_out(difference: npt.NDArray[np.float32], content: npt.NDArray[np.bool_]) -> bool:
    """Whether the worst windows are unlike the rest of the picture, however little they differ."""
    left = np.where(content, difference, 0)
    row, column = np.unravel_index(int(left.argmax()), left.shape)
    worst = float(left[row, column])
    if worst > UNUSUAL * (float(np.quantile(difference[content], USUAL)) + 0.01):
        return True
    rows, columns = BESIDE
    left[max(0, row - rows) : row + rows + 1, max(0, column - columns) : column + columns + 1] = 0
    return worst > STANDS_OUT * (float(left.max()) + 0.005)


def _verdict(findings: _Findings, shared: float) -> Verdict:
    windows = int(findings.marked.sum())
    if not findings.enough:
        return "review" if shared > LEAST_SHARED else "different"
    if windows > FEW_WINDOWS or shared < LEAST_SHARED / 2:
        return "different"
    return "review" if windows or shared < LEAST_SHARED else "copy"


def _reported(a: Fingerprint, b: Fingerprint, match: Match, *, turned: bool) -> Comparison:
    findings = _findings(match)
    verdict = _verdict(findings, match.shared)
    regions_a, regions_b = _regions(match, findings.marked)
    scale = _scale(a, b, match)
    cut_a, cut_b = _cuts(match)
    if turned:
        regions_a, regions_b, cut_a, cut_b, scale = regions_b, regions_a, cut_b, cut_a, 1 / scale
    percentage = _percentage(findings)
    return Comparison(
        percentage=percentage,
        verdict=verdict,
        scale=scale,
        cut_a=cut_a,
        cut_b=cut_b,
        regions_a=regions_a,
        regions_b=regions_b,
        explanation=explained(
            verdict=verdict,
            percentage=percentage,
            scale=scale,
            cut_a=cut_a,
            cut_b=cut_b,
            differing=len(regions_a),
            faint=findings.faint,
            even=findings.even,
            bar_differs=findings.bar_differs,
            enough=findings.enough,
            shared=match.shared,
        ),
    )


def _percentage(findings: _Findings) -> float:
    """One decimal, rounded down where anything differs, so that 100 means what it says."""
    if not findings.enough:
        return 0.0
    share = 100 * (1 - findings.loss)
    if not findings.marked.any():
        return round(share, 1)
    return min(99.9, math.floor(share * 10) / 10)


def _status_bar_rows(match: Match) -> int:
    """Rows of windows that a status bar may take, in the picture that reaches higher up."""
    place = match.placement
    width, height, top = float(match.size_a[0]), float(match.size_a[1]), 0.0
    if place.shift_y > 0.01 * match.size_b[1]:
        width, height = match.size_b[0] / place.scale_x, match.size_b[1] / place.scale_y
        top = -place.shift_y / place.scale_y
    aspect = height / width
    if aspect < SCREEN:
        return 0
    share = TALL_STATUS_BAR if aspect >= TALL else STATUS_BAR
    if aspect > LONG:
        share = LONG_STATUS_BAR / aspect
    return max(0, math.ceil((top + share * height - match.area[1]) / CELL))


def _regions(
    match: Match, marked: npt.NDArray[np.bool_]
) -> tuple[tuple[Region, ...], tuple[Region, ...]]:
    in_a, in_b = [], []
    for left, top, right, bottom in boxes(marked):
        start = match.structure.box(top, left)
        end = match.structure.box(bottom - 1, right - 1)
        area = (
            float(match.area[0] + start[0]),
            float(match.area[1] + start[1]),
            float(match.area[0] + end[2]),
            float(match.area[1] + end[3]),
        )
        in_a.append(_region(area, match.size_a))
        in_b.append(_region(match.placement.box(area), match.size_b))
    return tuple(in_a), tuple(in_b)


def _region(box: tuple[float, float, float, float], size: tuple[int, int]) -> Region:
    left, right = (min(1.0, max(0.0, x / size[0])) for x in (box[0], box[2]))
    top, bottom = (min(1.0, max(0.0, y / size[1])) for y in (box[1], box[3]))
    return Region(left, top, right - left, bottom - top)


def _scale(a: Fingerprint, b: Fingerprint, match: Match) -> float:
    """Pixels of b's original for one of a's, the mean of both axes."""
    place = match.placement
    across = place.scale_x * (b.width / match.size_b[0]) / (a.width / match.size_a[0])
    down = place.scale_y * (b.height / match.size_b[1]) / (a.height / match.size_a[1])
    return math.sqrt(across * down)


def _cuts(match: Match) -> tuple[Shares, Shares]:
    """What each picture shows beyond the other, in shares of itself."""
    width, height = match.size_a
    left, top, right, bottom = match.placement.box((0.0, 0.0, float(width), float(height)))
    place, (across, down) = match.placement, match.size_b
    beyond_a = (
        -left / place.scale_x / width,
        -top / place.scale_y / height,
        (right - across) / place.scale_x / width,
        (bottom - down) / place.scale_y / height,
    )
    beyond_b = (left / across, top / down, 1 - right / across, 1 - bottom / down)
    return _shares(beyond_a), _shares(beyond_b)


def _shares(values: tuple[float, float, float, float]) -> Shares:
    left, top, right, bottom = (min(1.0, max(0.0, value)) for value in values)
    return left, top, right, bottom
