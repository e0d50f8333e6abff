"""What drawn receipts are drawn with: a phone's screen in density-independent pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from PIL import Image, ImageDraw, ImageFont

from tests.bench.receipts_facts import Facts

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)

# Left, centre and right, on the line through the middle of the letters.
ANCHORS = {"left": "lm", "centre": "mm", "right": "rm"}


@lru_cache(maxsize=256)
def font(pixels: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own scalable font, so that a drawing needs no file and looks alike everywhere."""
    return ImageFont.load_default(max(pixels, 6))


class Canvas:
    """A screen of `width` x `height` pixels; positions and sizes are in dp, `unit` pixels each."""

    def __init__(self, width: int, height: int, unit: float, background: Colour) -> None:
        self.image = Image.new("RGB", (width, height), background)
        self.unit = unit
        self.width = width / unit
        self.height = height / unit
        self._draw = ImageDraw.Draw(self.image)

    def _px(self, *values: float) -> tuple[int, ...]:
        return tuple(round(v * self.unit) for v in values)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        size: float,
        colour: Colour,
        *,
        align: str = "left",
        bold: bool = False,
    ) -> None:
        """One line of text; `y` is its middle."""
        stroke = max(1, round(size * self.unit / 28)) if bold else 0
        self._draw.text(
            (round(x * self.unit), round(y * self.unit)),
            words,
            colour,
            font(round(size * self.unit)),
            anchor=ANCHORS[align],
            stroke_width=stroke,
        )

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: Colour | None = None,
        *,
        radius: float = 0,
        outline: Colour | None = None,
    ) -> None:
        """A rectangle, rounded by `radius`, filled or outlined or both."""
        corners = self._px(x, y, x + width, y + height)
        self._draw.rounded_rectangle(
            corners, round(radius * self.unit), fill, outline, max(1, round(self.unit))
        )

    def circle(self, x: float, y: float, radius: float, fill: Colour) -> None:
        """A disc around (x, y)."""
        self._draw.ellipse(self._px(x - radius, y - radius, x + radius, y + radius), fill)

    def line(self, points: list[tuple[float, float]], colour: Colour, width: float = 1) -> None:
        """Straight strokes from point to point."""
        pixels = [(round(x * self.unit), round(y * self.unit)) for x, y in points]
        self._draw.line(pixels, colour, max(1, round(width * self.unit)), joint="curve")

    def dashes(self, x: float, y: float, width: float, colour: Colour, dash: float = 4) -> None:
        """A dashed line to the right."""
        for i in range(int(width / dash / 2)):
            self.box(x + 2 * i * dash, y, dash, 1, colour)

    def tick(self, x: float, y: float, radius: float, fill: Colour, mark: Colour = WHITE) -> None:
        """A disc with a check mark."""
        self.circle(x, y, radius, fill)
        r = radius / 2
        self.line([(x - r, y), (x - r / 4, y + r * 0.7), (x + r, y - r * 0.7)], mark, radius / 7)

    def gradient(self, top: Colour, bottom: Colour, y: float, height: float) -> None:
        """The whole width, from one colour down to the other."""
        first, last = self._px(y, y + height)
        for row in range(first, min(last, self.image.height)):
            share = (row - first) / max(1, last - first)
            mixed = tuple(round(a + (b - a) * share) for a, b in zip(top, bottom, strict=True))
            self._draw.line((0, row, self.image.width, row), mixed)

    def modules(
        self, x: float, y: float, side: float, seed: str, colour: Colour, paper: Colour
    ) -> None:
        """A square code: three finders and modules that depend on `seed`."""
        count = 25
        self.box(x, y, side, side, paper)
        cell = side / (count + 2)
        random = Random(seed).random
        for row in range(count):
            for column in range(count):
                if random() < 0.5 and not _in_finder(row, column, count):
                    left, top = x + (column + 1) * cell, y + (row + 1) * cell
                    corners = self._px(left, top, left + cell, top + cell)
                    self._draw.rectangle((corners[0], corners[1], corners[2] - 1, corners[3] - 1),
                                         colour)  # fmt: skip
        for row, column in ((0, 0), (0, count - 7), (count - 7, 0)):
            left, top = x + (column + 1) * cell, y + (row + 1) * cell
            self.box(left, top, 7 * cell, 7 * cell, colour)
            self.box(left + cell, top + cell, 5 * cell, 5 * cell, paper)
            self.box(left + 2 * cell, top + 2 * cell, 3 * cell, 3 * cell, colour)

    def bars(
        self, x: float, y: float, width: float, height: float, seed: str, colour: Colour
    ) -> None:
        """A bar code that depends on `seed`."""
        random = Random(seed).random
        at = 0.0
        while at < width - 4:
            thick = 1 + int(random() * 3)
            self.box(x + at, y, thick - 0.5, height, colour)
            at += thick + 1 + int(random() * 2)

    def emblem(self, x: float, y: float, radius: float, colours: tuple[Colour, Colour]) -> None:
        """An app's logo: two overlapping shapes."""
        self.circle(x, y, radius, colours[0])
        self.box(x - radius * 0.2, y - radius * 0.6, radius * 0.9, radius * 0.9, colours[1],
                 radius=radius * 0.2)  # fmt: skip
        self.circle(x - radius * 0.3, y + radius * 0.2, radius * 0.3, WHITE)

    def rows(
        self,
        pairs: list[tuple[str, str]],
        y: float,
        *,
        step: float = 36,
        size: float = 14,
        margin: float = 20,
        colours: tuple[Colour, Colour] = ((120, 120, 128), (30, 30, 36)),
        rule: Colour | None = None,
    ) -> float:
        """Label on the left, value on the right; returns the y below the last."""
        for label, value in pairs:
            self.text(margin, y + step / 2, label, size, colours[0])
            self.text(self.width - margin, y + step / 2, value, size, colours[1], align="right")
            y += step
            if rule is not None:
                self.box(margin, y, self.width - 2 * margin, 0.7, rule)
        return y

    def button(
        self,
        x: float,
        y: float,
        width: float,
        words: str,
        fill: Colour | None,
        colour: Colour,
        outline: Colour | None = None,
    ) -> None:
        """A button 44 dp high."""
        self.box(x, y, width, 44, fill, radius=22 if outline is None else 6, outline=outline)
        self.text(x + width / 2, y + 22, words, 15, colour, align="centre", bold=True)


def _in_finder(row: int, column: int, count: int) -> bool:
    low, high = 8, count - 8
    return (row < low and (column < low or column >= high)) or (row >= high and column < low)


@dataclass(frozen=True, slots=True)
class App:
    """A payment app's receipt screen; `draw` gets the canvas, the facts and the y below the bar."""

    draw: Callable[[Canvas, Facts, float], None]
    background: Colour
    bar_background: Colour
