"""One process's allowance of memory for decoding, shared by its threads."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MEGABYTE = 1_000_000

LARGE = 64 * MEGABYTE
"""From this size on, freed memory is given back to the system at once."""


class Allowance:
    """Lets pictures be decoded side by side while their estimated bytes fit into `total`.

    A picture that needs more than all of it waits until it is alone, so the most that is ever in
    use is `total` or one picture, whichever is more. Those that wait are served in any order.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._used = 0
        self._changed = threading.Condition()

    @property
    def used(self) -> int:
        """Bytes that are taken now, by estimate."""
        return self._used

    @contextmanager
    def take(self, estimate: int) -> Iterator[None]:
        """Hold `estimate` bytes; blocks until they are free."""
        size = min(estimate, self.total)
        with self._changed:
            self._changed.wait_for(lambda: self._used + size <= self.total)
            self._used += size
        try:
            yield
        finally:
            if size >= LARGE:
                _give_back()
            with self._changed:
                self._used -= size
                self._changed.notify_all()


def _find_trim() -> Callable[[], None]:
    """Glibc's malloc_trim, or nothing elsewhere.

    glibc keeps what a thread freed for that thread alone: measured, eight threads that decode
    in turns held more than twice of what was in use at any time.
    """
    if not sys.platform.startswith("linux"):
        return lambda: None
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    return (lambda: None) if trim is None else (lambda: trim(0))


_give_back = _find_trim()
