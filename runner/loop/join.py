"""A process registers with a run, and is told apart from all others from then on."""

from __future__ import annotations

import os
import socket

from runner.contract import Task
from runner.database.session import Session

RUN_HAS_ENDED = "BF004"
"""SQLSTATE of backfill.join_run()."""


def join(session: Session, task: Task, run: int) -> int:
    """Register this process with a live run; its runner id."""
    host, pid = socket.gethostname(), os.getpid()
    direct = session.direct()
    reconnects = session.reconnects
    row = session.one("join_run", run=run, version=task.version, host=host, pid=pid, direct=direct)
    runner = int(row["runner"])
    if session.reconnects != reconnects:
        # the reply to an earlier try may have been lost after it was committed
        for other in session.call("processes", task=task.name):
            mine = (other["run"], other["host"], other["pid"]) == (run, host, pid)
            if mine and other["runner"] != runner:
                session.call("leave", runner=other["runner"], reason="error")
    return runner
