"""What the scale of similarity promises."""

from __future__ import annotations

import pytest

from runner.faces import ASSIGN_FROM, SUGGEST_FROM, distance, similarity
from runner.faces.similarity import ASSIGN_DISTANCE, MIDPOINT, SLOPE, SUGGEST_DISTANCE


def test_bands_begin_at_the_calibrated_distances() -> None:
    """The curve goes through both band edges."""
    assert similarity(ASSIGN_DISTANCE) == pytest.approx(ASSIGN_FROM)
    assert similarity(SUGGEST_DISTANCE) == pytest.approx(SUGGEST_FROM)


def test_curve_is_the_one_that_sql_has() -> None:
    """The two numbers of the curve are those that are written down elsewhere."""
    assert (round(SLOPE, 3), round(MIDPOINT, 4)) == (11.986, 0.6657)


def test_similarity_falls_with_the_distance() -> None:
    """The scale is strictly falling and stays within 0 and 100."""
    values = [similarity(step / 50) for step in range(100)]
    assert values == sorted(set(values), reverse=True)
    assert values[0] > 99.9
    assert 0 <= values[-1] < 0.1


def test_distance_is_euclidean() -> None:
    """Embeddings are compared by the length of their difference."""
    assert distance((0.0, 3.0), (4.0, 0.0)) == 5
