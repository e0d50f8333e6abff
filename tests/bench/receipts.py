"""Receipts of made-up payment apps: what they say, on which phone, and how they are drawn.

Everything follows from a seed, and uses only `Random.random()`, which gives the same numbers in
every version of Python. `UNSEEN` apps, and those of odd seeds, are for reporting: nothing may be
tuned on them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random

from PIL import Image

from tests.bench.receipts_apps import DEVELOPED
from tests.bench.receipts_apps_random import random_app
from tests.bench.receipts_apps_unseen import UNSEEN
from tests.bench.receipts_canvas import BLACK, WHITE, App, Canvas
from tests.bench.receipts_facts import Facts, any_facts, digits, pick
from tests.bench.receipts_phones import PHONES, Phone

APPS = {**DEVELOPED, **UNSEEN}


def app_named(name: str) -> App:
    """A drawn app, or the app of a seed where there is none of that name."""
    return APPS[name] if name in APPS else random_app(name)


@dataclass(frozen=True, slots=True)
class Bar:
    """What a status bar shows."""

    clock: str
    battery: int
    signal: int
    carrier: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """One drawn screenshot: app by name, its words, phone and status bar."""

    app: str
    facts: Facts
    phone: Phone
    bar: Bar

    @property
    def bar_share(self) -> float:
        """The status bar's share of the height."""
        return self.phone.bar * self.phone.unit / self.phone.height

    def draw(self) -> Image.Image:
        """The screenshot, RGB, in the phone's pixels."""
        app = app_named(self.app)
        phone = self.phone
        canvas = Canvas(phone.width, phone.height, phone.unit, app.background)
        app.draw(canvas, self.facts, phone.bar)
        if phone.bar:
            _status_bar(canvas, self.bar, phone, dark=sum(app.bar_background) < 384)
        return canvas.image


def any_bar(random: Random, facts: Facts) -> Bar:
    """The status bar a few minutes after the payment."""
    later = facts.when + timedelta(minutes=int(random.random() * 90))
    return Bar(
        clock=later.strftime("%H:%M"),
        battery=5 + int(random.random() * 95),
        signal=1 + int(random.random() * 4),
        carrier=pick(random, ("LTE", "5G", "4G", "VoLTE")),
    )


def any_receipt(seed: str, app: str, phones: tuple[Phone, ...] = PHONES) -> Receipt:
    """The receipt of this app with this seed."""
    random = Random(f"receipt {app} {seed}")
    phone = phones[int(random.random() * len(phones))]
    facts = any_facts(random)
    return Receipt(app, facts, phone, any_bar(random, facts))


def next_month(receipt: Receipt, seed: str) -> Receipt:
    """The same amount from and to the same people on the same phone, another day."""
    random = Random(f"month {seed}")
    facts = receipt.facts
    later = facts.when + timedelta(
        days=28 + int(random.random() * 6), minutes=random.random() * 900
    )
    facts = replace(facts, when=later, reference=digits(random, 12))
    return replace(receipt, facts=facts, bar=any_bar(random, facts))


def other_digit(receipt: Receipt, seed: str) -> Receipt:
    """One digit of the amount is another, and nothing else but the status bar."""
    random = Random(f"digit {seed}")
    text = str(receipt.facts.cents)
    at = int(random.random() * (len(text) - 2))
    new = str((int(text[at]) + 1 + int(random.random() * 8)) % 10)
    if at == 0 and new == "0":
        new = "1" if text[0] != "1" else "2"
    facts = replace(receipt.facts, cents=int(text[:at] + new + text[at + 1 :]))
    return replace(receipt, facts=facts)


def other_character(receipt: Receipt, seed: str) -> Receipt:
    """One digit of the long reference number, which is small text, is another."""
    random = Random(f"character {seed}")
    text = receipt.facts.reference
    at = int(random.random() * len(text))
    new = str((int(text[at]) + 1 + int(random.random() * 8)) % 10)
    facts = replace(receipt.facts, reference=text[:at] + new + text[at + 1 :])
    return replace(receipt, facts=facts)


def other_bar(receipt: Receipt, seed: str) -> Receipt:
    """The same payment's receipt, opened again at another time on the same phone."""
    random = Random(f"bar {seed}")
    return replace(receipt, bar=any_bar(random, any_facts(random)))


def _status_bar(canvas: Canvas, bar: Bar, phone: Phone, *, dark: bool) -> None:
    ink = WHITE if dark else BLACK
    middle = phone.bar * (0.62 if phone.notch else 0.5)
    size = min(15.0, phone.bar * 0.5)
    canvas.text(30 if phone.notch else 12, middle, bar.clock, size, ink, bold=phone.notch)
    right = canvas.width - 14
    canvas.box(right - 22, middle - 5, 20, 10, None, radius=2, outline=ink)
    canvas.box(right - 21, middle - 4, 18 * bar.battery / 100, 8, ink, radius=1)
    canvas.text(right - 26, middle, f"{bar.battery}%", size * 0.8, ink, align="right")
    canvas.text(right - 58, middle, bar.carrier, size * 0.8, ink, align="right")
    for i in range(4):
        height = 3 + 2 * i
        fill = ink if i < bar.signal else None
        canvas.box(right - 118 + 5 * i, middle + 5 - height, 3, height, fill, outline=ink)
    if phone.notch:
        canvas.box(canvas.width / 2 - 58, phone.bar * 0.22, 116, phone.bar * 0.62, BLACK,
                   radius=phone.bar * 0.31)  # fmt: skip
