"""Reading an answer: the body that was wanted, or as little as possible of one that wasn't."""

from __future__ import annotations

from contextlib import suppress

import httpcore
import httpx

from runner.errors import Permanent, Retry
from runner.fetch.body import check_size, spool
from runner.fetch.download import Download, Validators, content_type
from runner.fetch.network import MOST_HEAD_BYTES, chunks
from runner.fetch.urls import Target
from runner.fetch.watch import current

_DRAINED_BYTES = 16_384
_DRAINED_S = 0.25
"""Bytes and seconds up to which the rest of an answer is read, to use its connection again."""


def receive(answer: httpcore.Response, target: Target, what: str, max_bytes: int) -> Download:
    """The body of an answer with status 200.

    Raises `Permanent` (`too_large`, `content_encoding`, `empty`) or `Retry` (`incomplete`).
    """
    headers = httpx.Headers(answer.headers)
    stated = headers.get("Content-Length", "")
    # framing of chunks at most doubles a body that anybody means to be read
    current().expect(2 * max_bytes + MOST_HEAD_BYTES)
    try:
        if stated.isdigit():
            check_size(int(stated[:18]), max_bytes)
        file, size = spool(chunks(answer), headers.get("Content-Encoding", ""), max_bytes)
    except (Permanent, Retry) as error:
        raise type(error)(f"{what}: {error}", code=error.code) from error
    if not size:
        file.close()
        raise Permanent(f"{what}: the answer is empty (0 bytes)", code="empty")
    return Download(file, size, target.shown, content_type(headers), Validators.of(headers))


def drain(answer: httpcore.Response) -> None:
    """Read the rest of an answer whose status said all, where that is quick."""
    stated = httpx.Headers(answer.headers).get("Content-Length", "")
    short = stated.isdigit() and int(stated[:18]) <= _DRAINED_BYTES
    if not short and answer.status != 304:  # which has no body, whatever length it states
        return
    limits = current()
    limits.expect(MOST_HEAD_BYTES)
    # a failure costs the connection, not the answer: closing it is what happens otherwise
    with (
        suppress(httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException),
        limits.at_most(_DRAINED_S),
    ):
        for _ in chunks(answer):
            pass
