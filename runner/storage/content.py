"""The bytes of an object against its digest, read in pieces."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import IO

from runner.errors import Permanent

CHUNK = 1 << 20

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,60}/[A-Za-z0-9!#$&^_.+-]{1,60}")


def check_media_type(content_type: str) -> None:
    """Raise `ValueError` unless this is a media type without parameters (RFC 6838, 4.2)."""
    if not _MEDIA_TYPE.fullmatch(content_type):
        raise ValueError(f"not a media type: {content_type[:80]!r}")


def check_content(
    file: IO[bytes], digest: str, size: int, also: Callable[[bytes], object] | None = None
) -> None:
    """Raise `Permanent` (`wrong_digest`) unless the file is of this SHA-256 and size.

    Each piece read is handed to `also`. The file is left at its beginning.
    """
    found, found_size = hash_of(file, also)
    if found_size != size:
        raise Permanent(
            f"not stored: the file has {found_size:,} bytes and was said to have {size:,}",
            code="wrong_digest",
        )
    if found != digest:
        raise Permanent(
            f"not stored: the file's SHA-256 is {found[:12]}… and was said to be {digest[:12]}…",
            code="wrong_digest",
        )


def hash_of(file: IO[bytes], also: Callable[[bytes], object] | None = None) -> tuple[str, int]:
    """SHA-256 in hex and size in bytes of a whole file, which is left at its beginning."""
    sha256 = hashlib.sha256()
    size = 0
    file.seek(0)
    while chunk := file.read(CHUNK):
        sha256.update(chunk)
        size += len(chunk)
        if also is not None:
            also(chunk)
    file.seek(0)
    return sha256.hexdigest(), size
