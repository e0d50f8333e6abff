"""Logging to stderr, for people or for machines, with secrets taken out as a last resort."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime

FORMATS = ("text", "json")

# What an address carries besides the address: user and password, and everything after "?".
_USERINFO = re.compile(r"\b([a-z][a-z0-9+.-]*://)[^\s/?#@'\"]*@", re.IGNORECASE)
_QUERY = re.compile(r"\b([a-z][a-z0-9+.-]*://[^\s?#'\"<>]*)\?[^\s'\"<>]+", re.IGNORECASE)
_SECRET = re.compile(
    r"\b(password|passwd|passfile|secret|token|api_?key|authorization)"
    r"(['\"]?\s*[=:]\s*)(?!\*\*\*)(?:(?:bearer|basic)\s+)?('[^']*'|\"[^\"]*\"|[^\s,;&)]+)",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Also what turns the direction of the text that follows: Unicode Standard Annex 9, 2.1 to 2.6."""


def redact(text: str) -> str:
    """The text without passwords, tokens and URLs' queries."""
    text = _USERINFO.sub(r"\1***@", text)
    text = _QUERY.sub(r"\1?***", text)
    return _SECRET.sub(r"\1\2***", text)


def printable(text: str) -> str:
    """The text with control characters spelt out: a row's error may hold a stranger's bytes."""
    return _CONTROL.sub(_spelt, text)


def _spelt(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(redact(super().format(record)))


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(line)


class _Stderr(logging.Handler):
    """Writes to whatever sys.stderr is at the time: live displays and tests replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            self.handleError(record)


_handler = _Stderr()


def as_json() -> bool:
    """Whether stderr is to hold nothing but JSON objects, a line each."""
    return isinstance(_handler.formatter, _Json)


def configure(verbose: bool, log_format: str) -> None:
    """Log to stderr from now on: our own messages from info on, other libraries' warnings.

    With `verbose` our debug messages too. `log_format` is `text` or `json` (a line an object:
    time, level, logger, message, and exception where there is one). May be called again.
    """
    if log_format == "json":
        _handler.setFormatter(_Json())
    else:
        pattern = "%(asctime)s %(levelname)s %(name)s: %(message)s" if verbose else "%(message)s"
        _handler.setFormatter(_Text(pattern))
    root = logging.getLogger()
    if _handler not in root.handlers:
        root.addHandler(_handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("runner").setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.captureWarnings(True)
