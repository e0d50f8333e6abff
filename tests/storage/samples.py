"""Small objects, and short words for what tests do with them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import IO

from runner.storage import Storage, Stored


def digest_of(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def path_of(data: bytes, suffix: str = ".jpg") -> str:
    """Where these bytes belong."""
    digest = digest_of(data)
    return f"{digest[:2]}/{digest[2:4]}/{digest}{suffix}"


def put(storage: Storage, data: bytes, *, file: IO[bytes] | None = None) -> Stored:
    """Put these bytes as a JPEG."""
    source = io.BytesIO(data) if file is None else file
    return storage.put(source, digest_of(data), len(data), "image/jpeg", ".jpg")


def read(storage: Storage, path: str) -> bytes:
    """The bytes at this path."""
    with storage.read(path) as file:
        return file.read()


def some_bytes(number: int) -> Iterator[bytes]:
    """So many different small objects."""
    return (f"picture {n}".encode() for n in range(number))
