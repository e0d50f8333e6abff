"""Text density says how much text there is, whatever was done to the picture on its way."""

from __future__ import annotations

import io
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps

from runner.pictures import decode
from runner.tasks.image_signals.density import text_density
from tests.tasks.samples_signals import foliage, jpeg, page, photograph, png, receipt


def scored(file: bytes) -> int:
    """The score of a file, decoded as the task does it."""
    return text_density(decode(file).image)


@cache
def original() -> int:
    """The receipt's score as a PNG of its phone's size."""
    return scored(png(receipt(1080, 2400)))


def test_order_is_that_of_the_eye() -> None:
    """Nothing has 0, a photograph little, a receipt more, and a page full of text everything."""
    assert text_density(Image.new("RGB", (720, 1600), "teal")) == 0
    assert scored(jpeg(photograph())) < 8
    assert 16 <= original() <= 26
    assert scored(png(page())) == 100


@pytest.mark.parametrize("width", [540, 756, 1512, 2160])
def test_score_does_not_depend_on_scale(width: int) -> None:
    """A receipt that was resized to 50, 70, 140 or 200 percent keeps its score within 5 points."""
    resized = receipt(1080, 2400).resize((width, width * 20 // 9), Image.Resampling.BICUBIC)
    assert abs(scored(jpeg(resized)) - original()) <= 5


@pytest.mark.parametrize("width", [720, 1440])
def test_score_does_not_depend_on_the_phone(width: int) -> None:
    """The same receipt on a screen of other resolution has the same score within 5 points."""
    assert abs(scored(png(receipt(width, width * 20 // 9))) - original()) <= 5


@pytest.mark.parametrize("quality", [60, 75, 95])
def test_score_does_not_depend_on_compression(quality: int) -> None:
    """A receipt that was encoded again keeps its score within 2 points."""
    assert abs(scored(jpeg(receipt(1080, 2400), quality)) - original()) <= 2


def test_dark_theme_has_the_score_of_the_light_one() -> None:
    """Light text on a dark ground counts like dark text on a light one."""
    assert abs(scored(png(ImageOps.invert(receipt(1080, 2400)))) - original()) <= 1


def test_photograph_does_not_hide_a_receipt() -> None:
    """A receipt of which a photograph covers the lower half still has text."""
    image = receipt(1080, 2400)
    image.paste(photograph(1080, 1200), (0, 1200))
    assert scored(jpeg(image)) > 0.6 * original()


def test_foliage_is_less_than_text() -> None:
    """Where nothing is flat, steps count less than the same steps on a page, however many."""
    assert scored(png(foliage())) < 70


def test_gradient_is_no_text() -> None:
    """A soft gradient, however long, has no text."""
    assert text_density(Image.linear_gradient("L").convert("RGB").resize((720, 1600))) == 0
    assert text_density(Image.linear_gradient("L").rotate(90).convert("RGB")) == 0


def test_ruled_lines_across_are_no_text() -> None:
    """Lines from edge to edge have no horizontal steps, so they are no text."""
    image = Image.new("RGB", (720, 1600), "white")
    draw = ImageDraw.Draw(image)
    for y in range(0, 1600, 20):
        draw.line((0, y, 720, y), fill="black", width=3)
    assert text_density(image) == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.randoms(use_true_random=False))
def test_score_is_always_in_range(width: int, height: int, random: object) -> None:
    """A picture of any size and content has a whole number from 0 to 100."""
    noise = bytes(random.getrandbits(8) for _ in range(width * height))  # type: ignore[attr-defined]
    image = Image.frombytes("L", (width, height), noise).convert("RGB")
    for scale in (1, 20):
        score = text_density(image.resize((width * scale, height), Image.Resampling.NEAREST))
        assert isinstance(score, int)
        assert 0 <= score <= 100


def test_long_strips_are_scored() -> None:
    """A picture of one pixel's width or height has no text, and is no reason to fail."""
    for size in ((1, 20_000), (20_000, 1), (1, 1)):
        file = io.BytesIO()
        Image.new("RGB", size, "white").save(file, "PNG")
        assert scored(file.getvalue()) == 0
