"""Eight more drawn payment apps, for reporting only: nothing is tuned on them."""

from __future__ import annotations

from random import Random

from tests.bench.receipts_canvas import BLACK, WHITE, App, Canvas, Colour
from tests.bench.receipts_facts import Facts

INK: Colour = (20, 22, 30)
GRAY: Colour = (110, 112, 120)


def _till_roll(c: Canvas, f: Facts, top: float) -> None:
    """A paper slip on gray, with a bar code."""
    left, width = 40.0, c.width - 80
    c.box(left, top + 16, width, c.height - top - 40, (252, 251, 246))
    middle, y = c.width / 2, top + 46
    for words, size in (
        (f.payee.upper(), 15),
        ("OFFICIAL RECEIPT", 13),
        (f.date, 13),
        (f.time, 13),
    ):
        c.text(middle, y, words, size, INK, align="centre")
        y += 22
    c.dashes(left + 12, y, width - 24, INK)
    y = c.rows([("1 x " + f.note, f.amount), ("Tax", "0.00"), ("TOTAL", f.amount)], y + 6,
               margin=left + 14, step=30, size=14, colours=(INK, INK))  # fmt: skip
    c.dashes(left + 12, y, width - 24, INK)
    for words in (f"Paid by {f.payer}", f"{f.bank} ****{f.account}", f"Ref {f.reference}"):
        y += 26
        c.text(left + 14, y, words, 13, INK)
    c.bars(left + 30, y + 30, width - 60, 60, f.reference, INK)
    c.text(middle, y + 104, "*** THANK YOU ***", 13, INK, align="centre")


def _glass(c: Canvas, f: Facts, top: float) -> None:
    """A gradient with a pale card in the middle."""
    c.gradient((108, 60, 190), (240, 120, 90), 0, c.height)
    c.text(c.width / 2, top + 40, "SENT", 15, (240, 230, 255), align="centre")
    c.text(c.width / 2, top + 84, f.amount, 44, WHITE, align="centre", bold=True)
    c.text(c.width / 2, top + 120, "euros", 14, (240, 230, 255), align="centre")
    c.box(28, top + 150, c.width - 56, 300, (250, 244, 250), radius=24)
    y = top + 180
    for label, value in (("to", f.payee), ("from", f.payer), ("via", f"{f.bank} {f.account}"),
                         ("on", f"{f.date}  {f.time}"), ("for", f.note)):  # fmt: skip
        c.circle(60, y, 14, (224, 208, 236))
        c.text(60, y, label, 10, (108, 60, 190), align="centre")
        c.text(86, y, value, 15, INK)
        y += 50
    c.text(c.width / 2, y - 10, f.reference, 11, GRAY, align="centre")
    c.button(60, c.height - 90, c.width - 120, "Done", WHITE, (108, 60, 190))


def _night(c: Canvas, f: Facts, top: float) -> None:
    """Black, a list with symbols on the left."""
    soft = (140, 144, 150)
    c.text(20, top + 34, "Activity", 28, WHITE, bold=True)
    c.text(c.width - 20, top + 110, f"+ {f.amount}", 30, (70, 220, 120), align="right", bold=True)
    c.text(20, top + 110, f.note, 16, WHITE)
    y = top + 150
    for i, (label, value) in enumerate((
        ("Received from", f.payer), ("Into", f"{f.bank} - {f.account}"), ("When", f.date),
        ("At", f.time), ("Owner", f.payee), ("Transaction", f.reference),
    )):  # fmt: skip
        c.box(20, y + 8, 32, 32, ((60, 90, 200), (200, 90, 60), (90, 160, 80))[i % 3], radius=8)
        c.text(66, y + 16, label, 12, soft)
        c.text(66, y + 34, value, 15, WHITE)
        c.box(66, y + 50, c.width - 86, 1, (44, 44, 48))
        y += 54
    for i in range(4):
        c.circle(c.width * (i + 0.5) / 4, c.height - 30, 9, (90, 90, 96) if i else (70, 220, 120))


