"""Eight drawn payment apps: those that the comparison was developed on."""

from __future__ import annotations

from tests.bench.receipts_canvas import WHITE, App, Canvas, Colour
from tests.bench.receipts_facts import Facts

GREEN: Colour = (22, 150, 84)
INK: Colour = (28, 28, 34)
GRAY: Colour = (118, 120, 130)
PALE: Colour = (226, 228, 234)


def _hero(c: Canvas, f: Facts, top: float) -> None:
    """A big check mark, the amount below it, then labels and values."""
    c.text(20, top + 28, "<", 22, INK, bold=True)
    c.text(c.width / 2, top + 28, "Transaction details", 17, INK, align="centre", bold=True)
    c.tick(c.width / 2, top + 110, 34, GREEN)
    c.text(c.width / 2, top + 172, "Payment successful", 17, GREEN, align="centre")
    c.text(c.width / 2, top + 212, f"Rs {f.amount}", 34, INK, align="centre", bold=True)
    c.text(c.width / 2, top + 246, f"{f.date}, {f.time}", 13, GRAY, align="centre")
    c.box(20, top + 268, c.width - 40, 1, PALE)
    y = c.rows(
        [("To", f.payee), ("From", f.payer), ("Bank", f"{f.bank} xx{f.account}"),
         ("Note", f.note), ("Reference", f.reference)],
        top + 274,
    )  # fmt: skip
    c.button(20, max(y + 20, c.height - 70), c.width - 40, "Share receipt", GREEN, WHITE)


def _dark_card(c: Canvas, f: Facts, top: float) -> None:
    """Dark; one card with the amount on the left and a small table."""
    paper, soft, light = (32, 34, 44), (150, 152, 166), (236, 236, 242)
    c.text(20, top + 30, "Receipt", 24, light, bold=True)
    c.circle(c.width - 36, top + 30, 14, (70, 74, 96))
    c.box(16, top + 66, c.width - 32, 330, paper, radius=18)
    c.emblem(52, top + 106, 20, ((230, 90, 60), (250, 190, 60)))
    c.text(84, top + 98, f.payee, 15, light)
    c.text(84, top + 118, f"{f.date} at {f.time}", 12, soft)
    c.text(32, top + 172, f"${f.amount}", 38, light, bold=True)
    c.text(32, top + 206, "Completed", 13, (90, 210, 140))
    c.box(32, top + 226, c.width - 64, 1, (60, 62, 76))
    c.rows(
        [("Paid by", f.payer), ("Account", f"{f.bank} - {f.account}"), ("For", f.note),
         ("ID", f.reference)],
        top + 236, margin=32, colours=(soft, light),
    )  # fmt: skip
    c.box(16, top + 412, c.width - 32, 64, paper, radius=18)
    c.text(32, top + 444, "Report a problem", 15, light)
    c.text(c.width - 36, top + 444, ">", 18, soft, align="right")


def _colour_header(c: Canvas, f: Facts, top: float) -> None:
    """The upper third in the brand's colour, a white sheet over it."""
    brand = (38, 72, 196)
    c.box(0, 0, c.width, 230, brand)
    c.emblem(c.width / 2, top + 44, 22, (WHITE, (250, 160, 40)))
    c.text(c.width / 2, top + 88, "You paid", 15, (200, 212, 255), align="centre")
    c.text(c.width / 2, top + 124, f"{f.amount} EUR", 32, WHITE, align="centre", bold=True)
    c.box(14, 200, c.width - 28, 360, WHITE, radius=14, outline=PALE)
    y = 212.0
    for label, value in (
        ("Recipient", f.payee), ("Sender", f.payer), ("Sender's bank", f.bank),
        ("Account ending", f.account), ("Purpose", f.note), ("Date", f.date), ("Time", f.time),
    ):  # fmt: skip
        c.text(30, y + 12, label.upper(), 10, GRAY)
        c.text(30, y + 30, value, 15, INK)
        y += 46
    c.text(30, y + 14, f"No. {f.reference}", 11, GRAY)
    c.text(c.width / 2, c.height - 24, "Thank you for paying digitally", 12, GRAY, align="centre")


