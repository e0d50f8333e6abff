"""Rest for a storage in trouble: nothing is downloaded that could not be stored."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from runner.errors import Retry

FIRST_S, LONGEST_S = 1.0, 60.0


class Breaker:
    """Turns this process's downloads away for a while after the storage failed.

    For `FIRST_S` seconds, and for twice as long each time that it fails again after its rest, up
    to `LONGEST_S`; a success ends that. Used by several threads at once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rest_s = 0.0
        self._until = 0.0
        self._error: Retry | None = None
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raise the storage's own error, uncounted and with what is left of its rest."""
        with self._lock:
            left = self._until - self._clock()
            if self._error is not None and left > 0:
                raise Retry(str(self._error), code=self._error.code, after=left, counts=False)

    def failed(self, error: Retry) -> Retry:
        """The same error as no attempt at a URL, and with the rest that now begins."""
        with self._lock:
            now = self._clock()
            # those that were under way when the rest began belong to the same trouble
            if now >= self._until:
                self._rest_s = min(max(2 * self._rest_s, FIRST_S), LONGEST_S)
                self._until = now + max(self._rest_s, error.after or 0.0)
                self._error = error
            after = self._until - now
        return Retry(str(error), code=error.code, after=after, counts=False)

    def succeeded(self) -> None:
        """It works."""
        with self._lock:
            self._rest_s = self._until = 0.0
            self._error = None
