"""Payment apps without end, each made up from a seed: what no eight templates can stand for.

Colours, gradients and pictures as backgrounds, letters small and large, few words or many, odd
screens. Even seeds are for developing on, odd ones for reporting only.
"""

from __future__ import annotations

from random import Random

from PIL import Image

from tests.bench.receipts_canvas import BLACK, WHITE, App, Canvas, Colour
from tests.bench.receipts_facts import Facts, pick
from tests.bench.receipts_phones import Phone

Pair = tuple[str, str]

ODD_SCREENS = (
    Phone(200, 400, 0.6, 20),
    Phone(360, 640, 1.0, 20),
    Phone(320, 568, 1.0, 0),
    Phone(1280, 720, 2.0, 20),
    Phone(1920, 1080, 2.6, 0),
    Phone(1080, 4800, 2.75, 32),
    Phone(800, 800, 2.0, 0),
    Phone(1536, 2048, 2.6, 20),
)
"""Tiny, landscape, very long, square."""


def random_app(seed: str) -> App:
    """The app of this seed; equal seeds draw alike."""
    random = Random(f"app {seed}")
    dark = random.random() < 0.35
    paper = _shade(random, 0, 50) if dark else _shade(random, 205, 255)
    look = _Look(seed, random, paper, dark)
    return App(look.draw, paper, look.back[0] if look.back else paper)


def _shade(random: Random, low: int, high: int) -> Colour:
    level = low + (high - low) * random.random()
    return _colour(*(level + 30 * (random.random() - 0.5) for _ in range(3)))


def _colour(red: float, green: float, blue: float) -> Colour:
    return tuple(min(255, max(0, round(v))) for v in (red, green, blue))  # type: ignore[return-value]


class _Look:
    """What an app looks like, and how it draws facts."""

    def __init__(self, seed: str, random: Random, paper: Colour, dark: bool) -> None:
        self.seed = seed
        self.paper = paper
        self.ink = _shade(random, 225, 255) if dark else _shade(random, 0, 60)
        self.soft = _shade(random, 130, 180) if dark else _shade(random, 90, 140)
        self.brand = _colour(*(220 * random.random() for _ in range(3)))
        low, high = (20, 110) if dark else (160, 240)
        self.back = (_shade(random, low, high), _shade(random, low, high)) if (
            random.random() < 0.2) else ()  # fmt: skip
        self.picture = random.random() < 0.15
        self.zoom = 0.8 + 0.9 * random.random() ** 2
        self.big = 22 + 30 * random.random()
        self.size = 12 + 5 * random.random()
        self.labels = pick(random, ["right", "below", "centre", "inline"])
        self.card = random.random() < 0.4
        self.rules = random.random() < 0.3
        self.header = pick(random, ["tick", "emblem", "bar", "none", "photo"])
        self.words = 1 + int(random.random() * 7)
        self.hero_first = random.random() < 0.6
        self.footer = pick(random, ["button", "small", "none", "list"])
        self.money = pick(random, ["Rs {}", "${}", "{} EUR", "{}", "INR {}", "-{}"])

    def draw(self, c: Canvas, f: Facts, top: float) -> None:
        """The receipt."""
        if self.back:
            c.gradient(self.back[0], self.back[1], 0, c.height)
        if self.picture:
            c.image.paste(_scenery(self.seed, c.image.size))
        y = self._heading(c, top + 14)
        if self.card or self.picture:
            c.box(8, y, c.width - 16, c.height - y - 60, self.paper, radius=10)
        y += 10
        if self.hero_first:
            y = self._hero(c, f, y)
        y = self._facts(c, f, y + 8)
        if not self.hero_first:
            y = self._hero(c, f, y)
        self._footing(c, y)

    def _heading(self, c: Canvas, y: float) -> float:
        middle = c.width / 2
        if self.header == "bar":
            c.box(0, y - 6, c.width, 48, self.brand)
            c.text(14, y + 18, "Payment details", 17, WHITE, bold=True)
            return y + 50
        if self.header == "tick":
            c.tick(middle, y + 36, 28, self.brand)
        elif self.header == "emblem":
            c.emblem(middle, y + 36, 26, (self.brand, self.soft))
        elif self.header == "photo":
            box = tuple(round(v * c.unit) for v in (0, y, c.width, y + 110))
            c.image.paste(_scenery(self.seed, (box[2], box[3] - box[1])), (0, box[1]))
            return y + 116
        else:
            return y
        c.text(middle, y + 82, "Successful", 16, self.ink, align="centre")
        return y + 98

    def _hero(self, c: Canvas, f: Facts, y: float) -> float:
        size = min(self.big * self.zoom, c.width / 7)
        c.text(c.width / 2, y + size * 0.6, self.money.format(f.amount), size, self.ink,
               align="centre", bold=self.zoom > 1.1)  # fmt: skip
        return y + size * 1.3

    def _facts(self, c: Canvas, f: Facts, y: float) -> float:
        pairs: list[Pair] = [
            ("Date", f"{f.date} {f.time}"), ("Reference", f.reference), ("To", f.payee),
            ("From", f.payer), ("Bank", f.bank), ("Account", f"xx{f.account}"), ("Note", f.note),
        ]  # fmt: skip
        size = self.size * self.zoom
        for label, value in pairs[: self.words + 1]:
            y = self._fact(c, label, value, size, y)
            if self.rules:
                c.box(16, y, c.width - 32, 0.7, self.soft)
                y += 4
        return y

    def _fact(self, c: Canvas, label: str, value: str, size: float, y: float) -> float:
        middle = y + size * 0.9
        if self.labels == "right":
            c.text(20, middle, label, size, self.soft)
            c.text(c.width - 20, middle, value, size, self.ink, align="right")
        elif self.labels == "centre":
            c.text(c.width / 2, middle, value, size, self.ink, align="centre")
        elif self.labels == "inline":
            c.text(20, middle, f"{label}: {value}", size, self.ink)
        else:
            c.text(20, middle, label.upper(), size * 0.75, self.soft)
            c.text(20, middle + size * 1.2, value, size, self.ink)
            return y + size * 3
        return y + size * 2

    def _footing(self, c: Canvas, y: float) -> None:
        at = max(y + 12, c.height - 56)
        if self.footer == "button":
            c.button(16, at, c.width - 32, "Done", self.brand, WHITE)
        elif self.footer == "small":
            c.text(c.width / 2, at + 30, "Keep this for your records", 11, self.soft,
                   align="centre")  # fmt: skip
        elif self.footer == "list":
            for i, name in enumerate(("Share", "Repeat", "Help", "Report")):
                if y + 40 + 34 * i < c.height - 20:
                    c.circle(30, y + 40 + 34 * i, 9, self.brand)
                    c.text(50, y + 40 + 34 * i, name, 14, self.ink)


def _scenery(seed: str, size: tuple[int, int]) -> Image.Image:
    """Something like a blurred photograph: random colours at four scales, added up."""
    random = Random(f"scenery {seed}")
    total = Image.new("RGB", size, BLACK)
    for cells, share in ((3, 1.0), (7, 0.5), (17, 0.35), (60, 0.2)):
        small = Image.new("RGB", (cells, cells * 2))
        small.putdata([_colour(*(255 * random.random() for _ in range(3)))
                       for _ in range(cells * cells * 2)])  # fmt: skip
        total = Image.blend(total, small.resize(size, Image.Resampling.BICUBIC), share)
    return total
