"""What runner processes say, passed on line by line, once where several say the same."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import IO

from runner.errors import LAST_WORDS

SAME_WITHIN_S = 10.0
"""A line that another process said this recently is not repeated."""

REMEMBERED = 1000


class Relay:
    """Passes on the lines of any number of pipes to stderr, whole and one at a time.

    Written to whatever `sys.stderr` is at the time, so that a live display stays whole. `error` is
    the last of them that told why a process could not go on.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: dict[str, tuple[float, int]] = {}
        self._threads: list[threading.Thread] = []
        self.error: str | None = None

    def follow(self, pipe: IO[bytes]) -> None:
        """Pass on what comes out of this pipe until it is closed."""
        speaker = len(self._threads)
        thread = threading.Thread(
            target=self._read, args=(pipe, speaker), name="relay", daemon=True
        )
        thread.start()
        self._threads.append(thread)

    def close(self) -> None:
        """Wait a moment for the last words of processes that have ended."""
        for thread in self._threads:
            thread.join(1.0)

    def _read(self, pipe: IO[bytes], speaker: int) -> None:
        with pipe:
            for raw in pipe:
                self._say(raw.decode("utf-8", "replace").rstrip("\r\n"), speaker)

    def _say(self, line: str, speaker: int) -> None:
        now = time.monotonic()
        with self._lock:
            self.error = error_of(line) or self.error
            when, who = self._said.get(line, (now, speaker))
            if who != speaker and now - when < SAME_WITHIN_S:
                return
            if len(self._said) >= REMEMBERED:
                self._said.clear()
            self._said[line] = (now, speaker)
            print(line, file=sys.stderr, flush=True)


def error_of(line: str) -> str | None:
    """What a line says of an error that ended a command, in either format of the log; or None."""
    if line.startswith(LAST_WORDS):
        return line.removeprefix(LAST_WORDS)
    if not line.startswith("{"):
        return None
    try:
        said = json.loads(line)
    except ValueError:
        return None
    return str(said["message"]) if said.get("level") == "error" and "message" in said else None
