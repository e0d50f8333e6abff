"""HTTP servers on loopback that tests talk to instead of the world."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Request:
    """What a client sent; `headers` have lower-case names."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


Behaviour = Callable[["Exchange"], None]


class Exchange(BaseHTTPRequestHandler):
    """One request and the means to answer it, well or badly."""

    protocol_version = "HTTP/1.1"
    server: LoopbackServer

    @property
    def stopping(self) -> threading.Event:
        """Set when the server ends: whatever waits has to end too."""
        return self.server.stopping

    def answer(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        """A whole answer with its length."""
        self.begin(status, {"Content-Length": str(len(body)), **(headers or {})})
        self.wfile.write(body)

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """The status line and headers only."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def hang_up(self) -> None:
        """Close the connection after this."""
        self.close_connection = True

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            self.command,
            self.path,
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(length),
        )
        self.server.requests.append(request)
        try:
            self.server.behaviour(request)(self)
        except (BrokenPipeError, ConnectionResetError):
            self.hang_up()  # the client has seen enough

    do_GET = _handle
    do_POST = _handle

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Stay silent."""


class LoopbackServer(ThreadingHTTPServer):
    """Answers each request as `behaviour` says, and keeps what was asked in `requests`."""

    daemon_threads = True

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.stopping = threading.Event()
        super().__init__((LOOPBACK, 0), Exchange)

    def server_bind(self) -> None:
        """Bind without looking up the host's name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away half-way are what some tests are about; all else is reported."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Where it listens, with no slash at its end."""
        return f"http://{LOOPBACK}:{self.server_port}"

    def behaviour(self, request: Request) -> Behaviour:
        """How to answer this request."""
        raise NotImplementedError

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve from a thread of its own until the block ends."""
        thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.stopping.set()
            self.shutdown()
            thread.join()
            self.server_close()
