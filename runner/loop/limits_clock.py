"""The database's clock as seen from this process's monotonic one."""

from __future__ import annotations

from collections import deque

EXCHANGES = 32
"""Latest exchanges that are remembered; the fastest of them tells the time."""

DRIFT_S = 30.0
"""Age at which an exchange is forgotten: by then two clocks may be a millisecond apart."""


class DatabaseClock:
    """Maps the database's time to `time.monotonic()`, never too early.

    An exchange that was sent at `sent`, received at `received` and stamped `stamp` by the database
    bounds the offset between the clocks from both sides: `sent - stamp <= offset <= received -
    stamp` (as in NTP, RFC 5905). The least upper bound is used, so what is started by it starts
    late by as much as the fastest reply takes on its way, and never early.
    """

    def __init__(self) -> None:
        self._exchanges: deque[tuple[float, float, float]] = deque(maxlen=EXCHANGES)

    def note(self, sent: float, received: float, stamp: float) -> None:
        """Remember an exchange: two monotonic times, and the database's seconds since 1970."""
        lowest, highest = sent - stamp, received - stamp
        recent = [e for e in self._exchanges if received - e[0] <= DRIFT_S]
        # Bounds that exclude each other: one of the clocks was set, and what was known is void.
        if any(lowest > high or highest < low for _, low, high in recent):
            recent = []
        self._exchanges.clear()
        self._exchanges.extend(recent)
        self._exchanges.append((received, lowest, highest))

    def monotonic(self, stamp: float) -> float:
        """The monotonic time of this time of the database. At least one exchange was noted."""
        return stamp + min(highest for _, _, highest in self._exchanges)
