"""Whatever a server does, a download ends soon, within its limits, with a clear outcome."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from runner import __version__
from runner.errors import Permanent, Retry, RowOutcome
from runner.fetch import Client, Limits
from tests.fetch.tools import fetched, outcome
from tests.plugins.loopback import Exchange, LoopbackServer
from tests.plugins.picture_host import PictureHost, body, redirect


def test_body_arrives_whole(client: Client, picture_host: PictureHost) -> None:
    """A body larger than what is kept in memory arrives as it was sent."""
    data = bytes(range(256)) * 3_000
    url = picture_host.add("/a.jpg", data)
    with client.get(url) as download:
        assert download.file.read() == data
        assert (download.size, download.url) == (len(data), url)


def test_client_says_who_it_is(client: Client, picture_host: PictureHost) -> None:
    """The User-Agent is ours, with the version, and no compression is asked for."""
    fetched(client, picture_host.add("/a.jpg", b"x"))
    headers = picture_host.requests[0].headers
    assert headers["user-agent"] == f"pgbackfill/{__version__}"
    assert headers["accept-encoding"] == "identity"


def test_environment_is_not_used(
    client: Client, picture_host: PictureHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy in the environment sees nothing."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with Client() as fresh:
        assert fetched(fresh, picture_host.add("/a.jpg", b"x")) == b"x"


@pytest.mark.parametrize(
    "path, kind, code, words",
    [
        ("/missing.jpg", Permanent, "http_404", "HTTP 404 (not found)"),
        ("/gone.jpg", Permanent, "http_410", "HTTP 410 (gone for good)"),
        ("/forbidden.jpg", Permanent, "http_403", "HTTP 403 (it refuses access)"),
        ("/error.jpg", Retry, "http_500", "HTTP 500 (the server failed)"),
        ("/drip.jpg", Retry, "timeout", "not done after 1 seconds"),
        ("/drip-headers.jpg", Retry, "timeout", "not done after 1 seconds"),
        ("/silent.jpg", Retry, "timeout", "no answer in time"),
        ("/endless.jpg", Permanent, "too_large", "larger than the limit of 1,000,000 bytes"),
        ("/gzip-bomb.jpg", Permanent, "too_large", "larger than the limit of 1,000,000 bytes"),
        ("/short.jpg", Retry, "connection", "the connection broke"),
        ("/hang-up.jpg", Retry, "connection", "the connection broke"),
        ("/gzip-cut.jpg", Retry, "incomplete", "the answer ended early"),
        ("/brotli.jpg", Permanent, "content_encoding", "content encoding 'br'"),
        ("/empty.jpg", Permanent, "empty", "the answer is empty (0 bytes)"),
        ("/loop.jpg", Permanent, "redirects", "redirected in a circle"),
        ("/nowhere.jpg", Permanent, "redirects", "to nowhere"),
        ("/to-file.jpg", Permanent, "bad_url", "can't download from a file URL"),
    ],
)
def test_bad_answer_has_an_outcome(
    client: Client,
    picture_host: PictureHost,
    path: str,
    kind: type[RowOutcome],
    code: str,
    words: str,
) -> None:
    """Each way to answer badly ends in time, and says what happened in words."""
    began = time.monotonic()
    error = outcome(client, picture_host.url + path)
    assert isinstance(error, kind)
    assert error.code == code
    assert words in str(error)
    assert time.monotonic() - began < 3


def test_what_is_thrown_away_is_counted(client: Client, picture_host: PictureHost) -> None:
    """A download that came to nothing says how many bytes it took from the network."""
    assert outcome(client, picture_host.url + "/endless.jpg").received > 1_000_000
    assert outcome(client, "http://no-such-host.invalid/a.jpg").received == 0


def test_redirects_are_followed(client: Client, picture_host: PictureHost) -> None:
    """Three redirects, relative or absolute, lead to the picture."""
    picture_host.add("/end.jpg", b"there")
    picture_host.add("/2.jpg", redirect(picture_host.url + "/end.jpg", 308))
    picture_host.add("/1.jpg", redirect("2.jpg", 301))
    assert fetched(client, picture_host.add("/0.jpg", redirect("/1.jpg"))) == b"there"


def test_redirects_end(client: Client, picture_host: PictureHost) -> None:
    """The fourth redirect isn't followed, and two that lead to each other are told as a circle."""
    for number in range(4):
        picture_host.add(f"/{number}.jpg", redirect(f"/{number + 1}.jpg"))
    error = outcome(client, picture_host.url + "/0.jpg")
    assert (error.code, len(picture_host.requests)) == ("redirects", 4)
    assert "more than 3 redirects" in str(error)
    picture_host.add("/a.jpg", redirect("/b.jpg"))
    assert "in a circle" in str(outcome(client, picture_host.add("/b.jpg", redirect("/a.jpg"))))


