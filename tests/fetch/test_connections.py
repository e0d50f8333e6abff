"""Connections are used again, and what is left in one is never taken for an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from runner.errors import Retry
from runner.fetch import Client, network
from tests.fetch.tools import fetched, outcome
from tests.plugins.loopback import Behaviour, Exchange
from tests.plugins.picture_host import PictureHost, body, redirect

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"


class CountingHost(PictureHost):
    """Counts the requests of each connection."""

    def __init__(self) -> None:
        super().__init__()
        self.connections: Counter[tuple[str, int]] = Counter()

    def counted(self, behaviour: Behaviour) -> Behaviour:
        """The same, counted."""

        def counted(exchange: Exchange) -> None:
            self.connections[exchange.client_address] += 1
            behaviour(exchange)

        return counted

    def add(self, path: str, behaviour: Behaviour | bytes) -> str:
        """As the base class does, and count it."""
        done = body(behaviour) if isinstance(behaviour, bytes) else behaviour
        return super().add(path, self.counted(done))


@pytest.fixture
def host() -> Iterator[CountingHost]:
    """A host of the test's own."""
    host = CountingHost()
    with host.running():
        yield host


def test_connection_is_used_again(client: Client, host: CountingHost) -> None:
    """Pictures, redirects, missing and unchanged ones of a host come through one connection."""
    picture = host.add("/a.jpg", b"picture")
    assert fetched(client, picture) == b"picture"
    assert fetched(client, host.add("/r.jpg", redirect("/a.jpg"))) == b"picture"
    assert outcome(client, host.add("/m.jpg", body(b"not here", 404))).code == "http_404"
    assert outcome(client, host.add("/t.jpg", body(b"slowly", 429))).code == "http_429"
    client.get(host.add("/u.jpg", body(b"", 304)), etag='"1"')
    assert fetched(client, picture) == b"picture"
    assert list(host.connections.values()) == [7]


def test_names_do_not_share_a_connection(host: CountingHost) -> None:
    """Two names of one address are two hosts, whose policy and certificates may differ."""
    host.add("/a.jpg", b"picture")
    with Client(resolve=lambda *_: ["127.0.0.1"]) as client:
        for name in ("a.example", "b.example", "127.0.0.1", "a.example"):
            fetched(client, f"http://{name}:{host.server_port}/a.jpg")
    assert sorted(host.connections.values()) == [1, 1, 2]


def test_connection_used_longest_ago_makes_room(host: CountingHost) -> None:
    """Where no more may be kept, it is the one whose host was not asked for longest that ends."""
    host.add("/a.jpg", b"picture")
    with Client(connections=2, resolve=lambda *_: ["127.0.0.1"]) as client:
        for name in ("a", "b", "a", "c", "a", "b"):
            fetched(client, f"http://{name}.example:{host.server_port}/a.jpg")
    assert sorted(host.connections.values()) == [1, 1, 1, 3]


def test_idle_connection_is_not_kept_for_ever(
    host: CountingHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that was idle for too long isn't trusted with a request any more."""
    monkeypatch.setattr(network, "IDLE_S", -1.0)
    with Client() as client:
        for _ in range(3):
            fetched(client, host.add("/a.jpg", b"picture"))
    assert list(host.connections.values()) == [1, 1, 1]


def hangs_up_on_the_second(host: CountingHost) -> Behaviour:
    """Answers the first request of a connection and closes it at the second."""

    def behaviour(exchange: Exchange) -> None:
        if host.connections[exchange.client_address] > 1:
            exchange.hang_up()
        else:
            exchange.answer(200, b"picture")

    return behaviour


def test_kept_connection_that_died_is_replaced(client: Client, host: CountingHost) -> None:
    """A host that ends a connection just as it is used again costs nobody an attempt."""
    url = host.add("/a.jpg", hangs_up_on_the_second(host))
    assert [fetched(client, url) for _ in range(3)] == [b"picture"] * 3
    assert list(host.connections.values()) == [2, 2, 1]


def test_service_is_not_asked_twice(client: Client, host: CountingHost) -> None:
    """A POST may have had its effect before the connection broke, so it isn't sent again."""
    url = host.add("/a", hangs_up_on_the_second(host))
    assert client.post(url, b"1", {}) == b"picture"
    with pytest.raises(Retry) as caught:
        client.post(url, b"2", {})
    assert caught.value.code == "connection"
    assert [request.body for request in host.requests] == [b"1", b"2"]


@pytest.mark.parametrize(
    "left_over", [ANSWER % (6, b"poison"), b"garbage\r\n\r\n", b"no line", b"x" * 200_000]
)
def test_left_over_bytes_are_no_answer(
    client: Client, host: CountingHost, left_over: bytes
) -> None:
    """A body longer than stated is cut, and the rest isn't taken for the next picture."""

    def too_long(exchange: Exchange) -> None:
        exchange.wfile.write(ANSWER % (5, b"first") + left_over)

    first, second = host.add("/1.jpg", too_long), host.add("/2.jpg", b"second")
    for _ in range(3):
        assert fetched(client, first) == b"first"
        assert fetched(client, second) == b"second"
