"""When a process may claim again: after a delay that is wanted, and as slowly as guards say."""

from __future__ import annotations

LEAST_S = 0.05
"""What a claim's jobs are held to take at least, so that first claims, which come at once one after
another, are slowed down, too."""

LONGEST_S = 30.0
"""Longest wait that a guard causes at a time: how late its end is noticed."""


class Pace:
    """The time of the next claim. Times are seconds of a monotonic clock."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self._slow_by = 1.0
        self._claimed: float | None = None
        self._wanted: float | None = None
        self._not_before = 0.0

    def put_off(self, until: float) -> None:
        """Nothing is expected to be ready before this time."""
        self._not_before = until

    def hurry(self, until: float) -> None:
        """Something came: what was put off for longer is put off until this time only."""
        self._not_before = min(self._not_before, until)

    def claimed(self, now: float, delay: float, slow_by: float) -> None:
        """Take notice of a claim that brought jobs, and of what it said about the next one."""
        self.delay, self._slow_by = delay, slow_by
        self._claimed, self._wanted = now, None

    def left(self, now: float) -> float:
        """Seconds until the next claim; to be asked when there is room for its jobs.

        Slowed down N times, a process waits until N times the time has gone by after which it
        would have claimed.
        """
        put_off = self._not_before - now
        if self._claimed is None or put_off > 0:
            return max(put_off, 0.0)
        left = self._claimed + self.delay - now
        if left > 0 or self._slow_by <= 1:
            return left
        if self._wanted is None:
            self._wanted = now
        took = max(self._wanted - self._claimed, LEAST_S)
        return self._claimed + took + min(took * (self._slow_by - 1), LONGEST_S) - now