def test_outcome_after_a_redirect_names_both_urls(
    client: Client, picture_host: PictureHost
) -> None:
    """Which of a row's URL and its target is missing can be read."""
    url = picture_host.add("/r.jpg", redirect("/missing.jpg"))
    expected = f"{picture_host.url}/missing.jpg (redirected from {url}): HTTP 404 (not found)"
    assert str(outcome(client, url)) == expected


def test_compressed_body_is_decoded(client: Client, picture_host: PictureHost) -> None:
    """A server that compresses unasked is understood, whatever it calls it."""
    data = b"picture" * 1000
    raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    for encoding, sent in [
        ("gzip", gzip.compress(data)),
        ("X-GZip", gzip.compress(data)),
        ("deflate", zlib.compress(data)),
        ("deflate", raw.compress(data) + raw.flush()),
        ("identity", data),
    ]:
        url = picture_host.add("/z.jpg", body(sent, 200, {"Content-Encoding": encoding}))
        assert fetched(client, url) == data


def test_compressed_body_may_come_byte_by_byte(client: Client, picture_host: PictureHost) -> None:
    """Where the pieces of a compressed body begin and end doesn't matter."""

    def in_pieces(exchange: Exchange) -> None:
        exchange.begin(200, {"Content-Encoding": "deflate", "Transfer-Encoding": "chunked"})
        for byte in zlib.compress(b"picture"):
            exchange.wfile.write(b"1\r\n%c\r\n" % byte)
        exchange.wfile.write(b"0\r\n\r\n")

    assert fetched(client, picture_host.add("/z.jpg", in_pieces)) == b"picture"


def test_damaged_compression_is_final(client: Client, picture_host: PictureHost) -> None:
    """Data that can't be decompressed is the server's fault and stays so."""
    url = picture_host.add("/z.jpg", body(b"no gzip", 200, {"Content-Encoding": "gzip"}))
    assert outcome(client, url).code == "content_encoding"


def test_stated_length_is_enough_to_refuse(client: Client, picture_host: PictureHost) -> None:
    """A body that is said to be too large is not downloaded."""
    url = picture_host.add("/l.jpg", body(b"", 200, {"Content-Length": "99999999999"}))
    assert outcome(client, url).code == "too_large"


def test_body_at_the_limit_passes(client: Client, picture_host: PictureHost) -> None:
    """The cap is inclusive."""
    assert len(fetched(client, picture_host.add("/m.jpg", bytes(1_000_000)))) == 1_000_000
    assert outcome(client, picture_host.add("/m.jpg", bytes(1_000_001))).code == "too_large"


def test_unknown_host_is_tried_again(client: Client) -> None:
    """A name without an address may be a passing fault of the name service."""
    error = outcome(client, "http://no-such-host.invalid/a.jpg?token=secret")
    assert isinstance(error, Retry)
    assert error.code == "dns"
    assert str(error) == ("http://no-such-host.invalid/a.jpg?...: the host name can't be resolved")


def test_closed_port_is_tried_again(client: Client) -> None:
    """A server that is down may come back."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = outcome(client, f"http://127.0.0.1:{unused.getsockname()[1]}/a.jpg")
    assert isinstance(error, Retry)
    assert error.code == "connection"
    assert "can't connect (connection refused)" in str(error)


def test_threads_share_a_client(picture_host: PictureHost) -> None:
    """Many threads download through one client, each its own body."""
    urls = [picture_host.add(f"/{n}.jpg", b"%d" % n * 50_000) for n in range(20)]
    with Client() as client, ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(lambda url: fetched(client, url), urls * 3))
    assert bodies == [b"%d" % n * 50_000 for n in range(20)] * 3


def test_deadline_holds_for_one_thread_only(picture_host: PictureHost) -> None:
    """One thread's slow download takes no time from another's."""
    slow = Limits(total_s=0.4)
    with Client(limits=slow) as client, ThreadPoolExecutor(2) as pool:
        first = pool.submit(outcome, client, picture_host.url + "/drip.jpg")
        assert first.result().code == "timeout"
        assert fetched(client, picture_host.add("/a.jpg", b"x")) == b"x"


def test_post_returns_the_answer(client: Client, picture_host: PictureHost) -> None:
    """A service gets the body with its headers, and its answer comes back whole."""
    url = picture_host.add("/detect", b"{}")
    assert client.post(url, b"picture", {"X-Test": "1"}) == b"{}"
    request = picture_host.requests[0]
    assert (request.method, request.body, request.headers["x-test"]) == ("POST", b"picture", "1")


def test_no_thread_outlives_the_host() -> None:
    """The host that tests use leaves nothing running, so tests can't disturb each other."""
    before = set(threading.enumerate())
    host: LoopbackServer = PictureHost()
    with host.running(), Client(limits=Limits(total_s=0.2)) as client:
        outcome(client, host.url + "/silent.jpg")
    # those of servers that serve all tests stay
    started = set(threading.enumerate()) - before
    for thread in started:
        thread.join(5)
    assert not any(thread.is_alive() for thread in started)
