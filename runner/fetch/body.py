"""A response's body: decoded as it streams in, and never more of it than allowed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile
from typing import IO

from runner.errors import Permanent, Retry

KEPT_IN_MEMORY = 4_000_000
"""Bytes of a body above which it is spooled to a temporary file."""

_DECODED_AT_ONCE = 262_144
"""A chunk of 64 kB may decode to a thousand times as much; so much of it is held at a time."""

_WINDOW_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_WINDOW_RAW = -zlib.MAX_WBITS


def spool(chunks: Iterable[bytes], encoding: str, max_bytes: int) -> tuple[IO[bytes], int]:
    """The decoded body as a file at its beginning, and its length in bytes.

    The cap counts decoded bytes, and decoding is as lazy as reading, so a compressed bomb costs
    no more than a large picture. Raises `Permanent` (`too_large`, `content_encoding`) or
    `Retry` (`incomplete`); the file is then closed.
    """
    file = SpooledTemporaryFile(max_size=KEPT_IN_MEMORY)  # noqa: SIM115 - handed to the caller
    try:
        size = 0
        for chunk in _decoded(chunks, encoding.strip().lower()):
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


def _decoded(chunks: Iterable[bytes], encoding: str) -> Iterable[bytes]:
    if encoding in ("", "identity"):
        return chunks
    if encoding in ("gzip", "x-gzip", "deflate"):
        return _inflated(iter(chunks))
    raise Permanent(
        f"the server sent content encoding {encoding[:40]!r}, which was not asked for",
        code="content_encoding",
    )


def _inflated(chunks: Iterator[bytes]) -> Iterator[bytes]:
    pending = next(chunks, b"")
    while len(pending) < 2 and (more := next(chunks, b"")):
        pending += more
    inflater = zlib.decompressobj(_window(pending))
    while pending:
        if inflater.eof:
            raise Permanent(
                "the server's compressed answer goes on after its end", code="content_encoding"
            )
        try:
            yield inflater.decompress(pending, _DECODED_AT_ONCE)
        except zlib.error as error:
            raise Permanent(
                "the server's compressed answer is damaged", code="content_encoding"
            ) from error
        pending = inflater.unconsumed_tail or inflater.unused_data or next(chunks, b"")
    if not inflater.eof:
        raise Retry("the answer ended early (its compressed data is incomplete)", code="incomplete")


def _window(start: bytes) -> int:
    """What zlib has to be told: `deflate` is often sent without the zlib header (RFC 1950, 2.2)."""
    zlib_header = start[:1] and start[0] & 0x0F == 8 and int.from_bytes(start[:2], "big") % 31 == 0
    known = zlib_header or start[:2] == b"\x1f\x8b"
    return _WINDOW_GZIP_OR_ZLIB if known else _WINDOW_RAW
