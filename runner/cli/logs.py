"""Logging to stderr, for people or for machines, with secrets taken out as a last resort."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from runner.redaction import printable, redact

FORMATS = ("text", "json")


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
