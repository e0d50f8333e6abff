"""Connections below httpx: a total deadline for every wait, and addresses checked on connect."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any

import httpcore
import httpx

AddressCheck = Callable[[str, str], None]
"""Called with a host name and each of its IP addresses before any is connected to.

It raises `Permanent` to refuse. The connection then goes to a checked address and the name is
not resolved again, so what was checked is what is used.
"""


def any_address(_host: str, _address: str) -> None:
    """The check that refuses nothing."""


class DeadlinePassed(httpcore.TimeoutException):
    """The time for the whole exchange is up."""


class Unresolvable(httpcore.ConnectError):
    """The host's name has no address, or the name service gave no answer."""


_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Let no wait on the network within this block, in this thread, outlast `seconds` in all.

    httpx only limits single reads, which a server that sends a byte now and then never exceeds.
    """
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def _left(timeout: float | None) -> float | None:
    """What may be waited at most: `timeout`, or what is left until the deadline if less."""
    end = _deadline.get()
    if end is None:
        return timeout
    left = end - time.monotonic()
    if left <= 0:
        raise DeadlinePassed
    return left if timeout is None else min(timeout, left)


@contextmanager
def _names_deadline() -> Iterator[None]:
    try:
        yield
    except httpcore.TimeoutException as error:
        end = _deadline.get()
        if end is not None and time.monotonic() >= end:
            raise DeadlinePassed from error
        raise


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _names_deadline():
            return self._stream.read(max_bytes, _left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _names_deadline():
            self._stream.write(buffer, _left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        with _names_deadline():
            return _Stream(self._stream.start_tls(ssl_context, server_hostname, _left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    def __init__(self, check: AddressCheck) -> None:
        self._check = check

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = _resolve(host, port)
        for address in addresses:
            self._check(host, address)
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in addresses:
            try:
                with _names_deadline():
                    stream = super().connect_tcp(
                        address, port, _left(timeout), local_address, socket_options
                    )
                return _Stream(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or Unresolvable(host)


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise Unresolvable(host) from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: Iterable[bytes], close: Callable[[], None]) -> None:
        self._stream = stream
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        self._close()


class Transport(httpx.BaseTransport):
    """httpx's way to the network: a pool of connections, shared by threads, made as above.

    Failures arrive as httpcore's exceptions (and ours), since those keep their cause.
    """

    def __init__(self, check: AddressCheck, connections: int) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=15.0,
            network_backend=_Backend(check),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream if isinstance(request.stream, Iterable) else b"",
                extensions=request.extensions,
            )
        )
        body = _Body(_as_iterable(answer), answer.close)
        return httpx.Response(answer.status, headers=answer.headers, stream=body)

    def close(self) -> None:
        self._pool.close()

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close()


def _as_iterable(answer: httpcore.Response) -> Iterable[bytes]:
    stream = answer.stream
    if not isinstance(stream, Iterable):
        raise TypeError("the connection pool gave an asynchronous stream")
    return stream
