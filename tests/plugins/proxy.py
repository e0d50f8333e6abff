"""A TCP proxy before a PostgreSQL server, which cuts connections when told to.

It reads the protocol's framing (message type, length) in both directions, so that it can cut a
connection between a statement and its reply, and can hand out a cancellation key of its own
making, as a transaction pooler does.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

POOLED_PID = 1_000_000_000
"""Added to the server's process ids where the proxy plays a pooler."""

_CANCEL = 80_877_102
_NO_START = frozenset({80_877_103, 80_877_104})


class _Closed(Exception):
    """The other side hung up."""


class Proxy:
    """Listens on loopback; `url` leads through it to the database of the URL it was made with."""

    def __init__(self, url: str, *, pooled: bool = False) -> None:
        found = conninfo_to_dict(url)
        self._host = str(found.get("host") or "127.0.0.1")
        self._port = int(found.get("port") or 5432)
        self._pooled = pooled
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._cut_reply_to: bytes | None = None
        self.cuts = 0
        self.refusing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = make_conninfo(
            url, host="127.0.0.1", port=self._listener.getsockname()[1],
            sslmode="disable", gssencmode="disable",
        )  # fmt: skip
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()

    def cut_reply_to(self, words: str) -> None:
        """Cut one connection: the next whose statement has these words, once the server is done.

        The server commits; the client never hears of it.
        """
        self._cut_reply_to = words.encode()

    def cut_all(self) -> None:
        """Cut every connection there is."""
        with self._lock:
            for found in self._sockets:
                with suppress(OSError):
                    found.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing.is_set():
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = self._connect()
        except OSError:
            client.close()
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._sockets |= {client, server}
        doomed = threading.Event()
        try:
            if self._pass_startup(client, server):
                back = threading.Thread(
                    target=self._pass, args=(server, client, self._reply(doomed)), daemon=True
                )
                back.start()
                self._pass(client, server, self._request(doomed))
                back.join()
        except (OSError, _Closed):
            pass  # one side is gone: so is the connection
        finally:
            with self._lock:
                self._sockets -= {client, server}
            client.close()
            server.close()

    def _connect(self) -> socket.socket:
        if self._host.startswith("/"):
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{self._host}/.s.PGSQL.{self._port}")
            return server
        return socket.create_connection((self._host, self._port))

    def _pass_startup(self, client: socket.socket, server: socket.socket) -> bool:
        """Pass on a connection's first packet; whether more is to come."""
        (length,) = struct.unpack("!i", _read(client, 4))
        body = _read(client, length - 4)
        code: int = struct.unpack("!i", body[:4])[0]
        assert code not in _NO_START, "the URL should turn encryption off"
        if code == _CANCEL and self._pooled:
            (pid,) = struct.unpack("!i", body[4:8])
            body = body[:4] + struct.pack("!i", pid - POOLED_PID) + body[8:]
        server.sendall(struct.pack("!i", length) + body)
        return code != _CANCEL

    def _request(self, doomed: threading.Event) -> Callable[[bytes, bytes], bytes | None]:
        def look(_kind: bytes, body: bytes) -> bytes | None:
            with self._lock:
                if self._cut_reply_to is not None and self._cut_reply_to in body:
                    self._cut_reply_to = None
                    doomed.set()
            return body

        return look

    def _reply(self, doomed: threading.Event) -> Callable[[bytes, bytes], bytes | None]:
        def look(kind: bytes, body: bytes) -> bytes | None:
            if doomed.is_set():
                if kind == b"Z":
                    self.cuts += 1
                    raise _Closed
                return None
            if kind == b"K" and self._pooled:
                (pid,) = struct.unpack("!i", body[:4])
                return struct.pack("!i", pid + POOLED_PID) + body[4:]
            return body

        return look

    def _pass(
        self,
        source: socket.socket,
        target: socket.socket,
        look: Callable[[bytes, bytes], bytes | None],
    ) -> None:
        try:
            for kind, body in _messages(source):
                seen = look(kind, body)
                if seen is not None:
                    target.sendall(kind + struct.pack("!i", len(seen) + 4) + seen)
        except (OSError, _Closed):
            pass  # one side is gone: so is the other
        finally:
            for found in (source, target):
                with suppress(OSError):
                    found.shutdown(socket.SHUT_RDWR)


def _read(source: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = source.recv(count - len(data))
        if not more:
            raise _Closed
        data += more
    return data


def _messages(source: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    while True:
        kind = _read(source, 1)
        (length,) = struct.unpack("!i", _read(source, 4))
        yield kind, _read(source, length - 4)
