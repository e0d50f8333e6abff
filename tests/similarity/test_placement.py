"""How two pictures are laid on one another."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies
from PIL import Image

from runner.similarity.matching import best_match
from tests.similarity.conftest import receipt

GRAY = receipt("chat").draw().convert("L").resize((300, 650), Image.Resampling.LANCZOS)
CUT = strategies.floats(0, 0.06)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(CUT, CUT, CUT, CUT, strategies.floats(0.75, 1.3))
def test_a_crop_is_found_where_it_was_cut(
    left: float, top: float, right: float, bottom: float, scale: float
) -> None:
    """Any crop of up to 6 % a side, at any size, is laid within a pixel of where it came from."""
    box = (left * 300, top * 650, (1 - right) * 300, (1 - bottom) * 650)
    size = (round((box[2] - box[0]) * scale), round((box[3] - box[1]) * scale))
    part = GRAY.resize(size, Image.Resampling.BICUBIC, box=box)
    found = best_match(GRAY, part)
    grown = found.size_a[0] / 300  # the larger of two thumbnails is reduced first
    corners = found.placement.box((box[0] * grown, box[1] * grown, box[2] * grown, box[3] * grown))
    expected = (0, 0, found.size_b[0], found.size_b[1])
    assert corners == pytest.approx(expected, abs=1.0)
    assert found.agreement > 0.97
