"""What signals do to a run: the first one stops it gracefully, another one leaves at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from runner.errors import ExitCode

_SHOW_CURSOR = b"\x1b[?25h\r\n"


class Stopping:
    """`event` is set by the first signal; what is in `at_once` is called at another."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.at_once: list[Callable[[], None]] = []

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        """The signals' handler."""
        if not self.event.is_set():
            self.event.set()
            return
        for call in self.at_once:
            call()
        leave_at_once(ExitCode.INTERRUPTED)


@contextmanager
def on_signals() -> Iterator[Stopping]:
    """SIGINT, SIGTERM, and a closed terminal's SIGHUP unless it is ignored as under nohup."""
    stopping = Stopping()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, stopping.handle) for number in numbers}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_at_once(code: int) -> None:
    """End this process without waiting for any of its threads."""
    if sys.stderr is not None and os.isatty(2):
        # a live display that is cut short leaves the cursor hidden
        os.write(2, _SHOW_CURSOR)
    os._exit(code)


@contextmanager
def stdout_apart() -> Iterator[None]:
    """What computations print goes to stderr meanwhile; stdout is for the summary."""
    sys.stdout.flush()
    try:
        kept = os.dup(1)
    except OSError:
        # closed by whoever started this; there is nothing to keep apart
        yield
        return
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
