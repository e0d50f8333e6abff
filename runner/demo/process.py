"""The picture host as a process in the background that ends with the one that started it."""

from __future__ import annotations

import contextlib
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from runner.demo.host import FAILED, SERVING
from runner.errors import BackfillError

START_SECONDS = 20.0
STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Host:
    """A running host: where its pictures are (no slash at the end), and its process id."""

    base_url: str
    pid: int


@contextlib.contextmanager
def start(port: int = 0, *, or_free: bool = True) -> Iterator[Host]:
    """Serve the demo's pictures for as long as the context lasts.

    `port` 0 means a free one; where the port is taken, a free one does too, or with `or_free`
    false `BackfillError` is raised. The process ends with this one however this one ends, since
    it watches a pipe whose other end nobody else holds. (A child that was forked without exec
    holds it as well, and keeps the host alive until it ends.)
    """
    command = [sys.executable, "-m", "runner.demo.host", "--with-parent", f"--port={port}"]
    if or_free:
        command.append("--or-free")
    # A session of its own: Ctrl-C is meant for the runners, which still need their pictures.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        # Both are there, since both were asked for.
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None  # noqa: S101
        assert stdout is not None  # noqa: S101
        try:
            yield Host(_base_url(stdout), process.pid)
        finally:
            stdin.close()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _base_url(stdout: IO[str]) -> str:
    ready, _, _ = select.select([stdout], [], [], START_SECONDS)
    if not ready:
        raise BackfillError(
            f"the demo's picture host said nothing for {START_SECONDS:.0f} s: try again"
        )
    line = stdout.readline().strip()
    if line.startswith(SERVING):
        return line.removeprefix(SERVING)
    reason = line.removeprefix(FAILED) or "it ended at once; see its message above"
    raise BackfillError(f"the demo's picture host didn't start: {reason}")
