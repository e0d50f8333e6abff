"""Phones that receipts are drawn for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phone:
    """A screen: pixels, pixels a dp, and the height of its status bar in dp."""

    width: int
    height: int
    unit: float
    bar: float
    notch: bool = False


PHONES = (
    Phone(720, 1280, 2.0, 24),
    Phone(720, 1600, 2.0, 28),
    Phone(750, 1334, 2.0, 20),
    Phone(828, 1792, 2.0, 48, notch=True),
    Phone(1080, 1920, 3.0, 24),
    Phone(1080, 2340, 2.75, 32),
    Phone(1080, 2400, 2.625, 36),
    Phone(1170, 2532, 3.0, 47, notch=True),
    Phone(1179, 2556, 3.0, 54, notch=True),
    Phone(1440, 2560, 3.5, 24),
    Phone(1440, 3200, 3.75, 34),
)
