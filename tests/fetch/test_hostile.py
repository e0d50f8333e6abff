"""Whatever a server sends, time and memory stay within the limits, and its text out of messages."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runner.errors import Permanent, Retry, RowOutcome
from runner.fetch import Client, Limits
from tests.fetch.tools import SECRET, fetched, outcome
from tests.plugins.loopback import Behaviour, Exchange
from tests.plugins.picture_host import PictureHost, body, drip, endless, redirect

ROOT = Path(__file__).resolve().parents[2]

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"


def raw(data: bytes) -> Behaviour:
    """Writes these bytes and hangs up."""

    def behaviour(exchange: Exchange) -> None:
        exchange.wfile.write(data)
        exchange.hang_up()

    return behaviour


def without_end(start: bytes, again: bytes) -> Behaviour:
    """Writes the start once and the rest for ever, as fast as it is taken."""
    piece = again * (65_536 // len(again) + 1)

    def behaviour(exchange: Exchange) -> None:
        exchange.wfile.write(start)
        while not exchange.stopping.is_set():
            exchange.wfile.write(piece)

    return behaviour


def gzip_twice() -> bytes:
    """A bomb in a bomb, which naive decoders unpack twice."""
    return gzip.compress(gzip.compress(bytes(10_000_000)))


EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"

FLOODS: list[tuple[str, Callable[[], Behaviour], type[RowOutcome], str]] = [
    (
        "headers",
        lambda: without_end(b"HTTP/1.1 200 OK\r\n", b"X-Filler: abcdefgh\r\n"),
        Retry,
        "connection",
    ),
    ("one header", lambda: without_end(b"HTTP/1.1 200 OK\r\nX: ", b"a"), Retry, "connection"),
    ("status line", lambda: without_end(b"HTTP/1.1 200 ", b"a"), Retry, "connection"),
    (
        "1xx answers",
        lambda: without_end(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        Permanent,
        "too_large",
    ),
    (
        "chunk extensions",
        lambda: without_end(CHUNKED + b"\r\n", b"1;" + b"e" * 2_000 + b"\r\nx\r\n"),
        Permanent,
        "too_large",
    ),
    ("one extension", lambda: without_end(CHUNKED + b"\r\n1;", b"e"), Retry, "connection"),
    (
        "trailers",
        lambda: without_end(CHUNKED + b"\r\n0\r\n", b"X: abcdef\r\n"),
        Retry,
        "connection",
    ),
    ("chunks", lambda: without_end(CHUNKED + b"\r\n", b"1\r\nx\r\n"), Permanent, "too_large"),
    ("body", lambda: endless, Permanent, "too_large"),
    (
        "empty compressed blocks",
        lambda: without_end(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"")[:10],
            EMPTY_BLOCK,
        ),
        Permanent,
        "too_large",
    ),
    (
        "deflate bomb",
        lambda: body(zlib.compress(bytes(20_000_000)), 200, {"Content-Encoding": "deflate"}),
        Permanent,
        "too_large",
    ),
    (
        "gzip twice",
        lambda: body(gzip_twice(), 200, {"Content-Encoding": "gzip, gzip"}),
        Permanent,
        "content_encoding",
    ),
    (
        "redirect",
        lambda: without_end(b"HTTP/1.1 302 Found\r\nLocation: ftp://x/\r\n\r\n", b"a"),
        Permanent,
        "bad_url",
    ),
    (
        "error page",
        lambda: without_end(b"HTTP/1.1 404 Gone\r\nContent-Length: 99\r\n\r\n", b"a"),
        Permanent,
        "http_404",
    ),
]


@pytest.mark.parametrize(
    "behaviour, kind, code", [flood[1:] for flood in FLOODS], ids=[flood[0] for flood in FLOODS]
)
def test_flood_ends(
    picture_host: PictureHost,
    behaviour: Callable[[], Behaviour],
    kind: type[RowOutcome],
    code: str,
) -> None:
    """What never ends is cut off by its bytes, long before the deadline."""
    url = picture_host.add("/flood.jpg", behaviour())
    began = time.monotonic()
    with Client(limits=Limits(max_bytes=1_000_000, total_s=20.0)) as client:
        error = outcome(client, url)
    assert isinstance(error, kind)
    assert error.code == code
    assert time.monotonic() - began < 10


OK = b"HTTP/1.1 200 OK\r\n"
ZIPPED = OK + b"Content-Encoding: gzip\r\n\r\n"

BROKEN = [
    ("another protocol", b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "connection"),
    ("no protocol", b"\x00\x01\x02\x03" * 8 + b"\r\n\r\n", "connection"),
    ("nothing", b"", "connection"),
    ("half a header", OK + b"Content-Le", "connection"),
    ("bad header", OK + b"s3cret here\r\n\r\n", "connection"),
    ("two lengths", OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345", "connection"),
    ("negative length", OK + b"Content-Length: -5\r\n\r\n12345", "connection"),
    ("long number", OK + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n", "connection"),
    ("huge length", OK + b"Content-Length: " + b"9" * 20 + b"\r\n\r\n", "too_large"),
    ("body too short", OK + b"Content-Length: 50\r\n\r\n12345", "connection"),
    ("no last chunk", CHUNKED + b"\r\n5\r\n12345\r\n", "connection"),
    ("cut chunk", CHUNKED + b"\r\n50\r\n12345", "connection"),
    ("chunk of no number", CHUNKED + b"\r\ns3cret\r\n12345", "connection"),
    ("negative chunk", CHUNKED + b"\r\n-5\r\n12345", "connection"),
    ("huge chunk", CHUNKED + b"\r\n" + b"f" * 30 + b"\r\n12345", "connection"),
    ("unknown coding", OK + b"Transfer-Encoding: gzip\r\n\r\n12345", "connection"),
    ("another status", b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n12345", "connection"),
    ("no content", b"HTTP/1.1 204 No Content\r\n\r\n", "http_204"),
    ("a part", b"HTTP/1.1 206 Part\r\nContent-Length: 5\r\n\r\n12345", "http_206"),
    ("unasked not modified", b"HTTP/1.1 304 Not Modified\r\n\r\n", "http_304"),
    ("unknown status", b"HTTP/1.1 999 Denied\r\nContent-Length: 0\r\n\r\n", "http_999"),
    ("gzip cut", ZIPPED + gzip.compress(b"x")[:-1], "incomplete"),
    ("gzip with nothing", ZIPPED, "incomplete"),
    ("gzip goes on", ZIPPED + gzip.compress(b"x") * 2, "content_encoding"),
    ("gzip of nothing", ZIPPED + gzip.compress(b""), "empty"),
]


def swarm(urls: list[str]) -> dict[str, Any]:
    """What `tests.fetch.swarm` tells of these URLs."""
    command = [sys.executable, "-m", "tests.fetch.swarm", *urls]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@contextmanager
def slow_reader() -> Iterator[str]:
    """The address of a server that reads 4 MB a second, and never answers."""
    stopping = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while not stopping.wait(0.05) and connection.recv(200_000):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            stopping.set()
            thread.join()


@pytest.mark.parametrize("sent, code", [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_broken_answer_has_an_outcome(
    client: Client, picture_host: PictureHost, sent: bytes, code: str
) -> None:
    """Each is told as what it is, and no word of the server's is in the message."""
    error = outcome(client, picture_host.add("/b.jpg", raw(sent)) + f"?k={SECRET}")
    assert error.code == code
    assert not any(word in str(error) for word in ("SSH", "12345", "bytearray", "b'"))


