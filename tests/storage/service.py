"""An S3 emulator, and a proxy before it that misbehaves as told."""

from __future__ import annotations

import http.client
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from moto.backends import get_backend
from moto.s3.models import FakeBucket, S3Backend
from moto.server import ThreadedMotoServer

from tests.plugins.loopback import LOOPBACK, Behaviour, Exchange, LoopbackServer, Request

ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"

# what each of the two connections has of its own
_HOP = frozenset({"connection", "transfer-encoding", "expect", "keep-alive", "date", "server"})
_CHECKSUM = "x-amz-checksum-sha256"

Answer = tuple[int, dict[str, str], bytes]
Fault = Callable[[Request], Behaviour]


class _S3Exchange(Exchange):
    do_PUT = do_HEAD = do_DELETE = Exchange._handle


class Service(LoopbackServer):
    """Passes requests on to the emulator, but for faults that are waiting for their method.

    It also can be a service of another kind: see the attributes.
    """

    def __init__(self, emulator: str) -> None:
        super().__init__()
        self.RequestHandlerClass = _S3Exchange
        self._emulator = urlsplit(emulator).netloc
        self._lock = threading.Lock()
        self._faults: list[tuple[str, Fault]] = []
        self._checksums: dict[str, str] = {}
        self.released = threading.Event()
        """Set when requests that are kept waiting have to end."""
        self.reset()

    def reset(self) -> None:
        """Be an ordinary service that has never been asked for anything."""
        self.clear_faults()
        self.requests.clear()
        self.released.set()
        self.released = threading.Event()
        self.conditions: str = "honoured"
        """What If-None-Match comes to: "honoured", "ignored" or "refused"."""
        self.etag: str | None = None
        """The ETag of every object, where it isn't the MD5."""
        self.hides_absence = False
        """HEAD says 403 where there is nothing, as without the right to list."""
        self.spoils = False
        """Every upload loses its first byte's value on the way."""
        self.keeps_checksums = False
        """The checksum that came with an upload is told by HEAD, as Amazon does."""

    def fault(self, method: str, fault: Fault, *, times: int = 1) -> None:
        """Treat the next requests with this method in this way."""
        with self._lock:
            self._faults += [(method, fault)] * times

    def clear_faults(self) -> None:
        """Behave from now on."""
        with self._lock:
            self._faults.clear()

    def asked(self, method: str) -> list[Request]:
        """Requests with this method about objects, but not about the storage's trial file."""
        return [r for r in self.requests if r.method == method and "/pictures/.b" not in r.target]

    def behaviour(self, request: Request) -> Behaviour:
        """See `LoopbackServer`."""
        fault = self._next_fault(request.method)
        if fault is not None:
            return fault(request)
        return lambda exchange: _give(exchange, self.forward(request))

    def _next_fault(self, method: str) -> Fault | None:
        with self._lock:
            for waiting in self._faults:
                if waiting[0] == method:
                    self._faults.remove(waiting)
                    return waiting[1]
        return None

    def forward(self, request: Request) -> Answer:
        """The emulator's answer, as a service of this kind would give it."""
        headers = {k: v for k, v in request.headers.items() if k not in _HOP}
        conditional = "if-none-match" in headers
        if conditional and self.conditions == "refused":
            return failure(501, "NotImplemented")
        if self.conditions == "ignored":
            headers.pop("if-none-match", None)
        body = request.body
        if self.spoils and request.method == "PUT":
            body = bytes([body[0] ^ 1]) + body[1:]
        if _CHECKSUM in headers:
            self._checksums[request.target] = headers[_CHECKSUM]
        return self._dressed(request, self._emulated(request, headers, body))

    def _emulated(self, request: Request, headers: Mapping[str, str], body: bytes) -> Answer:
        connection = http.client.HTTPConnection(self._emulator, timeout=30)
        try:
            connection.request(request.method, request.target, body, dict(headers))
            reply = connection.getresponse()
            found = {k.lower(): v for k, v in reply.getheaders() if k.lower() not in _HOP}
            return reply.status, found, reply.read()
        finally:
            connection.close()

    def _dressed(self, request: Request, answer: Answer) -> Answer:
        status, headers, body = answer
        if request.method == "HEAD" and status == 404 and self.hides_absence:
            return 403, {"content-length": "0"}, b""
        if self.etag is not None and "etag" in headers:
            headers["etag"] = self.etag
        checksum = self._checksums.get(request.target)
        if self.keeps_checksums and checksum and "x-amz-checksum-mode" in request.headers:
            headers[_CHECKSUM] = checksum
        return status, headers, body

    # --- behind the back of everybody ---

    def create(self, bucket: str) -> None:
        """A new bucket."""
        _backend().create_bucket(bucket, "us-east-1")

    def plant(self, bucket: str, key: str, data: bytes, modified: datetime) -> None:
        """An object that was put at this time."""
        stored = _backend().put_object(bucket, key, data)
        stored.last_modified = modified.replace(tzinfo=None)

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Every object's bytes by its key."""
        keys: Any = _bucket(bucket).keys
        return {str(key): stored.value for key, stored in keys.items()}


def _backend() -> S3Backend:
    found: S3Backend = get_backend("s3")["123456789012"]["aws"]
    return found


def _bucket(name: str) -> FakeBucket:
    return _backend().buckets[name]


def _give(exchange: Exchange, answer: Answer) -> None:
    status, headers, body = answer
    exchange.begin(status, {"content-length": str(len(body)), **headers})
    if exchange.command != "HEAD":
        exchange.wfile.write(body)


def failure(status: int, code: str, message: str = "", **headers: str) -> Answer:
    """An answer of the service's that says no."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = ERROR.format(code=code, message=message).encode()
    return status, {"content-type": "application/xml", **named}, body


def says(answer: Answer) -> Fault:
    """Answer this instead."""
    return lambda _request: lambda exchange: _give(exchange, answer)


def hangs_up(_request: Request) -> Behaviour:
    """Close the connection without an answer."""
    return Exchange.hang_up


def says_nothing(service: Service) -> Fault:
    """Keep the connection open without an answer, until the test ends."""
    released = service.released

    def wait(exchange: Exchange) -> None:
        released.wait()
        exchange.hang_up()

    return lambda _request: wait


@contextmanager
def emulator() -> Iterator[str]:
    """The URL of an S3 emulator in this process."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address=LOOPBACK, port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()
