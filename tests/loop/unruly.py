"""The sample task, with a computation that prints and with processes that can't start.

A row whose behaviour is `print` prints on stdout, in Python and below it. With UNRULY_START in the
environment a process of `--workers` dies when it opens the task: `kill` by a signal, `raise`
by an exception.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from runner.contract import Compute, Row, Settings
from tests import sample


def _die(how: str) -> None:
    match how:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "raise":
            raise RuntimeError("the model file is broken")


@contextmanager
def _open(settings: Settings) -> Iterator[Compute]:
    if "--child" in sys.argv:
        _die(os.environ.get("UNRULY_START", ""))
    with sample.open_sample(settings) as plain:

        def compute(row: Row) -> Any:
            if row["behaviour"] == "print":
                print(f"python prints {row['key']}")
                os.write(1, f"a library prints {row['key']}\n".encode())
            return plain(row)

        yield compute


task = replace(sample.task, open=_open, open_limited=None)
