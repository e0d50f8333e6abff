"""Drawn birds: pictures whose subject is exactly where its box says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw, ImageOps

from runner.demo.boxes import WHOLE, Box
from runner.demo.encode import jpeg
from runner.demo.photographs import expose

Colour = tuple[int, int, int]
Point = tuple[float, float]

ASPECT = 1.2
"""Width to height, in pixels, of a bird that isn't squeezed by the picture's border."""

PLUMAGES: tuple[tuple[Colour, Colour], ...] = (
    ((176, 58, 46), (120, 32, 30)),
    ((46, 98, 168), (24, 58, 112)),
    ((212, 172, 44), (140, 104, 20)),
    ((96, 88, 76), (58, 50, 44)),
    ((58, 128, 74), (30, 82, 46)),
    ((232, 228, 216), (168, 160, 146)),
)
BACKGROUNDS: tuple[tuple[Colour, Colour], ...] = (
    ((150, 196, 232), (222, 232, 214)),
    ((206, 214, 220), (128, 150, 110)),
    ((236, 196, 158), (110, 120, 146)),
    ((120, 160, 120), (196, 206, 160)),
)
DIMENSIONS = (
    (1200, 800), (800, 1200), (1024, 768), (900, 900), (640, 480), (1600, 1067),
    (480, 320), (400, 300), (320, 240), (160, 120), (2400, 1600), (768, 1024),
)  # fmt: skip
SHARES = (0.3, 0.45, 0.2, 0.08, 0.6, 0.25, 0.03, 0.7, 0.35, 0.88, 0.5, 0.14)
BRIGHTNESS: Mapping[int, float] = {4: 25, 9: 236, 14: 8, 19: 248}
"""Mean brightness that four of every twenty drawings are brought to, by number modulo 20."""
PLACES = ("centre", "third", "centre", "edge", "centre", "third", "cut", "pair")

# In shares of the bird's own box, the bird looking to the right.
BODY = (0.14, 0.28, 0.8, 0.88)
HEAD = (0.58, 0.0, 0.88, 0.42)
WING = (0.24, 0.4, 0.62, 0.72)
EYE = (0.74, 0.12, 0.8, 0.2)
BEAK: tuple[Point, ...] = ((0.85, 0.14), (1.0, 0.22), (0.85, 0.3))
TAIL: tuple[Point, ...] = ((0.0, 0.5), (0.0, 0.7), (0.3, 0.72), (0.3, 0.5))
LEGS = (0.44, 0.54)
PARTS = (
    Box(0.58, 0.0, 0.42, 0.42, "head"),
    Box(0.14, 0.28, 0.66, 0.72, "body"),
    Box(0.0, 0.5, 0.3, 0.22, "tail"),
)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawn picture of one or two birds; `birds` may reach over the picture's border."""

    number: int
    width: int
    height: int
    birds: tuple[Box, ...]
    facing_left: bool
    brightness: float | None

    @property
    def subjects(self) -> tuple[Box, ...]:
        """What can be seen of each bird, in shares of the picture."""
        return tuple(seen for bird in self.birds if (seen := bird.within(WHOLE)) is not None)

    @property
    def parts(self) -> tuple[Box, ...]:
        """Head, body and tail of the first bird, as far as they can be seen."""
        bird = self.birds[0]
        parts = (part.mirrored() if self.facing_left else part for part in PARTS)
        placed = (
            Box(
                bird.x + part.x * bird.width,
                bird.y + part.y * bird.height,
                part.width * bird.width,
                part.height * bird.height,
                part.label,
            )
            for part in parts
        )
        return tuple(seen for part in placed if (seen := part.within(WHOLE)) is not None)


STANDARD = Drawing(-1, 1200, 800, (Box(0.25, 0.15, 0.5, 0.675, "bird"),), False, None)
"""A well placed bird in a well exposed picture."""