def _tiles(c: Canvas, f: Facts, top: float) -> None:
    """Two columns of cards."""
    c.emblem(36, top + 34, 18, ((0, 120, 110), (255, 200, 0)))
    c.text(64, top + 34, "PayTile", 20, INK, bold=True)
    facts = (
        ("Amount", f.amount), ("Date", f.date), ("Time", f.time), ("Bank", f.bank),
        ("From", f.payer), ("To", f.payee.split()[0]), ("Account", f.account), ("Reason", f.note),
    )  # fmt: skip
    half = (c.width - 48) / 2
    for i, (label, value) in enumerate(facts):
        x, y = 16 + (i % 2) * (half + 16), top + 70 + (i // 2) * 92
        c.box(x, y, half, 78, WHITE, radius=10, outline=(214, 218, 222))
        c.text(x + 14, y + 22, label, 12, GRAY)
        c.text(x + 14, y + 50, value, 18, (0, 90, 84), bold=True)
    c.text(16, top + 450, f"Tracking code {f.reference}", 13, GRAY)
    c.button(16, top + 480, c.width - 32, "Pay again", (0, 120, 110), WHITE)


def _handover(c: Canvas, f: Facts, top: float) -> None:
    """Two people and an arrow, a large amount, a banner at the bottom."""
    for x, name, colour in (
        (90.0, f.payer, (236, 150, 60)),
        (c.width - 90, f.payee, (90, 110, 220)),
    ):
        c.circle(x, top + 70, 34, colour)
        c.text(x, top + 70, name[0], 30, WHITE, align="centre")
        c.text(x, top + 122, name, 12, INK, align="centre")
    c.line([(c.width / 2 - 26, top + 70), (c.width / 2 + 26, top + 70)], GRAY, 2)
    c.line([(c.width / 2 + 14, top + 60), (c.width / 2 + 26, top + 70),
            (c.width / 2 + 14, top + 80)], GRAY, 2)  # fmt: skip
    c.text(c.width / 2, top + 190, f"Rs {f.amount}", 46, INK, align="centre")
    c.tick(c.width / 2 - 60, top + 236, 8, (30, 140, 70))
    c.text(c.width / 2 - 44, top + 236, f"{f.date} {f.time}", 13, GRAY)
    c.box(16, top + 266, c.width - 32, 130, None, radius=10, outline=(210, 212, 220))
    c.text(30, top + 290, f"{f.bank} {f.account}", 14, INK, bold=True)
    for i, words in enumerate((f"UPI transaction {f.reference}", f"Note: {f.note}",
                               f"Sent by {f.payer}")):  # fmt: skip
        c.text(30, top + 318 + 24 * i, words, 12, GRAY)
    c.gradient((255, 220, 120), (255, 150, 90), c.height - 130, 110)
    random = Random("banner").random
    for _ in range(40):
        c.circle(random() * c.width, c.height - 125 + random() * 100, 2 + 8 * random(),
                 (255, int(150 + 100 * random()), int(60 + 120 * random())))  # fmt: skip
    c.text(24, c.height - 76, "Get 20 cashback", 20, (90, 30, 0), bold=True)


def _letter(c: Canvas, f: Facts, top: float) -> None:
    """A bank's letter in small type."""
    c.text(20, top + 28, f.bank, 18, (0, 50, 110), bold=True)
    c.box(20, top + 46, c.width - 40, 2, (0, 50, 110))
    c.text(c.width - 20, top + 66, f.date, 11, INK, align="right")
    lines = (
        f"Dear {f.payer},", "",
        "we are pleased to confirm that the following order has",
        f"been carried out on {f.date} at {f.time}:", "",
        f"      Amount           {f.amount}",
        f"      In favour of     {f.payee}",
        f"      From account     ending in {f.account}",
        f"      Remittance       {f.note}",
        f"      Order number     {f.reference}", "",
        "Please keep this advice for your records. The entry will",
        "appear on your next statement of account. If you did not",
        "place this order, call us at once at the number on the",
        "back of your card.", "",
        "Yours sincerely,", "", "Payments Department",
    )  # fmt: skip
    y = top + 96
    for words in lines:
        c.text(20, y, words, 11.5, INK)
        y += 20
    c.circle(c.width - 80, y - 10, 34, (206, 220, 240))
    c.text(c.width - 80, y - 10, "PAID", 16, (60, 90, 160), align="centre", bold=True)


def _pass(c: Canvas, f: Facts, top: float) -> None:
    """A wallet's coloured pass with a strip."""
    brown = (96, 60, 40)
    c.box(12, top + 12, c.width - 24, c.height - top - 40, brown, radius=16)
    c.text(28, top + 40, "Residents' Pass", 16, WHITE, bold=True)
    c.text(c.width - 28, top + 40, f.date, 13, WHITE, align="right")
    c.gradient((190, 150, 100), (140, 90, 60), top + 66, 110)
    c.text(28, top + 120, f.amount, 48, WHITE)
    y = top + 200
    for row in (("PAYER", f.payer, "TIME", f.time), ("SOCIETY", f.payee, "LAST 4", f.account),
                ("BANK", f.bank, "FOR", f.note)):  # fmt: skip
        c.text(28, y, row[0], 10, (220, 200, 180))
        c.text(28, y + 18, row[1], 15, WHITE)
        c.text(c.width - 28, y, row[2], 10, (220, 200, 180), align="right")
        c.text(c.width - 28, y + 18, row[3], 15, WHITE, align="right")
        y += 54
    c.box(c.width / 2 - 110, y + 10, 220, 84, WHITE, radius=8)
    c.bars(c.width / 2 - 95, y + 20, 190, 48, f.reference, BLACK)
    c.text(c.width / 2, y + 82, f.reference, 11, BLACK, align="centre")


def _bare(c: Canvas, f: Facts, top: float) -> None:
    """Hardly anything: amount, whom, when."""
    middle = top + (c.height - top) * 0.4
    c.circle(c.width / 2, middle - 90, 26, (0, 122, 255))
    c.text(c.width / 2, middle - 90, f.payee[0], 24, WHITE, align="centre")
    c.text(c.width / 2, middle, f"${f.amount}", 52, INK, align="centre")
    c.text(c.width / 2, middle + 48, f"{f.payer} - {f.note}", 15, GRAY, align="centre")
    c.text(c.width / 2, middle + 74, f"{f.date} {f.time}", 13, GRAY, align="centre")
    c.text(c.width / 2, c.height - 40, f.reference, 10, GRAY, align="centre")


UNSEEN = {
    "till_roll": App(_till_roll, (150, 152, 158), (150, 152, 158)),
    "glass": App(_glass, WHITE, (108, 60, 190)),
    "night": App(_night, BLACK, BLACK),
    "tiles": App(_tiles, (240, 243, 245), (240, 243, 245)),
    "handover": App(_handover, WHITE, WHITE),
    "letter": App(_letter, WHITE, WHITE),
    "pass": App(_pass, (226, 226, 230), (226, 226, 230)),
    "bare": App(_bare, WHITE, WHITE),
}
