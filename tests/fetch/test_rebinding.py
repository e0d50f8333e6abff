"""A name that changes its address between the check and the connection gains nothing.

Two servers listen at the same port: the picture host at 127.0.0.1, which is allowed and stands
for the public internet, and an internal one at 127.0.0.2. The name server is asked by the
program's own resolver seam, and tells what it was asked.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from runner.fetch import Client, Limits, Policy
from tests.fetch.conftest import INTERNAL, InternalHost
from tests.fetch.names import NameServer
from tests.fetch.tools import fetched, outcome
from tests.plugins.loopback import LOOPBACK
from tests.plugins.picture_host import PictureHost, body, redirect

POLICY = Policy.parse(f"{LOOPBACK}/32")
NAME = "flips.example"
CLOSE = {"Connection": "close"}


@pytest.fixture
def url(picture_host: PictureHost, internal_host: InternalHost) -> str:
    """A picture at both hosts, which end each connection after one answer."""
    picture_host.add("/a.jpg", body(b"public", 200, CLOSE))
    internal_host.add("/a.jpg", body(b"internal", 200, CLOSE))
    return f"http://{NAME}:{picture_host.server_port}/a.jpg"


def test_checked_address_is_the_connected_one(
    url: str, name_server: NameServer, internal_host: InternalHost
) -> None:
    """The name is asked for once a connection, so a second answer comes too late."""
    name_server.answers[NAME] = [[LOOPBACK], [INTERNAL]]
    with Client(policy=POLICY, resolve=name_server.resolve) as client:
        assert fetched(client, url) == b"public"
        assert name_server.asked == [NAME]
        error = outcome(client, url)
    assert error.code == "address_refused"
    assert f"{NAME} is {INTERNAL}, loopback" in str(error)
    assert name_server.asked == [NAME, NAME]
    assert internal_host.requests == []


def test_rebinding_works_without_a_policy(url: str, name_server: NameServer) -> None:
    """The trick is real: a client that checks nothing is led to the internal host."""
    name_server.answers[NAME] = [[LOOPBACK], [INTERNAL]]
    with Client(resolve=name_server.resolve) as client:
        assert [fetched(client, url) for _ in range(2)] == [b"public", b"internal"]


@pytest.mark.parametrize(
    "answer", [[LOOPBACK, INTERNAL], [INTERNAL, LOOPBACK], [LOOPBACK, "::1"], [LOOPBACK, "fd00::1"]]
)
def test_one_bad_address_spoils_the_answer(
    url: str,
    name_server: NameServer,
    picture_host: PictureHost,
    internal_host: InternalHost,
    answer: list[str],
) -> None:
    """An answer of good and bad addresses is refused as a whole, before any connection."""
    name_server.answers[NAME] = [answer]
    with Client(policy=POLICY, resolve=name_server.resolve) as client:
        assert outcome(client, url).code == "address_refused"
    assert picture_host.requests == internal_host.requests == []


def test_answers_that_alternate_never_lead_inside(
    url: str, name_server: NameServer, internal_host: InternalHost
) -> None:
    """However often the name flips, each download is from the public host or refused."""
    name_server.answers[NAME] = [[LOOPBACK], [INTERNAL]] * 10
    ends = set()
    with Client(policy=POLICY, resolve=name_server.resolve) as client:
        for number in range(20):
            ends.add(fetched(client, url) if number % 2 == 0 else outcome(client, url).code)
    assert ends == {b"public", "address_refused"}
    assert internal_host.requests == []


def test_redirect_to_a_name_that_flipped(
    url: str, name_server: NameServer, picture_host: PictureHost, internal_host: InternalHost
) -> None:
    """A host's redirect to itself is a new connection, and its address is checked again."""
    picture_host.add("/r.jpg", body(b"", 302, {"Location": url, **CLOSE}))
    name_server.answers[NAME] = [[LOOPBACK], [INTERNAL]]
    with Client(policy=POLICY, resolve=name_server.resolve) as client:
        assert outcome(client, url.replace("/a.jpg", "/r.jpg")).code == "address_refused"
    assert internal_host.requests == []


def test_kept_connection_stays_with_its_address(
    url: str, name_server: NameServer, picture_host: PictureHost
) -> None:
    """A connection that is used again goes where it went, whatever the name says by now."""
    picture_host.add("/a.jpg", b"public")
    picture_host.add("/r.jpg", redirect("/a.jpg"))
    name_server.answers[NAME] = [[LOOPBACK], [INTERNAL]]
    with Client(policy=POLICY, resolve=name_server.resolve) as client:
        for path in ("/a.jpg", "/r.jpg", "/a.jpg"):
            assert fetched(client, url.replace("/a.jpg", path)) == b"public"
    assert name_server.asked == [NAME]


def test_next_address_is_tried(url: str, name_server: NameServer) -> None:
    """Of several good addresses, one that refuses the connection isn't the end."""
    name_server.answers[NAME] = [["127.0.0.3", LOOPBACK]]
    policy = Policy.parse("127.0.0.1,127.0.0.3")
    with Client(policy=policy, resolve=name_server.resolve) as client:
        assert fetched(client, url) == b"public"


def test_slow_name_service_is_not_waited_for() -> None:
    """A name whose server stalls ends in time, and stalled lookups don't pile up threads."""
    answer = threading.Event()

    def stalls(_host: str, _port: int) -> list[str]:
        answer.wait()
        return [LOOPBACK]

    limits = Limits(total_s=5.0, connect_s=0.1)
    before = threading.active_count()
    began = time.monotonic()
    with Client(limits=limits, resolve=stalls, connections=3) as client, ThreadPoolExecutor(8) as p:
        urls = [f"http://n{number}.example/" for number in range(16)]
        codes = list(p.map(lambda url: outcome(client, url).code, urls))
        assert threading.active_count() - before <= 8 + 3
        answer.set()
    assert set(codes) <= {"dns", "timeout"}
    assert time.monotonic() - began < 5
