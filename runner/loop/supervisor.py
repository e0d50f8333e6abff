"""Several processes for one run, from one command: started, watched, started anew after a crash."""

from __future__ import annotations

import logging
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from runner.errors import BackfillError, ExitCode
from runner.loop.relay import Relay

log = logging.getLogger(__name__)

POLL_S = 0.1
STARTS = 5
"""Crashes one after another of processes that never joined the run, after which it is given up."""

CRASHES = 50
"""Crashes one after another with no row coming through between them, after which it is given up:
that many rows in a row that each kill their process are unlikely."""

_EXPECTED = frozenset(int(code) for code in ExitCode)


@dataclass(slots=True)
class Crashes:
    """Tells rows that kill their process from processes that can't work at all."""

    through: int = 0
    before_joining: int = 0
    without_progress: int = 0

    def count(self, *, joined: bool, through: int) -> None:
        self.before_joining = 0 if joined else self.before_joining + 1
        self.without_progress = 1 if through > self.through else self.without_progress + 1
        self.through = through

    def verdict(self, how: str) -> str | None:
        """Why there is no point in starting another process, or None."""
        look = "run it with --workers 1 --verbose to see why"
        if self.before_joining >= STARTS:
            return f"{STARTS} runner processes died before they could start ({how}); {look}"
        if self.without_progress >= CRASHES:
            return f"{CRASHES} runner processes died and no row came through ({how}); {look}"
        return None


class RunProgress(Protocol):
    """How the run stands, as far as it tells a crash's cause."""

    def joined(self, pid: int) -> bool:
        """Whether this process of this host came so far as to join the run."""
        ...

    def through(self) -> int:
        """Rows, and steps of rows, that were finished otherwise than by failing."""
        ...


class Supervisor:
    """Keeps `workers` processes of `command` going until each has left by itself.

    What they say goes to `relay`; with `quiet` it does not say itself that they are stopped, which
    is usual where they make room for others. `exit_codes` are those of the processes that left by
    themselves.
    """

    def __init__(
        self,
        command: Sequence[str],
        workers: int,
        progress: RunProgress,
        stop: threading.Event,
        relay: Relay,
        environment: Mapping[str, str] | None = None,
        *,
        quiet: bool = False,
    ) -> None:
        self._quiet = quiet
        self._command = list(command)
        self._environment = None if environment is None else dict(environment)
        self._progress = progress
        self._stop = stop
        self._relay = relay
        self._crashes = Crashes()
        self._stopped = False
        self._hopeless: str | None = None
        self.pids: set[int] = set()
        self.exit_codes: list[int] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        for _ in range(workers):
            self._processes.append(self._spawn())

    def wait(self) -> None:
        """Return when every process has left; raises `BackfillError` where they only crash."""
        try:
            while self._processes:
                if self._stop.is_set() and not self._stopped:
                    level = logging.DEBUG if self._quiet else logging.INFO
                    log.log(
                        level,
                        "stopping %d processes; interrupt again to leave at once",
                        len(self._processes),
                    )
                    self._ask_to_stop()
                for process in list(self._processes):
                    if process.poll() is not None:
                        self._look_after(process)
                time.sleep(POLL_S)
        except BaseException:
            self._ask_to_stop()
            raise
        self._relay.close()
        if self._hopeless is not None:
            raise BackfillError(self._hopeless)

    def kill(self) -> None:
        """End every process at once; the database gives their jobs back."""
        self._signal(signal.SIGKILL)

    def _spawn(self) -> subprocess.Popen[bytes]:
        # A group of its own: Ctrl-C reaches this process alone, which passes it on in its own way.
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=self._environment,
        )
        self.pids.add(process.pid)
        assert process.stdout is not None  # noqa: S101 - asked for above
        self._relay.follow(process.stdout)
        return process

    def _ask_to_stop(self) -> None:
        self._stopped = True
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(number)

    def _look_after(self, process: subprocess.Popen[bytes]) -> None:
        code = process.returncode
        self._processes.remove(process)
        if code in _EXPECTED or self._stopped:
            self.exit_codes.append(code)
            return
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._crashes.count(
            joined=self._progress.joined(process.pid), through=self._progress.through()
        )
        self._hopeless = self._crashes.verdict(how)
        if self._hopeless is not None:
            self._ask_to_stop()
            return
        log.warning("runner process %d died (%s); starting another", process.pid, how)
        self._processes.append(self._spawn())