def drawing(number: int) -> Drawing:
    """The drawing with this number (0 and up): the same number always gives the same drawing."""
    # Only `random()` is promised to give the same numbers in every version of Python.
    random = Random(f"bird {number}").random
    width, height = DIMENSIONS[int(random() * len(DIMENSIONS))]
    share = SHARES[number % len(SHARES)]
    place = PLACES[int(random() * len(PLACES))]
    facing_left = random() < 0.5
    box = _placed(share, place, width / height, (random(), random()))
    birds: tuple[Box, ...] = (box,)
    if place == "pair":
        half = Box(box.x / 2, box.y, box.width / 2, box.height, "bird")
        birds = (half, Box(0.5 + half.x, half.y, half.width, half.height, "bird"))
    return Drawing(number, width, height, birds, facing_left, BRIGHTNESS.get(number % 20))


def _placed(share: float, place: str, picture_aspect: float, at: Point) -> Box:
    height = min(1.0, math.sqrt(share * picture_aspect / ASPECT))
    width = min(1.0, share / height)
    free_x, free_y = 1 - width, 1 - height
    if place == "third":
        x, y = free_x * (0.25 if at[0] < 0.5 else 0.75), free_y * (0.3 + 0.4 * at[1])
    elif place == "edge":
        x, y = (0.0 if at[0] < 0.5 else free_x), free_y * at[1]
    elif place == "cut":
        hidden = width * (0.25 + 0.4 * at[0])
        x, y = (-hidden if at[1] < 0.5 else 1 - width + hidden), free_y / 2
    else:
        x, y = free_x * (0.45 + 0.1 * at[0]), free_y * (0.45 + 0.1 * at[1])
    return Box(x, y, width, height, "bird")


def image(spec: Drawing) -> Image.Image:
    """The drawing as an RGB picture in memory."""
    random = Random(f"scene {spec.number}").random
    top, bottom = BACKGROUNDS[int(random() * len(BACKGROUNDS))]
    gradient = Image.linear_gradient("L").resize((spec.width, spec.height))
    canvas = ImageOps.colorize(gradient, top, bottom)
    pen = ImageDraw.Draw(canvas)
    _leaves(pen, spec, bottom, random())
    for bird in spec.birds:
        plumage = PLUMAGES[int(random() * len(PLUMAGES))]
        _bird(pen, spec, bird, plumage)
    return canvas if spec.brightness is None else expose(canvas, spec.brightness)


def render(spec: Drawing) -> bytes:
    """The drawing as a JPEG file."""
    return jpeg(image(spec))


def _leaves(pen: ImageDraw.ImageDraw, spec: Drawing, base: Colour, phase: float) -> None:
    """Faint round leaves all over, so that the background isn't flat."""
    tints = [(max(0, r - d), max(0, g - d // 2), max(0, b - d)) for r, g, b in [base]
             for d in (14, 26, 38)]  # fmt: skip
    radius = max(2.0, min(spec.width, spec.height) / 28)
    for n in range(60):
        # The golden ratio's multiples spread evenly without a visible grid.
        x = (phase + n * 0.6180339887) % 1 * spec.width
        y = (phase + n / 60) % 1 * spec.height
        r = radius * (0.5 + n % 5 / 4)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=tints[n % 3])


def _bird(
    pen: ImageDraw.ImageDraw, spec: Drawing, bird: Box, plumage: tuple[Colour, Colour]
) -> None:
    def at(x: float, y: float) -> Point:
        across = 1 - x if spec.facing_left else x
        # The last pixel of the box is the one before its far side.
        return (
            bird.x * spec.width + across * (bird.width * spec.width - 1),
            bird.y * spec.height + y * (bird.height * spec.height - 1),
        )

    def oval(x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
        (ax, ay), (bx, by) = at(x0, y0), at(x1, y1)
        pen.ellipse((min(ax, bx), ay, max(ax, bx), by), fill=colour)

    light, dark = plumage
    thick = max(1, round(bird.height * spec.height / 40))
    for leg in LEGS:
        pen.line([at(leg, 0.8), at(leg, 1.0)], fill=(90, 62, 30), width=thick)
    pen.polygon([at(*point) for point in TAIL], fill=dark)
    oval(*BODY, light)
    oval(*HEAD, light)
    oval(*WING, dark)
    pen.polygon([at(*point) for point in BEAK], fill=(226, 136, 28))
    oval(*EYE, (16, 16, 16))
