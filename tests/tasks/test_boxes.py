"""Stored boxes are understood in every shape and unit they come in, and nonsense is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.tasks.quality_score.boxes import Box, overlap, read_stored

SHARES = {"x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4}
EXPECTED = Box(0.1, 0.2, 0.3, 0.4)


def assert_box(found: Box | None, expected: Box) -> None:
    """Both are the same but for rounding."""
    assert found is not None
    assert overlap(found, expected) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    "value, units",
    [
        (SHARES, "shares"),
        ([SHARES], "shares"),
        (json.dumps([SHARES]), "shares"),
        ({"topLeft": {"x": 0.1, "y": 0.2}, "bottomRight": {"x": 0.4, "y": 0.6}}, "shares"),
        ({"x": 10, "y": 20, "width": 30, "height": 40}, "percent"),
        ({"topLeft": {"x": 10, "y": 20}, "bottomRight": {"x": 40, "y": 60}}, "percent"),
        ({"x": 80, "y": 120, "width": 240, "height": 240}, "pixels"),
        ({"topLeft": {"x": 80, "y": 120}, "bottomRight": {"x": 320, "y": 360}}, "pixels"),
        ({**SHARES, "label": "wing", "note": None}, "shares"),
    ],
)
def test_shapes_and_units(value: Any, units: str) -> None:
    """Both shapes, alone or in a list, in shares, percent or pixels, are the same box."""
    stored = read_stored(value, 800, 600)
    assert_box(stored.box, EXPECTED)
    assert (stored.units, stored.notes) == (units, [])


def test_parts_are_united() -> None:
    """Boxes of a body's parts, in any mix of shapes, make one box around all."""
    parts = [
        {"x": 0.2, "y": 0.2, "width": 0.1, "height": 0.1},
        {"topLeft": {"x": 0.5, "y": 0.1}, "bottomRight": {"x": 0.6, "y": 0.7}},
    ]
    assert_box(read_stored(parts, 10, 10).box, Box(0.2, 0.1, 0.4, 0.6))


def test_units_are_those_of_all_boxes_together() -> None:
    """A small part in pixels isn't taken for percent when another part shows that it's pixels."""
    parts = [
        {"x": 40, "y": 30, "width": 40, "height": 30},
        {"x": 400, "y": 300, "width": 400, "height": 300},
    ]
    stored = read_stored(parts, 800, 600)
    assert stored.units == "pixels"
    assert_box(stored.box, Box(0.05, 0.05, 0.95, 0.95))


def test_small_picture_is_in_pixels() -> None:
    """Where the whole picture is below 100 pixels, numbers below 100 are pixels."""
    stored = read_stored({"x": 8, "y": 12, "width": 24, "height": 24}, 80, 60)
    assert stored.units == "pixels"
    assert_box(stored.box, EXPECTED)


@pytest.mark.parametrize(
    "value",
    [
        42,
        "not json",
        [None],
        {},
        {"x": 1, "y": 2},
        {"x": "a", "y": 0, "width": 1, "height": 1},
        {"x": True, "y": 0, "width": 1, "height": 1},
        {"x": 0.5, "y": 0.5, "width": -0.2, "height": 0.2},
        {"x": 0.5, "y": 0.5, "width": 0, "height": 0.2},
        {"x": 0.5, "y": 0.5, "width": float("nan"), "height": 0.2},
        {"x": 0.5, "y": 0.5, "width": float("inf"), "height": 0.2},
        {"x": -500, "y": 0, "width": 900, "height": 100},
        {"x": 700, "y": 500, "width": 400, "height": 400},
        {"topLeft": {"x": 0.6, "y": 0.6}, "bottomRight": {"x": 0.2, "y": 0.2}},
        {"topLeft": {}, "bottomRight": None},
    ],
)
def test_nonsense_is_ignored_with_a_note(value: Any) -> None:
    """What is no box within the picture counts as no box, and says why."""
    stored = read_stored(value, 800, 600)
    assert stored.box is None
    assert len(stored.notes) == 1
    assert "ignored" in stored.notes[0]


@pytest.mark.parametrize("value", [None, [], "null", "[]"])
def test_nothing_stored_is_not_worth_a_note(value: Any) -> None:
    """Rows without boxes are the ordinary case."""
    assert read_stored(value, 800, 600).notes == []


def test_good_box_beside_nonsense_counts() -> None:
    """One bad box doesn't spoil the others."""
    stored = read_stored([{"x": 1}, SHARES], 800, 600)
    assert_box(stored.box, EXPECTED)
    assert stored.notes == ["stored box 1 ignored: not a box"]


def test_slight_excess_is_cut_off() -> None:
    """A box drawn a little over the edge ends at the edge."""
    stored = read_stored({"x": -0.01, "y": 0, "width": 1.02, "height": 1}, 800, 600)
    assert stored.box == Box(0, 0, 1, 1)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["x", "y", "width", "height", "topLeft", "bottomRight"]), inner
        )
    ),
    max_leaves=20,
)


@given(json_values, st.integers(1, 10_000), st.integers(1, 10_000))
def test_any_json_is_survived(value: Any, width: int, height: int) -> None:
    """Whatever is stored, the result is a box within the picture, or none."""
    box = read_stored(value, width, height).box
    if box is not None:
        assert 0 <= box.x < box.x + box.width <= 1 + 1e-9
        assert 0 <= box.y < box.y + box.height <= 1 + 1e-9
        assert 0 < box.share <= 1