def _qr_ticket(c: Canvas, f: Facts, top: float) -> None:
    """A ticket with a square code and perforations."""
    back = (238, 240, 245)
    c.box(24, top + 20, c.width - 48, c.height - top - 60, WHITE, radius=12)
    c.text(c.width / 2, top + 52, "PAYMENT PASS", 16, INK, align="centre", bold=True)
    c.modules(c.width / 2 - 85, top + 78, 170, f.reference, INK, WHITE)
    c.text(c.width / 2, top + 266, f.reference, 14, GRAY, align="centre")
    c.circle(24, top + 296, 12, back)
    c.circle(c.width - 24, top + 296, 12, back)
    c.dashes(42, top + 296, c.width - 84, GRAY)
    c.rows(
        [("Amount", f"{f.amount} USD"), ("Payer", f.payer), ("Payee", f.payee),
         ("Date", f"{f.date} {f.time}"), ("Card", f"**** {f.account}"), ("Memo", f.note)],
        top + 308, margin=44, step=34, size=14,
    )  # fmt: skip


def _bank_table(c: Canvas, f: Facts, top: float) -> None:
    """A bank's form: a ruled table in small type, a maroon title bar."""
    maroon = (130, 24, 44)
    c.box(0, 0, c.width, top + 52, maroon)
    c.text(16, top + 26, "Fund Transfer - Confirmation", 16, WHITE)
    y = top + 66
    c.text(16, y + 8, "Your transaction has been processed.", 13, (20, 110, 50))
    y += 28
    for i, (label, value) in enumerate((
        ("Transaction No.", f.reference), ("Value date", f.date), ("Time", f.time),
        ("Debit account", f"XXXXXX{f.account}"), ("Remitter", f.payer), ("Beneficiary", f.payee),
        ("Beneficiary bank", f.bank), ("Amount", f"INR {f.amount}"), ("Charges", "INR 0.00"),
        ("Remarks", f.note), ("Status", "SUCCESS"), ("Channel", "Mobile"),
    )):  # fmt: skip
        c.box(12, y, c.width - 24, 34, (246, 246, 250) if i % 2 else WHITE, outline=(190, 190, 200))
        c.box(140, y, 1, 34, (190, 190, 200))
        c.text(20, y + 17, label, 12, GRAY)
        c.text(150, y + 17, value, 13, INK)
        y += 34
    c.text(16, y + 24, "This is a computer generated advice.", 11, GRAY)
    c.text(16, y + 40, "It does not require a signature.", 11, GRAY)


def _chat(c: Canvas, f: Facts, top: float) -> None:
    """A messenger: bubbles, and a payment as one of them."""
    c.box(0, 0, c.width, top + 54, (18, 90, 80))
    c.circle(60, top + 27, 18, (210, 190, 150))
    c.text(90, top + 20, f.payee, 15, WHITE, bold=True)
    c.text(90, top + 38, "online", 11, (190, 220, 214))
    c.text(20, top + 27, "<", 20, WHITE)
    y = top + 80
    c.box(12, y, 210, 44, WHITE, radius=10)
    c.text(24, y + 16, f"{f.note} is due, please pay", 13, INK)
    c.text(210, y + 34, "09:00", 9, GRAY, align="right")
    y += 64
    c.box(c.width - 262, y, 250, 172, (216, 248, 204), radius=10)
    left = c.width - 246
    c.tick(left + 14, y + 28, 12, (30, 140, 220))
    c.text(left + 34, y + 28, "Payment", 14, INK, bold=True)
    c.text(left, y + 70, f"Rs.{f.amount}", 30, INK, bold=True)
    c.text(left, y + 104, f"by {f.payer}", 12, GRAY)
    c.text(left, y + 122, f"{f.bank} {f.account}  {f.date}", 12, GRAY)
    c.text(left, y + 140, f"UPI {f.reference}", 12, GRAY)
    c.text(c.width - 24, y + 160, f.time, 9, GRAY, align="right")
    y += 196
    c.box(12, y, 130, 36, WHITE, radius=10)
    c.text(24, y + 18, "Received, thanks", 13, INK)
    c.box(10, c.height - 56, c.width - 76, 44, WHITE, radius=22)
    c.text(30, c.height - 34, "Message", 14, GRAY)
    c.circle(c.width - 34, c.height - 34, 22, (18, 140, 120))


