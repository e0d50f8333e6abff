"""The catalogue: every picture that the demo's host serves, and what is known about each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, partial
from typing import Any

from runner.demo import broken, drawn, photographs
from runner.demo.boxes import Box, as_corners, as_extent

DRAWINGS = 268
SLOW_SECONDS = 1.5
RETRY_AFTER_SECONDS = 1


class Kind(StrEnum):
    """What a picture is in the demo for; `BROKEN` ones can't be scored, all others can."""

    PHOTOGRAPH = "photograph"
    DRAWN = "drawn"
    UNUSUAL = "unusual"
    UNRELIABLE = "unreliable"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Answer:
    """How the host answers. `first_status` holds for the first request of a URL only."""

    status: int = 200
    first_status: int | None = None
    retry_after: int | None = None
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of the catalogue.

    `width` and `height` are what the application believes, in pixels, None where it doesn't
    know; only of a sound picture are they true. `subjects` is where its subjects are, `boxes`
    what the application has stored of that, empty for nothing.
    """

    path: str
    kind: Kind
    source_type: str
    render: Callable[[], bytes] = field(compare=False)
    width: int | None = None
    height: int | None = None
    subjects: tuple[Box, ...] = ()
    boxes: tuple[Mapping[str, Any], ...] = ()
    content_type: str = "image/jpeg"
    answer: Answer = Answer()

    @property
    def scorable(self) -> bool:
        """Whether a score can be computed, once the host has come round to answering."""
        return self.kind is not Kind.BROKEN


@cache
def catalogue() -> tuple[Picture, ...]:
    """All pictures, well mixed; always the same ones in the same order.

    Nothing is drawn or decoded before a picture's `render` is called. Raises `UsageError` where
    the package with the photographs isn't installed.
    """
    found = [*_photographs(), *_drawn(), *_unusual(), *_unreliable(), *_broken()]
    return tuple(sorted(found, key=lambda p: hashlib.sha256(p.path.encode()).digest()))


@cache
def by_path() -> Mapping[str, Picture]:
    """The catalogue by path."""
    return {picture.path: picture for picture in catalogue()}


def _photographs() -> Iterator[Picture]:
    for n, photograph in enumerate(photographs.PHOTOGRAPHS):
        for m, variant in enumerate(photographs.variants(photograph)):
            width, height = photographs.size(photograph, variant)
            subject = photographs.subject(photograph, variant)
            subjects = () if subject is None else (subject,)
            shape = as_corners if m % 4 else as_extent
            yield Picture(
                path=f"/unsplash/{photograph.name}-{variant.name}.jpg",
                kind=Kind.PHOTOGRAPH,
                source_type="unsplash",
                width=width,
                height=height,
                subjects=subjects,
                boxes=tuple(map(shape, subjects)) if (n + m) % 2 else (),
                render=partial(photographs.render, photograph, variant),
            )


def _drawn() -> Iterator[Picture]:
    for number in range(DRAWINGS):
        drawing = drawn.drawing(number)
        source_type, folder = ("local_upload", "uploads") if number % 3 else ("url", "web")
        yield Picture(
            path=f"/{folder}/bird-{number:03}.jpg",
            kind=Kind.DRAWN,
            source_type=source_type,
            width=drawing.width,
            height=drawing.height,
            subjects=drawing.subjects,
            boxes=_stored(drawing),
            render=partial(drawn.render, drawing),
        )


def _stored(drawing: drawn.Drawing) -> tuple[Mapping[str, Any], ...]:
    """What the application stored: nothing for half, else either shape, at times body parts."""
    if drawing.number % 2:
        return ()
    if drawing.number % 8 == 0 and len(drawing.subjects) == 1:
        return tuple(map(as_corners, drawing.parts))
    return tuple(map(as_extent if drawing.number % 4 else as_corners, drawing.subjects))


def _unusual() -> Iterator[Picture]:
    bird = drawn.STANDARD.subjects
    for name, content_type, size, subjects, render in (
        ("deep-1.png", "image/png", (1200, 800), bird, broken.deep),
        ("deep-2.png", "image/png", None, bird, broken.deep),
        ("press-1.jpg", "image/jpeg", (1200, 800), bird, broken.cmyk),
        ("press-2.jpg", "image/jpeg", None, bird, broken.cmyk),
        ("hop.gif", "image/gif", (480, 320), bird, broken.animated),
        ("cut-out-1.png", "image/png", (600, 450), broken.CUT_OUT, broken.transparent),
        ("cut-out-2.png", "image/png", None, broken.CUT_OUT, broken.transparent),
        ("on-its-side.jpg", "image/jpeg", (1200, 800), bird, broken.rotated),
    ):
        yield Picture(
            path=f"/uploads/{name}",
            kind=Kind.UNUSUAL,
            source_type="local_upload",
            width=size[0] if size else None,
            height=size[1] if size else None,
            subjects=subjects,
            content_type=content_type,
            render=render,
        )


def _unreliable() -> Iterator[Picture]:
    answers = {
        "flaky": Answer(first_status=500),
        "slow": Answer(delay=SLOW_SECONDS),
        "busy": Answer(first_status=429, retry_after=RETRY_AFTER_SECONDS),
    }
    for n, (name, answer) in enumerate(answers.items()):
        for number in (1, 2):
            drawing = drawn.drawing(DRAWINGS + 2 * n + number)
            yield Picture(
                path=f"/web/{name}-{number}.jpg",
                kind=Kind.UNRELIABLE,
                source_type="url",
                width=drawing.width,
                height=drawing.height,
                subjects=drawing.subjects,
                render=partial(drawn.render, drawing),
                answer=answer,
            )


def _broken() -> Iterator[Picture]:
    jpeg, png = "image/jpeg", "image/png"
    # Not what is in the file but what the application believes: it can't be trusted.
    for path, content_type, render, status in (
        ("/uploads/half-sent-1.jpg", jpeg, broken.truncated, 200),
        ("/uploads/half-sent-2.jpg", jpeg, broken.truncated, 200),
        ("/web/half-sent-3.jpg", jpeg, broken.truncated, 200),
        ("/web/sign-in-1.jpg", jpeg, broken.html, 200),
        ("/web/sign-in-2.jpg", "text/html; charset=utf-8", broken.html, 200),
        ("/web/logo.svg", "image/svg+xml", broken.svg, 200),
        ("/uploads/empty-1.jpg", jpeg, broken.empty, 200),
        ("/web/empty-2.jpg", jpeg, broken.empty, 200),
        ("/web/bomb.png", png, broken.bomb, 200),
        ("/unsplash/missing-1.jpg", jpeg, broken.empty, 404),
        ("/uploads/missing-2.jpg", jpeg, broken.empty, 404),
        ("/unsplash/withdrawn.jpg", jpeg, broken.empty, 410),
    ):
        folder = path.split("/")[1]
        yield Picture(
            path=path,
            kind=Kind.BROKEN,
            source_type={"uploads": "local_upload", "web": "url"}.get(folder, folder),
            width=800,
            height=600,
            content_type=content_type,
            render=render,
            answer=Answer(status=status),
        )