def late(then: Behaviour) -> Behaviour:
    """Answers after a quarter of a second, which is in time for one read."""

    def behaviour(exchange: Exchange) -> None:
        exchange.stopping.wait(0.25)
        then(exchange)

    return behaviour


def test_redirects_share_one_deadline(picture_host: PictureHost) -> None:
    """Hops that are each in time are not in time together."""
    picture_host.add("/a.jpg", late(redirect("/b.jpg")))
    picture_host.add("/b.jpg", late(redirect("/c.jpg")))
    picture_host.add("/c.jpg", late(drip))
    began = time.monotonic()
    with Client(limits=Limits(total_s=0.6, read_s=0.4)) as client:
        assert outcome(client, picture_host.url + "/a.jpg").code == "timeout"
    assert time.monotonic() - began < 1.5


def test_unwanted_body_is_not_waited_for(client: Client, picture_host: PictureHost) -> None:
    """A missing page whose text drips is missing at once."""

    def dripping_404(exchange: Exchange) -> None:
        exchange.begin(404, {"Content-Length": "9000"})
        while not exchange.stopping.wait(0.02):
            exchange.wfile.write(b"x")

    began = time.monotonic()
    assert outcome(client, picture_host.add("/d.jpg", dripping_404)).code == "http_404"
    assert time.monotonic() - began < 0.9


