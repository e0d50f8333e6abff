"""A picture host that does whatever strangers' servers do to a downloader."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping

import pytest

from tests.plugins.loopback import Behaviour, Exchange, LoopbackServer, Request

MISSING = "/missing.jpg"
HTML = b"<!doctype html><html><head><title>Sign in</title></head><body>Sign in</body></html>"
RETRY_AFTER_DATE = "Wed, 21 Oct 2099 07:28:00 GMT"


def body(data: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Behaviour:
    """Answers with these bytes."""
    return lambda exchange: exchange.answer(status, data, headers)


def redirect(location: str | None, status: int = 302) -> Behaviour:
    """Sends the client elsewhere."""
    return body(b"", status, {} if location is None else {"Location": location})


def drip(exchange: Exchange) -> None:
    """Sends a byte every 20 ms for ever, each in time for a limit on single reads."""
    exchange.begin(200, {"Content-Length": "1000000"})
    while not exchange.stopping.wait(0.02):
        exchange.wfile.write(b"x")


def drip_headers(exchange: Exchange) -> None:
    """Never comes to an end with its headers."""
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not exchange.stopping.wait(0.02):
        exchange.wfile.write(b"x")


def silent(exchange: Exchange) -> None:
    """Accepts the request and never answers."""
    exchange.stopping.wait()
    exchange.hang_up()


def endless(exchange: Exchange) -> None:
    """Sends as fast as it can, without a length and without an end."""
    exchange.begin(200, {"Connection": "close"})
    while not exchange.stopping.is_set():
        exchange.wfile.write(bytes(65_536))


def short(exchange: Exchange) -> None:
    """Promises 1000 bytes, sends 10 and hangs up."""
    exchange.begin(200, {"Content-Length": "1000"})
    exchange.wfile.write(b"0123456789")
    exchange.hang_up()


def hang_up(exchange: Exchange) -> None:
    """Closes the connection without an answer."""
    exchange.hang_up()


def gzip_bomb(exchange: Exchange) -> None:
    """Zeros without end behind a compression of a thousand to one."""
    exchange.begin(200, {"Content-Encoding": "gzip", "Connection": "close"})
    deflate = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    block = bytes(1 << 20)
    while not exchange.stopping.is_set():
        exchange.wfile.write(deflate.compress(block))


class PictureHost(LoopbackServer):
    """Serves what tests add and, from the start, these bad examples.

    `/missing.jpg` 404, `/gone.jpg` 410, `/forbidden.jpg` 403, `/busy.jpg` 429 for 7 seconds,
    `/busy-until.jpg` 429 until a date, `/busy-for-how-long.jpg` 429, `/error.jpg` 500,
    `/maintenance.jpg` 503 for 60 seconds, `/drip.jpg`, `/drip-headers.jpg`, `/silent.jpg`,
    `/endless.jpg`, `/short.jpg`, `/hang-up.jpg`, `/gzip-bomb.jpg`, `/gzip-cut.jpg`,
    `/brotli.jpg`, `/empty.jpg`, `/html.jpg`, `/loop.jpg`, `/to-file.jpg`, `/nowhere.jpg`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.paths: dict[str, Behaviour] = {
            "/gone.jpg": body(b"", 410),
            "/forbidden.jpg": body(b"", 403),
            "/busy.jpg": body(b"", 429, {"Retry-After": "7"}),
            "/busy-until.jpg": body(b"", 429, {"Retry-After": RETRY_AFTER_DATE}),
            "/busy-for-how-long.jpg": body(b"", 429),
            "/error.jpg": body(b"", 500),
            "/maintenance.jpg": body(b"", 503, {"Retry-After": "60"}),
            "/drip.jpg": drip,
            "/drip-headers.jpg": drip_headers,
            "/silent.jpg": silent,
            "/endless.jpg": endless,
            "/short.jpg": short,
            "/hang-up.jpg": hang_up,
            "/gzip-bomb.jpg": gzip_bomb,
            "/gzip-cut.jpg": body(
                gzip.compress(b"picture")[:-9], 200, {"Content-Encoding": "gzip"}
            ),
            "/brotli.jpg": body(b"x", 200, {"Content-Encoding": "br"}),
            "/empty.jpg": body(b""),
            "/html.jpg": body(HTML, 200, {"Content-Type": "image/jpeg"}),
            "/loop.jpg": redirect("/loop.jpg"),
            "/to-file.jpg": redirect("file:///etc/passwd"),
            "/nowhere.jpg": redirect(None),
        }

    def behaviour(self, request: Request) -> Behaviour:
        """That of the path; the query does not matter."""
        return self.paths.get(request.target.partition("?")[0], body(b"", 404))

    def add(self, path: str, behaviour: Behaviour | bytes) -> str:
        """Serve these bytes, or behave like this, at the path; returns its URL."""
        self.paths[path] = body(behaviour) if isinstance(behaviour, bytes) else behaviour
        return self.url + path


@pytest.fixture
def picture_host() -> Iterator[PictureHost]:
    """A hostile picture host of the test's own."""
    host = PictureHost()
    with host.running():
        yield host
