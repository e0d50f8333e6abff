"""One command as a child process: no shell, a time limit, and the end of what it said."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from runner.hooks.commands import without_ours

MOST_SAID = 300
"""Characters of a failed command's last line that are told."""

_KEPT_BYTES = 4096
_LOOK_S = 0.1
_TO_END_S = 2.0


def execute(
    command: Sequence[str],
    said: bytes,
    variables: Mapping[str, str],
    timeout: float,
    stop: threading.Event | None = None,
) -> str | None:
    """Run a command with `said` on its stdin; None where it ended well, else what went wrong.

    It is ended with all that it started after `timeout` seconds, and when `stop` is set. Its
    environment is this process's, without the hooks, and `variables`. The last line that it prints
    is told where it fails; all else that it prints is dropped.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**without_ours(), **variables},
            start_new_session=True,
        )
    except OSError as error:
        return f"it can't be started: {(error.strerror or str(error)).lower()}"
    with process:
        output = _Output(process)
        ended = _wait(process, output, said, timeout, stop)
    if ended is not None:
        return ended
    if process.returncode == 0:
        return None
    code = process.returncode
    how = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
    last = output.last_line()
    return f"it ended with {how}" + (f": {last}" if last else "")


class _Output:
    """The end of what a process prints; it never waits for room, however much that is."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        self._pipe = process.stdout.fileno()
        os.set_blocking(self._pipe, False)
        self._kept = b""
        self.ended = False

    def read(self, seconds: float) -> None:
        """Take what is printed within this time; returns early where something was."""
        if self.ended:
            time.sleep(seconds)
            return
        if not select.select([self._pipe], [], [], seconds)[0]:
            return
        with suppress(BlockingIOError):
            piece = os.read(self._pipe, 65536)
            self.ended = not piece
            self._kept = (self._kept + piece)[-_KEPT_BYTES:]

    def last_line(self) -> str:
        """The last line that is not empty."""
        lines = [line.strip() for line in self._kept.decode("utf-8", "replace").splitlines()]
        return next((line for line in reversed(lines) if line), "")[:MOST_SAID]


def _wait(
    process: subprocess.Popen[bytes],
    output: _Output,
    said: bytes,
    timeout: float,
    stop: threading.Event | None,
) -> str | None:
    """Return when the process has ended: None where it did by itself, else why it was ended."""
    end = time.monotonic() + timeout
    _say(process, said)
    while process.poll() is None:
        left = end - time.monotonic()
        if left <= 0:
            _end(process)
            return f"it took longer than {timeout:g} s and was ended"
        if stop is not None and stop.is_set():
            _end(process)
            return "it was interrupted"
        output.read(min(left, _LOOK_S) if not output.ended else 0.01)
    output.read(0)
    return None


def _say(process: subprocess.Popen[bytes], said: bytes) -> None:
    """Write to its stdin, which a pipe's buffer takes at once, and close it."""
    assert process.stdin is not None  # noqa: S101 - a pipe was asked for
    # who doesn't read what it is told need not
    with suppress(BrokenPipeError):
        process.stdin.write(said)
    with suppress(BrokenPipeError):
        process.stdin.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and what it started: kindly, and then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_TO_END_S)
            return
