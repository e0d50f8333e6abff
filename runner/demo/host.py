"""The demo's picture host: the catalogue over HTTP on loopback.

`python -m runner.demo.host --port 8000` serves it until interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from runner.demo.pictures import Picture, by_path, catalogue
from runner.errors import BackfillError, ExitCode, UsageError

LOOPBACK = "127.0.0.1"
SERVING = "serving "
FAILED = "failed "
IDLE_SECONDS = 30.0
"""A connection that asks for nothing for so long is closed."""


class Shelf:
    """File bytes of the catalogue's pictures, each made at its first request and then kept.

    All of them together are about 21 MB.
    """

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self._making: dict[str, threading.Lock] = {}
        self._asked: set[str] = set()
        self._lock = threading.Lock()

    def file(self, picture: Picture) -> bytes:
        """The picture's file; a second request for one that is being made waits for it."""
        with self._lock:
            making = self._making.setdefault(picture.path, threading.Lock())
        with making:
            if picture.path not in self._files:
                self._files[picture.path] = picture.render()
            return self._files[picture.path]

    def first_time(self, target: str) -> bool:
        """Whether this is the first request of the target, counted for its query as well."""
        with self._lock:
            first = target not in self._asked
            self._asked.add(target)
            return first


class PictureServer(ThreadingHTTPServer):
    """The HTTP server; raises `OSError` where it can't listen on the port."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int = 0) -> None:
        self.shelf = Shelf()
        super().__init__((LOOPBACK, port), PictureHandler)

    def server_bind(self) -> None:
        """Bind without HTTPServer's look-up of the host's name, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name = LOOPBACK
        self.server_port = int(self.server_address[1])

    @property
    def base_url(self) -> str:
        """Where it listens, with no slash at its end."""
        return f"http://{LOOPBACK}:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report what went wrong in one line, unless it is only that a client went away."""
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):
            print(f"picture host: {type(error).__name__}: {error}", file=sys.stderr)


class PictureHandler(BaseHTTPRequestHandler):
    """One client's connection; kept open between requests."""

    protocol_version = "HTTP/1.1"
    server_version = "pgbackfill-demo"
    sys_version = ""
    timeout = IDLE_SECONDS
    # Head and body leave in one packet; else Nagle's algorithm holds up each small answer.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    server: PictureServer

    def do_GET(self) -> None:
        """Answer a request for a picture, or for the list of them at `/`."""
        path = self.path.partition("?")[0]
        picture = by_path().get(path)
        if path == "/":
            listing = "".join(f"{p.kind:<11} {p.path}\n" for p in by_path().values())
            self._send(200, listing.encode(), "text/plain; charset=utf-8")
        elif picture is None:
            self._send(404, b"no such picture\n", "text/plain")
        else:
            self._send_picture(picture)

    do_HEAD = do_GET

    def _send_picture(self, picture: Picture) -> None:
        answer = picture.answer
        if answer.delay:
            time.sleep(answer.delay)
        status = answer.status
        if answer.first_status is not None and self.server.shelf.first_time(self.path):
            status = answer.first_status
        if status == 200:
            self._send(200, self.server.shelf.file(picture), picture.content_type)
        else:
            self._send(status, b"not today\n", "text/plain", answer.retry_after)

    def _send(
        self, status: int, body: bytes, content_type: str, retry_after: int | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Keep no access log: the demo's terminal belongs to the demo."""


def listen(port: int = 0, *, or_free: bool = False) -> PictureServer:
    """A server that listens but doesn't serve yet; `port` 0 means a free one.

    Where the port can't be had, a free one is taken if `or_free`, else `BackfillError` is raised;
    `UsageError` where it is no port at all.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"port {port} is out of range: give 1 to 65535, or 0 for a free one")
    try:
        return PictureServer(port)
    except OSError as error:
        if port and or_free:
            return PictureServer()
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise BackfillError(
            f"can't listen on {LOOPBACK}:{port}: {reason.lower()}; "
            "choose another port, or 0 for a free one"
        ) from error


def _stop_with_parent(server: PictureServer) -> None:
    """Stop serving when standard input ends, as it does when its other end's process is gone."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        server.shutdown()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m runner.demo.host",
        description="Serve the demo's pictures over HTTP on loopback until interrupted.",
    )
    parser.add_argument("--port", type=int, default=0, help="port to listen on (0: a free one)")
    parser.add_argument("--or-free", action="store_true", help="take a free port if that is taken")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input ends")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted; prints one line, `serving <base URL>` or `failed <reason>`."""
    options = _arguments().parse_args(argv)
    try:
        catalogue()
        server = listen(options.port, or_free=options.or_free)
    except BackfillError as error:
        print(f"{FAILED}{error}", flush=True)
        return error.exit_code
    with contextlib.suppress(KeyboardInterrupt), server:
        if options.with_parent:
            _stop_with_parent(server)
        print(f"{SERVING}{server.base_url}", flush=True)
        server.serve_forever(poll_interval=0.1)
    return ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
