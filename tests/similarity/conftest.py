"""Small drawn receipts and what is kept of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from PIL import Image

from runner.pictures import decode
from runner.similarity import Fingerprint, fingerprint
from tests.bench.receipts import Receipt, any_receipt
from tests.bench.receipts_edits import edited, encode
from tests.bench.receipts_phones import Phone

SMALL = (Phone(540, 1170, 1.375, 32), Phone(540, 960, 1.5, 24))
"""Phones' proportions in few pixels, so that drawing is quick."""

Prints = Callable[[Image.Image], Fingerprint]


def receipt(app: str, seed: int = 0, phone: int = 0) -> Receipt:
    """The receipt of this app and seed on one of the small phones."""
    return any_receipt(str(seed), app, SMALL[phone : phone + 1])


@cache
def original(app: str, seed: int = 0, phone: int = 0) -> Fingerprint:
    """The fingerprint of the receipt as its phone saved it."""
    return printed(receipt(app, seed, phone).draw())


@cache
def copy(app: str, kind: str, seed: int = 0, phone: int = 0) -> Fingerprint:
    """The fingerprint of the receipt after an edit of `receipts_edits.KINDS`."""
    one = receipt(app, seed, phone)
    return fingerprint(decode(edited(one.draw(), kind, str(seed), one.bar_share)))


def printed(image: Image.Image) -> Fingerprint:
    """The fingerprint of a picture that was saved as PNG."""
    return fingerprint(decode(encode(image, "PNG")))


@pytest.fixture
def prints() -> Prints:
    """Fingerprints of pictures that a test draws."""
    return printed
