"""What a request ends with, and what it takes to ask again only for what has changed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import TracebackType
from typing import IO

import httpx

_VALIDATOR = re.compile(r"[\x20-\x7e]{1,500}")
"""What a validator may be to be kept and sent back: printable, and no longer than sensible."""

_LONGEST_TYPE = 200


@dataclass(frozen=True, slots=True)
class Validators:
    """A server's marks of one version of a body (RFC 9110, 8.8), as they were sent."""

    etag: str | None = None
    last_modified: str | None = None

    @classmethod
    def of(cls, headers: httpx.Headers) -> Validators:
        """From an answer; a mark that could not be sent back is left out."""
        return cls(_usable(headers.get("ETag")), _usable(headers.get("Last-Modified")))

    def conditions(self) -> dict[str, str]:
        """The headers that ask for the body only if it is another version."""
        found = {
            "If-None-Match": _usable(self.etag),
            "If-Modified-Since": _usable(self.last_modified),
        }
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Download:
    """A body that arrived whole: `file` is at its beginning, `url` is where it came from, redacted.

    `content_type` is the server's word, and no proof. Use as a context manager, which closes the
    file.
    """

    file: IO[bytes]
    size: int
    url: str
    content_type: str | None = None
    validators: Validators = Validators()

    def __enter__(self) -> Download:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.file.close()


@dataclass(frozen=True, slots=True)
class NotModified:
    """The body is still the version that the validators stand for; nothing was downloaded.

    `validators` are those of the answer, else those that were asked with.
    """

    url: str
    validators: Validators


def content_type(headers: httpx.Headers) -> str | None:
    """The stated type, cut to what is worth keeping."""
    stated = headers.get("Content-Type")
    return None if stated is None else stated[:_LONGEST_TYPE]


def _usable(value: str | None) -> str | None:
    return value if value is not None and _VALIDATOR.fullmatch(value) else None
