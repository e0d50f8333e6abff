"""Secrets taken out of texts as a last resort, and control characters spelt out."""

from __future__ import annotations

import re

# What an address carries besides the address: user and password, and everything after "?".
_USERINFO = re.compile(r"\b([a-z][a-z0-9+.-]*://)[^\s/?#@'\"]*@", re.IGNORECASE)
_QUERY = re.compile(r"\b([a-z][a-z0-9+.-]*://[^\s?#'\"<>]*)\?[^\s'\"<>]+", re.IGNORECASE)
_SECRET = re.compile(
    r"\b(password|passwd|passfile|secret|token|api_?key|authorization)"
    r"(['\"]?\s*[=:]\s*)(?!\*\*\*)(?:(?:bearer|basic)\s+)?('[^']*'|\"[^\"]*\"|[^\s,;&)]+)",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"\b(bft_)[A-Za-z0-9_-]{20,}")
"""A token of `backfill token create`."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Also what turns the direction of the text that follows: Unicode Standard Annex 9, 2.1 to 2.6."""


def redact(text: str) -> str:
    """The text without passwords, tokens and URLs' queries."""
    text = _USERINFO.sub(r"\1***@", text)
    text = _QUERY.sub(r"\1?***", text)
    text = _TOKEN.sub(r"\1***", text)
    return _SECRET.sub(r"\1\2***", text)


def printable(text: str) -> str:
    """The text with control characters spelt out: a row's error may hold a stranger's bytes."""
    return _CONTROL.sub(_spelt, text)


def _spelt(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
