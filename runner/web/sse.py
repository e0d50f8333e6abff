"""Server-sent events, as WHATWG HTML ("Server-sent events", 9.2) writes them."""

from __future__ import annotations

import json
from typing import Any

from runner.web.cursor import Cursor
from runner.web.live import Line

RETRY_MS = 2000
"""After how long a browser comes back whose stream has ended."""

OPENING = f"retry: {RETRY_MS}\n\n".encode()

MEDIA_TYPE = "text/event-stream"


def event(name: str, data: Any, number: str | None = None) -> bytes:
    """One event. JSON has no line breaks, so its data are one line."""
    given = f"id: {number}\n" if number is not None else ""
    body = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    return f"event: {name}\n{given}data: {body}\n\n".encode()


def log(lines: list[Line], more: int, cursor: Cursor) -> bytes:
    """Lines of the log, the oldest first, and how far one has read with them."""
    return event("log", {"lines": [line.shown for line in lines], "more": more}, str(cursor))


def trouble(text: str) -> bytes:
    """Why nothing is told; the next state ends it."""
    return event("trouble", {"text": text})


def gone(reason: str) -> bytes:
    """The last word to somebody who may look no longer."""
    return event("gone", {"reason": reason})


def pulse(at: str) -> bytes:
    """A sign of life, as a comment for proxies and as an event for scripts."""
    return b": still here\n\n" + event("pulse", {"at": at})
