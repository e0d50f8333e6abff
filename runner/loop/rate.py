"""How many rows a second a process gets done, smoothed, as a measure of how many to claim."""

from __future__ import annotations

import time

WINDOW_S = 0.05
FIRST_WINDOW_S = 0.01
SMOOTHED_OVER_S = 1.0


class Rate:
    """Rows a second, from a count that only goes up; zero until something was counted."""

    def __init__(self) -> None:
        self._then = time.monotonic()
        self._before = 0
        self._a_second = 0.0

    def note(self, count: int) -> None:
        """Take notice of the count as it is now."""
        now = time.monotonic()
        passed = now - self._then
        if passed < (WINDOW_S if self._a_second else FIRST_WINDOW_S) or not count:
            return
        newest = (count - self._before) / passed
        weight = min(passed / SMOOTHED_OVER_S, 1.0) if self._a_second else 1.0
        self._a_second += weight * (newest - self._a_second)
        self._then, self._before = now, count

    def in_s(self, seconds: float) -> int:
        """Rows in so many seconds at this rate."""
        return int(self._a_second * seconds)
