"""Bytes and lengths of time as people read them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal


def size(amount: float | Decimal) -> str:
    """Bytes as people read them, in powers of ten: `1.2 MB`."""
    value = float(amount)
    if round(value) < 1000:
        return "1 byte" if round(value) == 1 else f"{value:,.0f} bytes"
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        value /= 1000
        # what would be rounded up to 1,000 is 1.0 of the next
        if round(value) < 1000 or unit == "PB":
            break
    return f"{value:,.0f} {unit}" if round(value, 1) >= 100 else f"{value:,.1f} {unit}"


def duration(value: timedelta | float) -> str:
    """A length of time (a number is seconds) with its two largest units: `8m 32s`, `120ms`."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if round(seconds, 3) < 1:
        return f"{round(seconds * 1000)}ms" if seconds else "0s"
    if round(seconds, 1) < 10:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    whole = round(seconds)
    units = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
    parts: list[tuple[str, int]] = []
    for unit, size in units:
        count, whole = divmod(whole, size)
        if parts or count:
            parts.append((unit, count))
    return " ".join(f"{count}{unit}" for unit, count in parts[:2] if count)
