"""The score keeps to its rules, and to 0..100, whatever it is given."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.tasks.quality_score import score
from runner.tasks.quality_score.boxes import Box
from runner.tasks.quality_score.score import Parts, parts, total

GOOD: dict[str, Any] = {
    "box": Box(0.25, 0.25, 0.5, 0.5),
    "subjects": 1,
    "visible_ratio": None,
    "width": 800,
    "height": 600,
    "brightness": 128.0,
}

edge = st.floats(-10, 10, allow_nan=False)
boxes = st.none() | st.builds(Box, edge, edge, edge, edge)
part = st.floats(0, 100)


@given(
    box=boxes,
    subjects=st.integers(0, 50),
    visible_ratio=st.none() | st.floats(-1, 2, allow_nan=False),
    width=st.integers(1, 100_000),
    height=st.integers(1, 100_000),
    brightness=st.floats(0, 255),
)
def test_score_and_parts_are_always_in_range(**given_values: Any) -> None:
    """No input whatever gives a part or a score below 0 or above 100."""
    found = parts(**given_values)
    for value in (found.size, found.position, found.resolution, found.contrast, found.primary):
        assert 0 <= value <= 100
    assert 0 <= total(found) <= 100
    assert isinstance(total(found), int)


@given(part, part, part, part, part)
def test_score_is_the_weighted_sum(a: float, b: float, c: float, d: float, e: float) -> None:
    """The score is within a half of .25 size + .20 position + .20 resolution + .15 contrast
    + .20 primary.
    """
    exact = 0.25 * a + 0.20 * b + 0.20 * c + 0.15 * d + 0.20 * e
    assert abs(total(Parts(a, b, c, d, e)) - exact) <= 0.5 + 1e-6


@pytest.mark.parametrize(
    "change, expected",
    [
        ({}, 100),
        ({"box": None, "subjects": 0}, 55),
        ({"width": 400, "height": 300}, 100),
        ({"width": 3000, "height": 399}, 100),
        ({"width": 300, "height": 200}, 90),
        ({"brightness": 20.0}, 93),
        ({"brightness": 0.0}, 85),
        ({"brightness": 237.5}, 93),
        ({"brightness": 255.0}, 85),
        ({"subjects": 2}, 95),
        ({"visible_ratio": 0.3}, 90),
        ({"visible_ratio": 0.6}, 100),
        ({"box": Box(0.04, 0.25, 0.5, 0.5)}, 90),
        ({"box": Box(0.04, 0.25, 0.5, 0.5), "visible_ratio": 0.9}, 100),
        ({"box": Box(0.4, 0.4, 0.25, 0.3)}, 78),
        ({"box": Box(0.0, 0.0, 1.0, 0.9)}, 68),
        ({"box": Box(0.0, 0.0, 1.0, 1.0)}, 55),
    ],
)
def test_documented_values(change: dict[str, Any], expected: int) -> None:
    """The rules give these scores: worked out by hand from their table."""
    assert total(parts(**{**GOOD, **change})) == expected


@pytest.mark.parametrize(
    "share, expected",
    [(None, 0), (0, 0), (0.075, 50), (0.15, 100), (0.5, 100), (0.8, 100), (0.9, 50), (1, 0)],
)
def test_size_by_share(share: float | None, expected: float) -> None:
    """A subject of 15 to 80 % of the picture is of the right size."""
    assert score.size(share) == pytest.approx(expected)


@pytest.mark.parametrize(
    "share, subjects, expected",
    [(None, 0, 0), (0.1, 1, 50), (0.15, 1, 100), (0.8, 1, 100), (0.81, 1, 50), (0.5, 3, 75),
     (0.1, 3, 50)],
)  # fmt: skip
def test_primary_by_share_and_number(share: float | None, subjects: int, expected: float) -> None:
    """One subject of the right size is the primary one; several share the attention."""
    assert score.primary(share, subjects) == expected


@pytest.mark.parametrize(
    "parts_of_half, expected",
    [(Parts(100, 100, 100, 100, 97.5), 100), (Parts(2, 0, 0, 0, 0), 1), (Parts(1.9, 0, 0, 0, 0), 0),
     (Parts(10, 0, 0, 0, 0), 3), (Parts(0, 0, 0, 3.3333, 0), 0)],
)  # fmt: skip
def test_half_is_rounded_up(parts_of_half: Parts, expected: int) -> None:
    """A half is rounded up and not to the even number, as in SQL."""
    assert total(parts_of_half) == expected


@given(st.floats(0.15, 0.8), st.integers(120_000, 10**9), st.floats(40, 220))
def test_good_picture_scores_100(share: float, pixels: int, brightness: float) -> None:
    """Whatever keeps within all the rules has the full score."""
    side = share**0.5
    start = (1 - side) / 2
    found = parts(
        box=Box(start, start, side, side),
        subjects=1,
        visible_ratio=1.0,
        width=pixels,
        height=1,
        brightness=brightness,
    )
    assert total(found) >= 99
