"""How the hostile host answers a URL of each kind."""

from __future__ import annotations

import gzip
import socket
import struct
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Protocol

from tests.bench.vehicles_pictures import DRAWN, LARGE_EVERY, content, giant_jpeg, giant_png
from tests.plugins.picture_host import HTML


class Exchange(Protocol):
    """A request of this kind and content, and the means to answer it, well or badly."""

    kind: str
    content: int
    path: str
    origin: str
    socket: socket.socket

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status line and headers only."""

    def answer(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a whole answer with its length."""

    def send(self, data: bytes) -> None:
        """Send these bytes; raises `OSError` where the client has gone."""

    def wait(self, seconds: float) -> None:
        """Let this time pass; raises `OSError` as soon as the client goes."""

    def hang_up(self) -> None:
        """Close the connection after this."""


Answer = Callable[[Exchange], None]

JPEG = {"Content-Type": "image/jpeg"}
ENDLESSLY = 3600.0

PRIVATE = (
    "http://10.0.0.1/a.jpg", "http://169.254.169.254/latest/meta-data/", "http://2130706433/a.jpg",
    "http://127.0.0.2:{port}/a.jpg", "http://[::1]:{port}/a.jpg", "http://127.0.0.1:22/a.jpg",
    "http://0.0.0.0:{port}/a.jpg", "http://[::ffff:127.0.0.2]:{port}/a.jpg",
)  # fmt: skip
AWAY = ("file:///etc/passwd", "ftp://pictures.example/a.jpg", "data:image/png;base64,iVBORw0KGgo=",
        "http://user:word@127.0.0.1:{port}/a.jpg")  # fmt: skip

BODIES = {
    "html": HTML,
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><path d="M0 0h9"/></svg>',
    "text": b"The picture is no longer available.\n",
    "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n",
    "empty": b"",
    "json": b'{"error": "no such picture"}',
    "zip": b"PK\x03\x04" + bytes(60),
}
"""What comes instead of a picture, as image/jpeg."""

STATUSES = {"missing": 404, "gone": 410, "forbidden": 403, "error": 500, "maintenance": 503}


def picture(exchange: Exchange) -> None:
    """The picture, at once."""
    data = content(exchange.content)
    kind = "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
    exchange.answer(200, data, {"Content-Type": kind})


def late(exchange: Exchange) -> None:
    """The picture after 0.2 to 0.9 seconds."""
    exchange.wait(0.2 + 0.7 * chance(exchange))
    picture(exchange)


def trickle(exchange: Exchange) -> None:
    """The picture in ten pieces within 0.5 to 1 seconds."""
    data = content(exchange.content)
    exchange.begin(200, {**JPEG, "Content-Length": str(len(data))})
    piece = len(data) // 10 + 1
    for start in range(0, len(data), piece):
        exchange.wait(0.05 + 0.05 * chance(exchange))
        exchange.send(data[start : start + piece])


def moved(exchange: Exchange) -> None:
    """The picture is elsewhere."""
    path = exchange.path.replace("/moved/", "/picture/")
    exchange.answer(301, b"", {"Location": path})


def circle(exchange: Exchange) -> None:
    """A redirect to itself."""
    exchange.answer(302, b"", {"Location": exchange.path})


def private(exchange: Exchange) -> None:
    """A redirect to where no stranger may lead."""
    exchange.answer(302, b"", {"Location": _one_of(PRIVATE, exchange)})


def away(exchange: Exchange) -> None:
    """A redirect out of HTTP."""
    exchange.answer(302, b"", {"Location": _one_of(AWAY, exchange)})


def status(exchange: Exchange) -> None:
    """No picture, and a status that says so."""
    exchange.answer(STATUSES[exchange.kind], HTML, {"Content-Type": "text/html"})


def instead(exchange: Exchange) -> None:
    """Something else, which calls itself a picture."""
    exchange.answer(200, BODIES[exchange.kind], JPEG)


def hang_up(exchange: Exchange) -> None:
    """No answer at all."""
    exchange.hang_up()


def reset(exchange: Exchange) -> None:
    """No answer, and the connection reset rather than closed."""
    exchange.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.hang_up()


def cut(exchange: Exchange) -> None:
    """A picture that ends in its middle."""
    data = content(exchange.content)
    exchange.begin(200, {**JPEG, "Content-Length": str(len(data))})
    exchange.send(data[: len(data) // 2])
    exchange.hang_up()


def short(exchange: Exchange) -> None:
    """A whole picture with a length that says half of it; the rest stays in the connection."""
    data = content(exchange.content)
    exchange.answer(200, data, {**JPEG, "Content-Length": str(len(data) // 2)})


def excess(exchange: Exchange) -> None:
    """A whole picture, its true length, and another answer after it."""
    data = content(exchange.content)
    more = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    exchange.answer(200, data + more, {**JPEG, "Content-Length": str(len(data))})


def endless(exchange: Exchange) -> None:
    """A body without end, as fast as it is taken."""
    exchange.begin(200, {**JPEG, "Connection": "close"})
    while True:
        exchange.send(bytes(65_536))


def flood(exchange: Exchange) -> None:
    """Headers without end."""
    exchange.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        exchange.send(b"X-Filler: abcdefgh\r\n" * 3000)


def drip(exchange: Exchange) -> None:
    """A byte of a body now and then, for ever."""
    exchange.begin(200, {**JPEG, "Content-Length": "1000000"})
    _drip(exchange)


def drip_head(exchange: Exchange) -> None:
    """A byte of a header now and then, for ever."""
    exchange.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    _drip(exchange)


def _drip(exchange: Exchange) -> None:
    while True:
        exchange.wait(0.1)
        exchange.send(b"x")


def silent(exchange: Exchange) -> None:
    """Never a word."""
    exchange.wait(ENDLESSLY)


def gzip_bomb(exchange: Exchange) -> None:
    """64 MB in 64 kB."""
    exchange.answer(200, _bomb(), {**JPEG, "Content-Encoding": "gzip"})


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(64_000_000))


def giant(exchange: Exchange) -> None:
    """A small file of thousands of megapixels."""
    make = giant_png if exchange.kind == "giant-png" else giant_jpeg
    exchange.answer(200, make(), JPEG)


def warm_up() -> None:
    """Make what takes long to be made, before anybody waits for it."""
    for number in (*range(DRAWN), LARGE_EVERY - 1):
        content(number)
    _bomb()


def chance(exchange: Exchange) -> float:
    """A number from 0 to 1 that is always the same for a path."""
    return zlib.crc32(exchange.path.encode()) / 2**32


def _one_of(choices: tuple[str, ...], exchange: Exchange) -> str:
    chosen = choices[int(chance(exchange) * len(choices))]
    return chosen.format(port=exchange.origin.rpartition(":")[2])


ANSWERS: dict[str, Answer] = {
    "picture": picture, "common": picture, "twin": picture, "moved": moved, "excess": excess,
    "late": late, "trickle": trickle, "hang-up": hang_up, "reset": reset, "cut": cut,
    "endless": endless, "flood": flood, "drip": drip, "drip-head": drip_head, "silent": silent,
    "gzip": gzip_bomb, "giant-png": giant, "giant-jpeg": giant, "short": short, "circle": circle,
    "private": private, "away": away,
    **dict.fromkeys(STATUSES, status), **dict.fromkeys(BODIES, instead),
}  # fmt: skip
"""By kind; a kind that isn't here doesn't come to this host."""