def _statement(c: Canvas, f: Facts, top: float) -> None:
    """A list of the account's entries with the newest one open."""
    c.text(16, top + 26, f.bank, 20, INK, bold=True)
    c.text(c.width - 16, top + 26, f"...{f.account}", 14, GRAY, align="right")
    c.box(12, top + 50, c.width - 24, 170, (232, 242, 255), radius=8)
    c.text(26, top + 74, f.payee, 16, INK, bold=True)
    c.text(c.width - 26, top + 74, f"-{f.amount}", 18, (190, 40, 40), align="right", bold=True)
    c.rows([("Booked", f"{f.date} {f.time}"), ("Ordered by", f.payer), ("Text", f.note),
            ("Ref", f.reference)], top + 92, margin=26, step=30, size=13)  # fmt: skip
    y = top + 244
    for i, name in enumerate(
        ("Groceries", "Card payment", "Salary", "Pharmacy", "Transit", "Cafe")
    ):
        c.circle(34, y + 18, 14, ((200, 120, 60), (90, 130, 200), (80, 160, 110))[i % 3])
        c.text(60, y + 12, name, 14, INK)
        c.text(60, y + 28, "pending" if i == 0 else "booked", 11, GRAY)
        c.text(c.width - 20, y + 18, ("-12.40", "-59.99", "+2,310.00")[i % 3], 14, INK,
               align="right")  # fmt: skip
        y += 48


def _timeline(c: Canvas, f: Facts, top: float) -> None:
    """Steps below one another with dots and a line."""
    teal = (0, 140, 150)
    c.text(20, top + 34, f"Transfer of {f.amount}", 20, INK, bold=True)
    c.text(20, top + 60, f"to {f.payee}", 15, GRAY)
    c.box(20, top + 80, c.width - 40, 76, (240, 250, 250), radius=10)
    c.text(34, top + 104, f.payer, 15, INK)
    c.text(34, top + 128, f"{f.bank}, account {f.account}", 13, GRAY)
    y = top + 184
    c.box(33, y, 2, 240, teal)
    for title, line in (
        ("You set up the transfer", f"{f.date}, {f.time}"), ("We received your money", f.date),
        ("Your money is on its way", f"Reference {f.reference}"), ("Arrived", f"Memo: {f.note}"),
    ):  # fmt: skip
        c.tick(34, y + 6, 9, teal)
        c.text(58, y + 6, title, 15, INK, bold=True)
        c.text(58, y + 26, line, 13, GRAY)
        y += 62
    c.button(20, c.height - 66, c.width - 40, "Download PDF", None, teal, teal)


DEVELOPED = {
    "hero": App(_hero, WHITE, WHITE),
    "dark_card": App(_dark_card, (18, 18, 24), (18, 18, 24)),
    "colour_header": App(_colour_header, (248, 248, 252), (38, 72, 196)),
    "qr_ticket": App(_qr_ticket, (238, 240, 245), (238, 240, 245)),
    "bank_table": App(_bank_table, WHITE, (130, 24, 44)),
    "chat": App(_chat, (236, 229, 221), (18, 90, 80)),
    "statement": App(_statement, WHITE, WHITE),
    "timeline": App(_timeline, WHITE, WHITE),
}
