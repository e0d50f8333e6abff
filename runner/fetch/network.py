"""Connections: to addresses that were checked, kept alive, and every wait within the watch.

Requests go to httpcore as they are written here. httpx's client is not between, since it parses
URLs in its own way and keeps every stranger's cookies.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import httpcore
import httpx

from runner.fetch.kept import Kept
from runner.fetch.policy import Policy
from runner.fetch.resolve import Resolve, Resolver, Unresolvable, system_addresses
from runner.fetch.urls import Target
from runner.fetch.watch import Flooded, current

MOST_HEAD_BYTES = 262_144
"""What may arrive before an answer begins, 1xx answers included; httpcore takes 100 kB of one."""

MOST_CRUMBS = 10_000
CRUMB_BYTES = 64
"""A body may come in so many pieces of any size, and one more for each so many bytes."""

IDLE_S = 15.0
"""Seconds that an unused connection is kept."""

_WRITTEN_AT_ONCE = 16_384

_BROKEN = (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError)

_NO_STATUS_LINE = "illegal status line"
"""How h11 begins to complain of bytes that no answer begins with."""


class Unanswered(httpcore.NetworkError):
    """A kept connection broke with no byte of an answer: the host may have closed it before."""


class _Stream(httpcore.NetworkStream):
    """A connection whose waits and bytes are watched."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        limits = current()
        with limits.names_deadline():
            data = self._stream.read(max_bytes, limits.wait(timeout))
        limits.arrived(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        limits = current()
        limits.heard = False
        with limits.names_deadline():
            # a peer that takes a little at a time would renew the timeout of one long write
            for start in range(0, len(buffer), _WRITTEN_AT_ONCE):
                piece = buffer[start : start + _WRITTEN_AT_ONCE]
                self._stream.write(piece, limits.wait(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        limits = current()
        with limits.names_deadline():
            left = limits.wait(timeout)
            return _Stream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    """Connects to an address only when all addresses of the host were found good.

    The name is resolved once; the checked address itself is what is connected to.
    """

    def __init__(self, policy: Policy, resolver: Resolver) -> None:
        self._policy = policy
        self._resolver = resolver

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        limits = current()
        addresses = self._resolver.addresses(host, port, limits.wait(timeout))
        for address in addresses:
            self._policy.check(host, port, address)
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in addresses:
            try:
                with limits.names_deadline():
                    stream = super().connect_tcp(
                        str(address), port, limits.wait(timeout), local_address, socket_options
                    )
                return _Stream(stream)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or Unresolvable(host)


@cache
def _trusted() -> ssl.SSLContext:
    """The certificates that certifi vouches for; reading them takes longer than a download."""
    return httpx.create_ssl_context(trust_env=False)


class Network:
    """Connections, shared by threads, all made under one policy.

    A connection stays with scheme, host and port, and so with the address that was checked when
    it was made. `connections` is how many are kept idle, and how many names are looked up at
    once. `resolve` and `tls` replace the system's name service and the trusted certificates.
    Failures arrive as httpcore's exceptions and those of `watch`, `resolve` and `policy`.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        connections: int = 64,
        resolve: Resolve = system_addresses,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._tls = tls or _trusted()
        self._backend = _Backend(policy, Resolver(resolve, connections))
        self._kept = Kept(connections)

    def close(self) -> None:
        """Close idle connections, and each in use when it is done with."""
        self._kept.close()

    @contextmanager
    def exchange(
        self,
        method: str,
        target: Target,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        connect_s: float,
        read_s: float,
        fresh: bool = False,
    ) -> Iterator[httpcore.Response]:
        """Send a request once, in a `watch`; the answer's body is still to be read in the block.

        A `fresh` one gets a new connection. Raises `Unanswered`, and `UnicodeEncodeError` for a
        header that is not ASCII.
        """
        length = {"Content-Length": str(len(body))} if method == "POST" else {}
        sent = {"Host": target.authority, **headers, **length}
        request = httpcore.Request(
            method=method,
            url=httpcore.URL(
                scheme=target.scheme.encode("ascii"),
                host=target.host.encode("ascii"),
                port=target.port,
                target=target.path.encode("ascii"),
            ),
            headers=[(name.encode("ascii"), value.encode("ascii")) for name, value in sent.items()],
            content=body,
            extensions={
                "timeout": {
                    "connect": connect_s,
                    "read": read_s,
                    "write": read_s,
                }
            },
        )
        kept = None if fresh else self._kept.take(request.url.origin)
        connection = kept or self._new(request.url.origin)
        try:
            answer = _answer(connection, request, kept=kept is not None)
            try:
                yield answer
            finally:
                answer.close()
        finally:
            self._kept.give(connection)

    def _new(self, origin: httpcore.Origin) -> httpcore.HTTPConnection:
        """A connection that will be made when it is used."""
        return httpcore.HTTPConnection(
            origin, self._tls, keepalive_expiry=IDLE_S, network_backend=self._backend
        )


def _answer(
    connection: httpcore.HTTPConnection, request: httpcore.Request, *, kept: bool
) -> httpcore.Response:
    """The beginning of an answer.

    Raises `Unanswered` for a kept connection that was not seen to be dead: the host closed it
    while the request was under way, or the answer before left bytes over that nobody sees.
    """
    limits = current()
    limits.expect(MOST_HEAD_BYTES)
    try:
        return _asked_for(connection.handle_request(request))
    except _BROKEN as error:
        answered = limits.heard and not str(error).startswith(_NO_STATUS_LINE)
        if answered or not kept:
            raise
        raise Unanswered(str(error)) from error


def _asked_for(answer: httpcore.Response) -> httpcore.Response:
    """Refuse an answer that was left over from the request before this one.

    A body longer than its stated length leaves such bytes in the connection's buffer. What a
    host can confuse in this way are its own answers only.
    """
    if not current().heard:
        answer.close()
        raise httpcore.RemoteProtocolError("an answer came before its request")
    return answer


def chunks(answer: httpcore.Response) -> Iterator[bytes]:
    """The body as it arrives; raises `Flooded` for one that comes in crumbs.

    Each piece costs about 30 microseconds of the whole process, whatever its size.
    """
    stream = answer.stream
    if not isinstance(stream, Iterable):
        raise TypeError("the connection pool gave an asynchronous stream")
    size = 0
    for count, piece in enumerate(stream, 1):
        size += len(piece)
        if count > MOST_CRUMBS + size // CRUMB_BYTES:
            raise Flooded
        yield piece
