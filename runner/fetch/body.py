"""A response's body: decoded as it streams in, and never more of it than allowed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from tempfile import SpooledTemporaryFile
from typing import IO

from runner.errors import Permanent, Retry

KEPT_IN_MEMORY = 4_000_000
"""Bytes of a body above which it is spooled to a temporary file."""

_WINDOW_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


def spool(chunks: Iterable[bytes], encoding: str, max_bytes: int) -> tuple[IO[bytes], int]:
    """The decoded body as a file at its beginning, and its length in bytes.

    The cap counts decoded bytes, and no more than a chunk of them is decoded ahead of it, so a
    compressed bomb costs nothing. Raises `Permanent` (`too_large`, `content_encoding`) or
    `Retry` (`incomplete`); the file is then closed.
    """
    file = SpooledTemporaryFile(max_size=KEPT_IN_MEMORY)  # noqa: SIM115 - handed to the caller
    try:
        size = 0
        for chunk in _decoded(chunks, encoding.strip().lower(), max_bytes):
            size += len(chunk)
            check_size(size, max_bytes)
            file.write(chunk)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file, size


def check_size(size: int, max_bytes: int) -> None:
    """Raise `Permanent` with the code `too_large` where `size` is over the cap."""
    if size > max_bytes:
        raise Permanent(f"larger than the limit of {max_bytes:,} bytes", code="too_large")


def _decoded(chunks: Iterable[bytes], encoding: str, max_bytes: int) -> Iterable[bytes]:
    if encoding in ("", "identity"):
        return chunks
    if encoding in ("gzip", "x-gzip", "deflate"):
        return _inflated(chunks, max_bytes)
    raise Permanent(
        f"the server sent content encoding {encoding[:40]!r}, which was not asked for",
        code="content_encoding",
    )


def _inflated(chunks: Iterable[bytes], max_bytes: int) -> Iterable[bytes]:
    inflater = zlib.decompressobj(_WINDOW_GZIP_OR_ZLIB)
    for chunk in chunks:
        pending = chunk
        while pending and not inflater.eof:
            try:
                yield inflater.decompress(pending, max_bytes + 1)
            except zlib.error as error:
                raise Permanent(
                    "the server's compressed answer is damaged", code="content_encoding"
                ) from error
            pending = inflater.unconsumed_tail
    if not inflater.eof:
        raise Retry("the answer ended early (its compressed data is incomplete)", code="incomplete")
