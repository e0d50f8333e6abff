"""A request reaches its host once, or twice where a kept connection may have been dead."""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from runner.errors import Permanent, Retry
from runner.fetch import Client, Limits
from tests.fetch.tools import fetched, outcome
from tests.plugins.loopback import Behaviour, Exchange
from tests.plugins.picture_host import PictureHost, hang_up, redirect, silent

KEPT = 4
"""Idle connections that a client has to the host when a test begins.

No more than a server's queue of new connections holds (`socketserver`: 5), since they come at once.
"""

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER for 0 seconds: closing a connection resets it."""


class Turns:
    """A gate that counts who enters, and refuses from the given turn on."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.refused_from: int | None = None

    @contextmanager
    def __call__(self, host: str) -> Iterator[None]:
        """Note how each exchange ended."""
        if self.refused_from is not None and len(self.ended) >= self.refused_from:
            raise Retry("the host rests", code="rate_limit", after=9.0, counts=False)
        try:
            yield
        except (Permanent, Retry) as error:
            self.ended.append(error.code)
            raise
        self.ended.append("ok")

    def throttled(self, host: str, after_s: float | None) -> None:
        """No test here is throttled."""
        raise AssertionError


class Sockets:
    """Connections of the host that answered, to be closed from its side."""

    def __init__(self) -> None:
        self._all_here = threading.Barrier(KEPT, timeout=10)
        self._found: list[socket.socket] = []

    def answer(self, exchange: Exchange) -> None:
        """Wait for the other requests, so that each has a connection of its own."""
        self._found.append(exchange.connection)
        self._all_here.wait()
        exchange.answer(200, b"picture")

    def has(self, connection: socket.socket) -> bool:
        """Whether it is one of those that the client has kept."""
        return connection in self._found

    def shut(self) -> None:
        """End all connections, as a host does that has kept them for long enough."""
        for connection in self._found:
            connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def turns() -> Turns:
    """The gate of `kept`."""
    return Turns()


@pytest.fixture
def sockets() -> Sockets:
    """The host's side of the connections of `kept`."""
    return Sockets()


@pytest.fixture
def kept(turns: Turns, sockets: Sockets, picture_host: PictureHost) -> Iterator[Client]:
    """A client with idle connections to the host."""
    url = picture_host.add("/first.jpg", sockets.answer)
    with Client(limits=Limits(max_bytes=1_000_000), gate=turns) as client:
        with ThreadPoolExecutor(KEPT) as pool:
            list(pool.map(lambda _: fetched(client, url), range(KEPT)))
        picture_host.requests.clear()
        turns.ended.clear()
        yield client


def reset(exchange: Exchange) -> None:
    """Resets the connection without an answer."""
    exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    os.close(exchange.connection.detach())
    exchange.hang_up()


def begins(data: bytes, again: bytes = b"") -> Behaviour:
    """Writes these bytes and, if any, the others for ever; then hangs up."""

    def behaviour(exchange: Exchange) -> None:
        exchange.wfile.write(data)
        while again and not exchange.stopping.is_set():
            exchange.wfile.write(again * 1_000)
        exchange.hang_up()

    return behaviour


@pytest.mark.parametrize(
    "behaviour, times, code",
    [
        (hang_up, 2, "connection"),
        (reset, 2, "connection"),
        (begins(b"HTTP/1.1 200 OK\r\nContent-Le"), 1, "connection"),
        (begins(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), 1, "connection"),
        (begins(b"HTTP/1.1 200 ", b"a"), 1, "connection"),
        (begins(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"), 1, "too_large"),
        (begins(b"", b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), 2, "connection"),
    ],
    ids=["hang-up", "reset", "half a head", "headers", "status", "1xx", "no protocol"],
)
def test_host_is_asked_twice_at_most(
    kept: Client,
    turns: Turns,
    picture_host: PictureHost,
    behaviour: Behaviour,
    times: int,
    code: str,
) -> None:
    """However many connections are kept, a bad URL is asked for twice, if nothing came of it."""
    assert outcome(kept, picture_host.add("/bad.jpg", behaviour)).code == code
    assert len(picture_host.requests) == times
    assert len(turns.ended) == times


def test_silence_is_an_answer(kept: Client, turns: Turns, picture_host: PictureHost) -> None:
    """A host that takes its time over a request isn't given it again."""
    kept.limits = Limits(read_s=0.1)
    assert outcome(kept, picture_host.add("/bad.jpg", silent)).code == "timeout"
    assert len(picture_host.requests) == 1
    assert turns.ended == ["timeout"]


@pytest.mark.parametrize("behaviour", [hang_up, reset])
def test_new_connection_gives_no_second_chance(
    client: Client, picture_host: PictureHost, behaviour: Behaviour
) -> None:
    """What breaks on a connection made for this very request is the answer to it."""
    assert outcome(client, picture_host.add("/bad.jpg", behaviour)).code == "connection"
    assert len(picture_host.requests) == 1


@pytest.mark.parametrize("ending", [hang_up, reset])
def test_repeat_has_a_new_connection(
    kept: Client,
    turns: Turns,
    sockets: Sockets,
    picture_host: PictureHost,
    ending: Behaviour,
) -> None:
    """A host that ends every kept connection as it is used again is asked once more, and answers.

    The second request passes the gate after the first has left it.
    """

    def only_new(exchange: Exchange) -> None:
        if sockets.has(exchange.connection):
            ending(exchange)
        else:
            exchange.answer(200, b"picture")

    assert fetched(kept, picture_host.add("/a.jpg", only_new)) == b"picture"
    assert len(picture_host.requests) == 2
    assert turns.ended == ["connection", "ok"]


def test_connections_closed_while_idle_go_unnoticed(
    kept: Client, turns: Turns, sockets: Sockets, picture_host: PictureHost
) -> None:
    """A host may close what it kept for long enough, and each of the next requests succeeds."""
    sockets.shut()
    url = picture_host.add("/a.jpg", b"picture")
    assert [fetched(kept, url) for _ in range(KEPT)] == [b"picture"] * KEPT
    assert len(picture_host.requests) == KEPT
    assert turns.ended == ["ok"] * KEPT


def test_gate_may_refuse_the_repeat(kept: Client, turns: Turns, picture_host: PictureHost) -> None:
    """A host that has to be left alone meanwhile isn't asked again."""
    turns.refused_from = 1
    assert outcome(kept, picture_host.add("/bad.jpg", hang_up)).code == "rate_limit"
    assert len(picture_host.requests) == 1


def test_service_is_never_asked_twice(
    kept: Client, turns: Turns, picture_host: PictureHost
) -> None:
    """A POST may have had its effect before the connection broke."""
    with pytest.raises(Retry, match="the connection broke"):
        kept.post(picture_host.add("/service", hang_up), b"1", {})
    assert len(picture_host.requests) == 1
    assert turns.ended == ["connection"]


def test_each_redirect_may_be_repeated(
    kept: Client, sockets: Sockets, picture_host: PictureHost
) -> None:
    """The limit is that of a request, not of a download with all its redirects."""

    def only_new(exchange: Exchange) -> None:
        (hang_up if sockets.has(exchange.connection) else redirect("/end.jpg"))(exchange)

    picture_host.add("/end.jpg", hang_up)
    assert outcome(kept, picture_host.add("/r.jpg", only_new)).code == "connection"
    asked = [request.target for request in picture_host.requests]
    assert asked == ["/r.jpg", "/r.jpg", "/end.jpg", "/end.jpg"]
