"""A child process whose parent is killed: it stops by itself, whatever it is doing."""

from __future__ import annotations

import os
import threading

LOOK_EVERY_S = 0.5


def stop_with(parent: int | None, stop: threading.Event) -> None:
    """Set `stop` as soon as the process of this number is no longer the parent of this one.

    Looked at in a thread, since whoever works may be waiting for a server for an hour.
    """
    if parent is not None:
        threading.Thread(target=_watch, args=(parent, stop), name="parent", daemon=True).start()


def _watch(parent: int, stop: threading.Event) -> None:
    while not stop.wait(LOOK_EVERY_S):
        if os.getppid() != parent:
            _fall_silent()
            stop.set()


def _fall_silent() -> None:
    """Whoever read what this process says is gone; a write into that pipe would fail rows."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
