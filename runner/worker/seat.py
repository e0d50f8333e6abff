"""One seat of a run: a process that works for it, watched until it leaves."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from runner.database.session import Session
from runner.errors import BackfillError, ExitCode
from runner.loop.relay import Relay
from runner.loop.supervisor import Supervisor
from runner.redaction import printable, redact

log = logging.getLogger(__name__)

RETRY_S = 30.0
"""Time before a seat is tried again whose process could not work, or had nothing to do."""

LONGEST_ERROR = 500
"""Characters of a reason that the audit takes; see `backfill.fail_run()`."""

BRIEF_RETRY_S = 2.0
"""The same where the process was asked to stop, or lost the database."""


@dataclass(frozen=True, slots=True)
class ChildCommand:
    """How a process is started that works for a run.

    `words(task, run, standing)` is its command line; it gets this environment.
    """

    words: Callable[[str, int, bool], Sequence[str]]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ending:
    """What becomes of a seat: `over`, or handed out again in `after` seconds.

    `error`: why nobody could work there.
    """

    over: bool
    after: float = 0.0
    error: str | None = None


@dataclass(slots=True)
class Seat:
    """A seat that this worker has; `stop` asks its process to leave, `kill` ends it."""

    run: int
    number: int
    task: str
    standing: bool
    stop: threading.Event = field(default_factory=threading.Event)
    since: float = field(default_factory=time.monotonic)
    kill: Callable[[], None] | None = None

    def work(self, session: Session, command: ChildCommand) -> Ending:
        """Keep a process at this seat until it leaves by itself, or is asked to."""
        relay = Relay()
        supervisor = Supervisor(
            command.words(self.task, self.run, self.standing),
            1,
            _Progress(session, self.run),
            self.stop,
            relay,
            command.environment,
            quiet=True,
        )
        self.kill = supervisor.kill
        try:
            supervisor.wait()
        except BackfillError as error:
            return Ending(over=False, after=RETRY_S, error=str(error))
        return ending(supervisor.exit_codes, asked=self.stop.is_set(), said=relay.error)


def ending(codes: Sequence[int], *, asked: bool, said: str | None) -> Ending:
    """What the exit codes of a seat's processes mean for it.

    `asked`: they were told to stop. `said`: what they told of an error, for everybody to read.
    """
    code = codes[-1] if codes else ExitCode.INTERRUPTED
    if code in (ExitCode.ERROR, ExitCode.USAGE):
        # the process has redacted it, but anything may write to its stderr
        error = printable(redact(said or "a process could not work; see the worker's log"))
        return Ending(over=False, after=RETRY_S, error=error[:LONGEST_ERROR])
    if asked or code < 0:
        return Ending(over=False)
    if code == ExitCode.UNREACHABLE or code == ExitCode.INTERRUPTED:
        return Ending(over=False, after=BRIEF_RETRY_S)
    if code == ExitCode.PAUSED:
        return Ending(over=False)
    return Ending(over=True, after=RETRY_S)


@dataclass(frozen=True, slots=True)
class _Progress:
    """What the supervisor asks about the run."""

    session: Session
    run: int

    def joined(self, pid: int) -> bool:
        host = socket.gethostname()
        live = self.session.call("processes", task=None)
        return any((r["run"], r["host"], r["pid"]) == (self.run, host, pid) for r in live)

    def through(self) -> int:
        return int(self.session.one("run_through", run=self.run)["through"])
