"""`backfill` on a pseudo-terminal, as somebody sees it who types the command."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from typing import Protocol

import pytest

from tests.plugins.processes import ENDED_S, environment_for
from tests.plugins.waiting import wait_until


class Terminal:
    """A process on a pseudo-terminal of 100 columns; `text` is all that it showed."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], columns: int) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
        self.process = subprocess.Popen(
            arguments,
            env={**environment, "TERM": "xterm-256color", "COLUMNS": str(columns)},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._shown = b""

    @property
    def text(self) -> str:
        """Everything shown so far."""
        while select.select([self._master], [], [], 0)[0]:
            try:
                more = os.read(self._master, 65_536)
            except OSError:  # Linux's way to say that the other end is closed
                break
            if not more:
                break
            self._shown += more
        return self._shown.decode("utf-8", "replace")

    def shows(self, words: str, seconds: float = 30.0) -> None:
        """Return once it has shown this; fail at once where the process ends before."""
        wait_until(lambda: words in self.text or self.process.poll() is not None, seconds=seconds)
        assert words in self.text

    def types(self, text: str) -> None:
        """Press these keys."""
        os.write(self._master, text.encode())

    def ended(self, seconds: float = ENDED_S) -> int:
        """Its exit code, once it has ended; what it shows is read meanwhile."""
        wait_until(lambda: (self.text, self.process.poll())[1] is not None, seconds=seconds)
        assert self.text is not None
        return int(self.process.returncode)

    def close(self) -> None:
        """Kill it, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)


class OpenTerminal(Protocol):
    """Starts `backfill` with these arguments on a terminal."""

    def __call__(self, url: str, *arguments: str, columns: int = 100) -> Terminal: ...


@pytest.fixture
def terminal() -> Iterator[OpenTerminal]:
    """See `OpenTerminal`."""
    opened: list[Terminal] = []

    def start(url: str, *arguments: str, columns: int = 100) -> Terminal:
        arguments_ = [sys.executable, "-m", "runner", *arguments]
        opened.append(Terminal(arguments_, environment_for(url, "tests.sample:task"), columns))
        return opened[-1]

    yield start
    for found in opened:
        found.close()
