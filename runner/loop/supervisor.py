"""Several processes for one run, from one command: started, watched, started anew after a crash."""

from __future__ import annotations

import logging
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from runner.errors import BackfillError, ExitCode

log = logging.getLogger(__name__)

POLL_S = 0.1
CRASHES_IN_A_ROW = 10
"""Crashes of one slot, each within `SHORT_LIFE_S` of its start and with nothing finished by the
run in between, after which it is given up: the fault is not in the rows."""
SHORT_LIFE_S = 10.0

_EXPECTED = frozenset(int(code) for code in ExitCode)


@dataclass(slots=True)
class _Slot:
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    crashes: int = 0


class Supervisor:
    """Keeps `workers` processes of `command` going until each has left by itself.

    `finished()` tells how many rows the run has finished, to tell progress from a crash loop.
    """

    def __init__(
        self,
        command: Sequence[str],
        workers: int,
        finished: Callable[[], int],
        stop: threading.Event,
    ) -> None:
        self._command = list(command)
        self._finished = finished
        self._stop = stop
        self._signalled = False
        self._slots = [_Slot(self._spawn()) for _ in range(workers)]
        self._progress = 0
        self.exit_codes: list[int] = []

    def wait(self) -> None:
        """Return when every process has left; raises `BackfillError` where they only crash."""
        try:
            while self._slots:
                if self._stop.is_set() and not self._signalled:
                    self._signal(signal.SIGTERM)
                    self._signalled = True
                for slot in list(self._slots):
                    self._look_after(slot)
                time.sleep(POLL_S)
        except BaseException:
            self._signal(signal.SIGTERM)
            raise

    def kill(self) -> None:
        """End every process at once; the database gives their jobs back."""
        self._signal(signal.SIGKILL)

    def _spawn(self) -> subprocess.Popen[bytes]:
        # A group of its own: Ctrl-C reaches this process alone, which passes it on in its own way.
        return subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)

    def _signal(self, number: signal.Signals) -> None:
        for slot in self._slots:
            if slot.process.poll() is None:
                slot.process.send_signal(number)

    def _look_after(self, slot: _Slot) -> None:
        code = slot.process.poll()
        if code is None:
            return
        if code in _EXPECTED or self._stop.is_set():
            self.exit_codes.append(code)
            self._slots.remove(slot)
            return
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        finished = self._finished()
        quick = time.monotonic() - slot.started < SHORT_LIFE_S
        slot.crashes = slot.crashes + 1 if quick and finished == self._progress else 1
        self._progress = finished
        if slot.crashes >= CRASHES_IN_A_ROW:
            raise BackfillError(
                f"a runner process crashed {slot.crashes} times in a row ({how}) and nothing got done; "
                "run it with --workers 1 --verbose to see why"
            )
        log.warning("runner process %d died (%s); starting another", slot.process.pid, how)
        slot.process = self._spawn()
        slot.started = time.monotonic()
