"""Whether a picture looks like a screenshot of a phone, and why, in sentences."""

from __future__ import annotations

from dataclasses import dataclass

from runner.tasks.image_signals.metadata import Source

STANDARD, TALL, SHORT = "9:16 (Standard)", "9:19.5 (Tall)", "3:4 or 9:13"
LANDSCAPE, UNUSUAL = "landscape", "unusual"

_SHAPES = ((13, 16, SHORT), (17, 19, STANDARD), (20, 23, TALL))
"""From and up to this height, both inclusive, in tenths of the width. In between is unusual: no
phone's screen has 1.65 or 1.95. Whole numbers, so that a boundary is exact."""

LEAST_WIDTH, LEAST_HEIGHT = 200, 300
MOST_WIDTH, MOST_HEIGHT = 2000, 4000
"""A side that has exactly as many pixels is still within the limits."""

LEAST_TEXT = 8
"""Of a text density of 0..100: half of what the emptiest drawn receipt has, since an almost empty
receipt is to be believed rather than doubted (`python -m tests.bench.text_density`)."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a picture looks like: `aspect_ratio`, `looks_like_screenshot` and the explanation."""

    aspect_ratio: str
    is_screenshot: bool
    explanation: str


def aspect_ratio(width: int, height: int) -> str:
    """The class of a picture's shape; its sides in pixels, upright, at least 1."""
    if width < 1 or height < 1:
        raise ValueError(f"no picture has {width} x {height} pixels")
    if height < width:
        return LANDSCAPE
    for least, most, name in _SHAPES:
        if least * width <= 10 * height <= most * width:
            return name
    return UNUSUAL


def look(width: int, height: int, text: int, source: Source, device: str | None) -> Look:
    """Judge a picture by its sides in pixels, text density 0..100, and source.

    An editor does not change what a picture looks like, so an edited one may look like a
    screenshot; the sentence and `exif_source_type` say that it was edited.
    """
    shape = aspect_ratio(width, height)
    against = _against(width, height, text, shape)
    if source is Source.CAMERA:
        name = f" ({device})" if device else ""
        against.append(f"its metadata names a camera or phone{name} and no screenshot")
    sentences = [_conclusion(width, height, text, shape, against)]
    if source is Source.SCREENSHOT:
        sentences.append("Its metadata fits a screenshot.")
    elif source is Source.EDITED:
        sentences.append("Its metadata names a program that can change pictures.")
    if width > MOST_WIDTH or height > MOST_HEIGHT:
        sentences.append(
            f"It is larger than most phones' screens ({width} x {height} pixels), as scrolling "
            "screenshots and enlarged pictures are; this is only noted."
        )
    return Look(shape, not against, " ".join(sentences))


def _against(width: int, height: int, text: int, shape: str) -> list[str]:
    reasons = []
    if shape == LANDSCAPE:
        reasons.append(f"it is wider than it is high ({width} x {height} pixels)")
    elif shape == UNUSUAL:
        reasons.append(
            f"its shape is not that of a phone's screen (it is {height / width:.2f} times as high "
            "as it is wide)"
        )
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        reasons.append(
            f"it is very small ({width} x {height} pixels, where a screenshot has at least "
            f"{LEAST_WIDTH} x {LEAST_HEIGHT})"
        )
    if text < LEAST_TEXT:
        reasons.append(
            f"there is hardly any text in it (text density {text} of 100, where a receipt has at "
            f"least {LEAST_TEXT})"
        )
    return reasons


def _conclusion(width: int, height: int, text: int, shape: str, against: list[str]) -> str:
    if not against:
        return (
            f"It looks like a phone's screenshot: {width} x {height} pixels have the shape of a "
            f"screen, {shape}, and there is text as on a receipt (text density {text} of 100)."
        )
    return (
        f"It does not look like a phone's screenshot: {_listed(against)}. This is a reason to "
        "look at the picture, and no proof of anything."
    )


def _listed(reasons: list[str]) -> str:
    *first, last = reasons
    return f"{', '.join(first)}, and {last}" if first else last
