"""Commands before and after a run: one of its processes runs each, and the others wait for it."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from pathlib import PurePath
from typing import Any

import psycopg

from runner.database import failures
from runner.database.session import Session
from runner.errors import BackfillError, DatabaseUnreachable
from runner.hooks.commands import Commands
from runner.hooks.execute import execute

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 0.5
"""How often a process looks whether the one that runs the command is done."""

PATIENCE_S = 10.0

MARGIN_S = 15.0
"""Beyond its time limit a command counts as lost, with the process that ran it."""


def before_run(
    session: Session, commands: Commands, task: str, run: int, stop: threading.Event
) -> None:
    """Run the command before a run, or wait for whoever does; returns early when `stop` is set.

    Raises `BackfillError` where it fails, in each process that has such a command: none works.
    """
    command = commands.before_run
    if command is None:
        return
    while (state := _take(session, commands, run, "before_run")) == "running":
        if stop.wait(LOOK_AGAIN_S):
            return
    if state == "done":
        return
    wrong = "it failed in another process"
    if state == "mine":
        found = _execute(session, command, commands, task, run, "before_run", stop)
        if found is None:
            return
        wrong = found
    raise BackfillError(f"{said(command, 'before-run')}: {wrong}; run {run} does nothing")


def begin(
    session: Session,
    commands: Commands,
    task: str,
    run: int,
    stop: threading.Event | None = None,
) -> None:
    """Run the command before a run; where it fails, the run ends with an error."""
    try:
        before_run(session, commands, task, run, stop or threading.Event())
    except DatabaseUnreachable:
        raise
    except BackfillError:
        session.call("end_run", run=run, reason="error")
        after_run(session, commands, task, run)
        raise


def end(conninfo: str, commands: Commands, task: str, run: int) -> None:
    """Run the command after a run, if it has ended, as `after_run` does, on its own connection."""
    if commands.after_run is not None:
        with Session(conninfo, name=f"backfill run {run}", patience=PATIENCE_S) as session:
            after_run(session, commands, task, run)


def after_run(session: Session, commands: Commands, task: str, run: int) -> None:
    """Run the command after a run, if it has ended and nobody else does; failures are warned of."""
    command = commands.after_run
    if command is None:
        return
    try:
        if _take(session, commands, run, "after_run") != "mine":
            return
        wrong = _execute(session, command, commands, task, run, "after_run", None)
    except (psycopg.Error, BackfillError) as error:
        wrong = failures.first_line(error)
    if wrong is not None:
        log.warning("%s: %s", said(command, "after-run"), wrong)


def said(command: tuple[str, ...], moment: str) -> str:
    """How a command is named in messages: its program alone, since arguments may be secret."""
    return f"the {moment} command {PurePath(command[0]).name}"


def variables(task: str, run: int, moment: str) -> dict[str, str]:
    """What a command finds in its environment."""
    return {"BACKFILL_TASK": task, "BACKFILL_RUN": str(run), "BACKFILL_MOMENT": moment}


def _take(session: Session, commands: Commands, run: int, moment: str) -> str:
    found = session.one(
        "take_command",
        run=run,
        moment=moment,
        seconds=commands.timeout + MARGIN_S,
        **this_process(),
    )
    return str(found["state"])


def this_process() -> dict[str, Any]:
    """What it is known by to the others."""
    return {"host": socket.gethostname(), "pid": os.getpid()}


def _execute(
    session: Session,
    command: tuple[str, ...],
    commands: Commands,
    task: str,
    run: int,
    moment: str,
    stop: threading.Event | None,
) -> str | None:
    """Run it and take down how it ended; what went wrong, or None."""
    message = session.one("hook_message", moment=moment, run=run)["message"]
    wrong = execute(
        command,
        json.dumps(message).encode() + b"\n",
        variables(task, run, moment),
        commands.timeout,
        stop,
    )
    interrupted = stop is not None and stop.is_set()
    session.call(
        "note_command",
        run=run,
        moment=moment,
        error=None if wrong is None else f"{said(command, moment.replace('_', '-'))}: {wrong}",
        again=interrupted,
        **this_process(),
    )
    return None if interrupted else wrong