def test_service_that_reads_slowly_ends_in_time() -> None:
    """A long request to a server that takes a little at a time keeps to the deadline."""
    began = time.monotonic()
    with (
        slow_reader() as url,
        Client(limits=Limits(total_s=0.8)) as client,
        pytest.raises(Retry, match=r"not done after 0\.8 seconds"),
    ):
        client.post(url, bytes(30_000_000), {})
    assert time.monotonic() - began < 3


def test_bomb_costs_no_memory(picture_host: PictureHost) -> None:
    """40 MB of zeros in 40 kB are unpacked piece by piece, and beyond 4 MB to disk."""
    url = picture_host.add(
        "/bomb.jpg", body(gzip.compress(bytes(40_000_000)), 200, {"Content-Encoding": "gzip"})
    )
    with Client(limits=Limits(max_bytes=30_000_000)) as client:
        tracemalloc.start()
        try:
            assert outcome(client, url).code == "too_large"
            assert tracemalloc.get_traced_memory()[1] < 12_000_000
        finally:
            tracemalloc.stop()


def test_many_attacks_at_once_stay_within_memory(picture_host: PictureHost) -> None:
    """16 threads of bombs, floods and endless bodies fit into a small part of 300 MB."""
    zipped = {"Content-Encoding": "gzip"}
    urls = [
        picture_host.url + "/endless.jpg",
        picture_host.add("/bomb.jpg", body(gzip.compress(bytes(20_000_000)), 200, zipped)),
        picture_host.add("/whole.jpg", bytes(9_000_000)),
        picture_host.add("/headers.jpg", without_end(OK + b"X: ", b"a")),
    ]
    told = swarm(urls)
    assert told["outcomes"] == {"too_large": 16, "ok": 8, "connection": 8}
    assert told["peak_mb"] < 200


def test_many_hosts_at_once_stay_within_memory_and_files(picture_host: PictureHost) -> None:
    """Of 80 hosts in turn 64 keep a connection, however much they leave in it."""

    def too_long(exchange: Exchange) -> None:
        exchange.wfile.write(OK + b"Content-Length: 1\r\n\r\n" + b"x" * 50_000)

    picture_host.socket.listen(128)
    picture_host.add("/a.jpg", too_long)
    port = picture_host.server_port
    told = swarm([f"http://h{number}.example:{port}/a.jpg" for number in range(80)])
    assert told["outcomes"] == {"ok": 640}
    assert told["peak_mb"] < 200
    # each of 16 threads has one in use, and may have the folder open that it counts
    assert 64 <= told["files"] <= 64 + 16 + 16
    assert told["files_left"] == 0


def test_slow_hosts_hold_nobody_up(picture_host: PictureHost) -> None:
    """Though more hosts are slow than connections are kept, others answer at once."""
    asked = threading.Semaphore(0)

    def slow(exchange: Exchange) -> None:
        asked.release()
        exchange.stopping.wait()
        exchange.hang_up()

    picture_host.add("/slow.jpg", slow)
    good = picture_host.add("/a.jpg", b"picture")
    urls = [f"http://slow{n}.example:{picture_host.server_port}/slow.jpg" for n in range(5)]
    with (
        Client(connections=2, resolve=lambda *_: ["127.0.0.1"]) as client,
        ThreadPoolExecutor(len(urls)) as pool,
    ):
        waiting = [pool.submit(outcome, client, url) for url in urls]
        assert all(asked.acquire(timeout=8) for _ in urls)
        assert [fetched(client, good) for _ in range(3)] == [b"picture"] * 3
        assert not any(download.done() for download in waiting)
        picture_host.stopping.set()


def test_cookies_are_not_kept(client: Client, picture_host: PictureHost) -> None:
    """What a host wants remembered is forgotten: a million hosts would fill the memory."""
    sets = body(b"x", 200, {"Set-Cookie": "id=1; Path=/"})
    for _ in range(2):
        fetched(client, picture_host.add("/c.jpg", sets))
    assert all("cookie" not in request.headers for request in picture_host.requests)
