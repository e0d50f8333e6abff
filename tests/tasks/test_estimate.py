"""The local estimate is worth having: it finds clear subjects, and says when it is unsure."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from PIL import Image, ImageDraw

from runner.pictures import decode
from runner.tasks.quality_score.boxes import Box, overlap
from runner.tasks.quality_score.estimate import CENTRE, estimate
from tests.bench.pictures import photographs


def drawn(box: Box, width: int = 600, height: int = 400) -> Image.Image:
    """An orange ellipse in this box, on soft green and blue."""
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    ground = np.stack([60 + 20 * across, 110 + 30 * down, 100 + 40 * across], axis=-1)
    image = Image.fromarray(ground.astype(np.uint8))
    edges = (
        box.x * width,
        box.y * height,
        (box.x + box.width) * width,
        (box.y + box.height) * height,
    )
    ImageDraw.Draw(image).ellipse(edges, fill=(230, 140, 30))
    return image


@pytest.mark.parametrize(
    "box",
    [Box(0.3, 0.25, 0.4, 0.5), Box(0.1, 0.1, 0.45, 0.8), Box(0.5, 0.4, 0.4, 0.5)],
)
def test_clear_subject_is_found(box: Box) -> None:
    """A subject that stands out is found where it is, also off the centre."""
    found = estimate(drawn(box))
    assert found is not None
    assert overlap(found.box, box) > 0.7
    assert found.confidence > 0.7


def test_it_beats_the_centre_box_on_photographs() -> None:
    """On photographs with marked subjects it is nearer to them than any fixed box."""
    marked = list(photographs())
    found = [estimate(decode(one.path.read_bytes()).image) for one in marked]
    mine = [overlap(e.box, m.box) for e, m in zip(found, marked, strict=True) if e is not None]
    assert len(mine) == len(marked) >= 7
    centre = [overlap(CENTRE, one.box) for one in marked]
    assert statistics.mean(mine) > statistics.mean(centre) + 0.05


@pytest.mark.parametrize("mode", ["flat", "almost"])
def test_empty_picture_has_no_subject(mode: str) -> None:
    """A wall, with or without a little noise, is no subject."""
    wall = np.full((300, 400, 3), 128, dtype=np.uint8)
    if mode == "almost":
        wall += np.random.default_rng(0).integers(0, 3, wall.shape, dtype=np.uint8)
    assert estimate(Image.fromarray(wall)) is None


def test_texture_alone_is_no_small_subject() -> None:
    """Where everything is alike busy the box is nearly the whole picture, which scores low."""
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    found = estimate(Image.fromarray(noise))
    assert found is None or found.box.share > 0.8


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 2), (2000, 8)])
def test_any_size_is_survived(size: tuple[int, int]) -> None:
    """The smallest and the narrowest pictures give a box within the picture, or none."""
    ramp = np.linspace(0, 255, size[0] * size[1]).reshape(size[1], size[0], 1).repeat(3, axis=2)
    found = estimate(Image.fromarray(ramp.astype(np.uint8)))
    assert found is None or (0 < found.box.share <= 1 and 0 <= found.confidence <= 1)


def test_same_picture_same_box() -> None:
    """There is no chance in it."""
    image = drawn(Box(0.2, 0.3, 0.4, 0.4))
    assert estimate(image) == estimate(image.copy())
