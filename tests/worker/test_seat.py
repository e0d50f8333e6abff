"""A seat whose process can't work: what the run's end says of it."""

from __future__ import annotations

import json
import sys

import pytest

from runner.database.session import Session
from runner.worker.seat import LONGEST_ERROR, ChildCommand, Seat

SECRET = "could not connect with password=hunter2 to https://who:key@pictures.test/a?sig=1"
TOLD = "could not connect with password=*** to https://***@pictures.test/a"


def said(message: str, log_format: str) -> str:
    """The last words of a process."""
    if log_format == "json":
        return json.dumps({"level": "error", "logger": "runner", "message": message})
    return f"backfill: {message}"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_run_s_end_says_what_its_process_said(log_format: str) -> None:
    """The last error, on one line, without secrets, and no longer than the audit takes."""
    errors = ("an earlier one", SECRET + " and so on" * 100)
    lines = ["starting", *(said(one, log_format) for one in errors), "a word of a library"]
    program = f"import sys; print(*{lines!r}, sep=chr(10)); sys.exit(1)"
    command = ChildCommand(lambda *_: [sys.executable, "-S", "-c", program], {})
    with Session("", name="test") as unused:
        found = Seat(1, 1, "sample", standing=False).work(unused, command)
    assert not found.over
    assert found.error is not None
    assert found.error.startswith(TOLD)
    assert "hunter2" not in found.error
    assert len(found.error) == LONGEST_ERROR
