"""What a download may still take, in seconds and in bytes, watched below every library."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import httpcore


class DeadlinePassed(httpcore.TimeoutException):
    """The time for the whole exchange is up."""


class Flooded(Exception):
    """The other side sent more bytes than the answer that was waited for can need."""


class Watch:
    """One download's limits, and whether a byte was `heard` since its latest request was sent.

    `received` are the bytes from the network so far.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._bytes = 0
        self.received = 0
        self.heard = False

    def wait(self, timeout: float | None = None) -> float:
        """How long the next wait may be: `timeout`, or what is left if less, in seconds.

        Raises `DeadlinePassed` where nothing is left.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise DeadlinePassed
        return left if timeout is None else min(timeout, left)

    def expect(self, most: int) -> None:
        """Let at most this many bytes arrive from now on."""
        self._bytes = most

    def arrived(self, size: int) -> None:
        """Count bytes from the network; raises `Flooded` where they are too many."""
        self.heard = self.heard or size > 0
        self.received += size
        self._bytes -= size
        if self._bytes < 0:
            raise Flooded

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let the time within the block not count: it is spent on waiting for our own turn."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._end += time.monotonic() - began

    @contextmanager
    def at_most(self, seconds: float) -> Iterator[None]:
        """A nearer deadline within the block."""
        end = self._end
        self._end = min(end, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._end = end

    @contextmanager
    def names_deadline(self) -> Iterator[None]:
        """Tell the deadline apart from a single wait that was too long."""
        try:
            yield
        except httpcore.TimeoutException as error:
            if time.monotonic() >= self._end:
                raise DeadlinePassed from error
            raise


_current: ContextVar[Watch] = ContextVar("watch")


def current() -> Watch:
    """The watch of this thread's download."""
    return _current.get()


@contextmanager
def watch(seconds: float) -> Iterator[Watch]:
    """Let no wait on the network within this block, in this thread, outlast `seconds` in all.

    httpcore only limits single reads, which a server that sends a byte now and then never
    exceeds, and knows no limit for what arrives before an answer or around its body.
    """
    started = Watch(seconds)
    token = _current.set(started)
    try:
        yield started
    finally:
        _current.reset(token)
