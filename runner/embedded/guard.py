"""Ends a server when the process that started it is gone, however that process ended."""

from __future__ import annotations

import subprocess

# `read` returns when the pipe's other end is closed, which the system does for a killed process.
# This works alike on Linux and macOS, and from any thread: prctl(PR_SET_PDEATHSIG) would fire as
# soon as the starting *thread* ended.
_SCRIPT = 'read -r _; kill -INT "$1" 2>/dev/null'


class Guard:
    """Sends SIGINT (fast shutdown) to process `pid` once the current process has ended."""

    def __init__(self, pid: int) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT, "guard", str(pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            # A Ctrl-C at the terminal is for the program, which may want to use the server still.
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """Stand down; call this before the guarded process id can be given to another process."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
