"""What is kept of a picture."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies
from PIL import Image

from runner.similarity import RADIUS, distance, nearest
from runner.similarity.coarse import BYTES
from runner.similarity.thumbnail import PIXELS, decode, encode
from tests.bench.receipts_edits import KINDS
from tests.similarity.conftest import copy, original, printed, receipt

BIGINTS = strategies.integers(-(2**63), 2**63 - 1)


def test_equal_pixels_give_equal_fingerprints() -> None:
    """A fingerprint follows from the pixels alone."""
    assert printed(receipt("hero").draw()) == printed(receipt("hero").draw())


def test_a_fingerprint_is_small() -> None:
    """What is kept of a phone's screenshot stays below 12 kB."""
    one = original("bank_table")
    assert one.size < 12_000
    assert len(one.coarse) == BYTES


def test_hashes_fit_into_a_bigint() -> None:
    """Hashes are signed 64-bit integers."""
    for value in original("hero").hashes:
        assert value is not None
        assert -(2**63) <= value < 2**63


def test_a_flat_picture_has_no_hash() -> None:
    """One colour has no hash, since it would be near everything flat."""
    assert printed(Image.new("RGB", (300, 500), "white")).flat
    assert not original("hero").flat


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_a_candidate(kind: str) -> None:
    """Every kind of edit leaves some hash within the radius of the original's."""
    for seed, app in enumerate(("hero", "dark_card", "bank_table")):
        found = nearest(original(app, seed).hashes, copy(app, kind, seed).hashes)
        assert found is not None
        assert found <= RADIUS


@given(BIGINTS, BIGINTS)
def test_distance_counts_the_bits_that_differ(a: int, b: int) -> None:
    """Distance is symmetric, 0..64, and what counting bits gives."""
    bits = sum((a >> i & 1) != (b >> i & 1) for i in range(64))
    assert distance(a, b) == distance(b, a) == bits


def test_nothing_is_near_where_there_is_no_hash() -> None:
    """A picture without hashes has no nearest other."""
    assert nearest((None, None), (1, 2)) is None
    assert nearest((None, 3), (1, None)) == 1


@pytest.mark.parametrize("size", [(40, 60), (271, 589), (3000, 400), (5000, 5000)])
def test_a_thumbnail_is_bounded_and_keeps_the_shape(size: tuple[int, int]) -> None:
    """A thumbnail never has more pixels than the limit, nor more than its picture."""
    small = decode(encode(Image.effect_noise(size, 20)))
    assert small.width * small.height <= min(PIXELS * 1.01, size[0] * size[1])
    assert small.width / small.height == pytest.approx(size[0] / size[1], rel=0.02)
