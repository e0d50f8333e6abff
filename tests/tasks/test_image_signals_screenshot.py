"""Shape, size, text and source decide what looks like a screenshot, and a sentence says why."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.tasks.image_signals.metadata import Source
from runner.tasks.image_signals.screenshot import LEAST_TEXT, aspect_ratio, look

STANDARD, TALL, SHORT = "9:16 (Standard)", "9:19.5 (Tall)", "3:4 or 9:13"


@pytest.mark.parametrize(
    "height, name",
    [
        (1, "landscape"),
        (999, "landscape"),
        (1000, "unusual"),
        (1299, "unusual"),
        (1300, SHORT),
        (1600, SHORT),
        (1601, "unusual"),
        (1699, "unusual"),
        (1700, STANDARD),
        (1900, STANDARD),
        (1901, "unusual"),
        (1999, "unusual"),
        (2000, TALL),
        (2300, TALL),
        (2301, "unusual"),
        (9000, "unusual"),
    ],
)
def test_shape_has_its_class(height: int, name: str) -> None:
    """Height to width is classed with both ends of each range included."""
    assert aspect_ratio(1000, height) == name


@pytest.mark.parametrize(
    "width, height, name",
    [
        (720, 1280, STANDARD),
        (750, 1334, STANDARD),
        (828, 1792, TALL),
        (1080, 2400, TALL),
        (1170, 2532, TALL),
        (1440, 3200, TALL),
        (1536, 2048, SHORT),
    ],
)
def test_phones_have_their_class(width: int, height: int, name: str) -> None:
    """Screens that are sold fall into the class that is named for them."""
    assert aspect_ratio(width, height) == name


@pytest.mark.parametrize("size", [(0, 100), (100, 0), (-1, 5)])
def test_no_size_is_an_error(size: tuple[int, int]) -> None:
    """A size that no picture has is refused with that size in the message."""
    with pytest.raises(ValueError, match=f"{size[0]} x {size[1]}"):
        aspect_ratio(*size)


@pytest.mark.parametrize(
    "width, height, text, source, word",
    [
        (1600, 900, 30, Source.UNKNOWN, "wider than it is high"),
        (1000, 1950, 30, Source.UNKNOWN, "1.95 times as high"),
        (199, 360, 30, Source.UNKNOWN, "very small"),
        (200, 299, 30, Source.UNKNOWN, "very small"),
        (1080, 2400, LEAST_TEXT - 1, Source.UNKNOWN, "hardly any text"),
        (1080, 2400, 30, Source.CAMERA, "Fruit Phone"),
    ],
)
def test_reason_against_is_named(
    width: int, height: int, text: int, source: Source, word: str
) -> None:
    """Each thing that speaks against a screenshot decides, and is in the explanation."""
    seen = look(width, height, text, source, "Fruit Phone")
    assert not seen.is_screenshot
    assert word in seen.explanation
    assert "no proof" in seen.explanation


@pytest.mark.parametrize("source", [Source.UNKNOWN, Source.SCREENSHOT, Source.EDITED])
@pytest.mark.parametrize("size", [(200, 300), (1080, 2400), (720, 1280)])
def test_screenshot_is_recognised(size: tuple[int, int], source: Source) -> None:
    """The smallest valid size and the least text still make a screenshot, edited or not."""
    seen = look(*size, LEAST_TEXT, source, None)
    assert seen.is_screenshot
    assert seen.explanation.startswith("It looks like a phone's screenshot")
    assert ("can change pictures" in seen.explanation) == (source is Source.EDITED)


@pytest.mark.parametrize(
    "size, large",
    [((2000, 4000), False), ((2001, 4100), True), ((1900, 4001), True), ((2001, 3600), True)],
)
def test_large_picture_is_only_noted(size: tuple[int, int], large: bool) -> None:
    """A picture above 2000 x 4000 is judged like any other, and the explanation says its size."""
    seen = look(*size, 30, Source.UNKNOWN, None)
    assert seen.is_screenshot
    assert ("only noted" in seen.explanation) == large


@given(
    st.integers(1, 30_000),
    st.integers(1, 30_000),
    st.integers(0, 100),
    st.sampled_from(Source),
    st.none() | st.just("Fruit Phone"),
)
def test_explanation_is_sentences(
    width: int, height: int, text: int, source: Source, device: str | None
) -> None:
    """Whatever is judged, the explanation agrees with the judgement and is whole sentences."""
    seen = look(width, height, text, source, device)
    assert seen.explanation.startswith(
        "It looks like" if seen.is_screenshot else "It does not look like"
    )
    assert seen.explanation.endswith(".")
    assert "None" not in seen.explanation


def test_reasons_are_all_named() -> None:
    """Several reasons are told in one sentence, none left out."""
    seen = look(150, 100, 0, Source.CAMERA, "Fruit Phone")
    words = ("wider than", "very small", "hardly any text", "Fruit Phone")
    places = [seen.explanation.index(word) for word in words]
    assert all(a < b for a, b in itertools.pairwise(places))
