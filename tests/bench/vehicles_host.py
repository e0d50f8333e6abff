"""A hostile picture host in a process of its own, which keeps account of who asks it how much.

    python -m tests.bench.vehicles_host [--burst-every 15] [--burst-for 0.5]

It prints `serving <its port> <a port where nobody listens>`. For each line on standard input it
prints a JSON object: the requests since the last one. It ends when standard input does.

Times of arrival are the kernel's, where it tells them, since on a busy machine a process hears
of a crowd of requests at once that came one after the other.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from tests.bench.vehicles_answers import ANSWERS, warm_up
from tests.bench.vehicles_arrivals import Arrivals, Tally

LOOPBACK = "127.0.0.1"
TRAP = "127.0.0.2"
"""Another address of this machine, at the same port; nobody is to come there."""

SO_TIMESTAMPNS = 35
"""Linux: a received segment brings the time at which the kernel received it (socket(7))."""

LONGEST_HEAD = 65_536
ROOT = Path(__file__).parents[2]


class Gone(OSError):
    """The client closed the connection."""


class Bursts:
    """Times at which every request is refused: so long, at the beginning of each so many seconds.

    The first is after half of that time.
    """

    def __init__(self, every: float, lasting: float) -> None:
        self._every = every
        self._lasting = lasting
        self._began = time.monotonic() - every / 2

    def on(self, now: float) -> bool:
        """Whether it is such a time."""
        return self._every > 0 and (now - self._began) % self._every < self._lasting


class Connection:
    """One connection and what is asked on it, answered by a thread of its own.

    Has what `vehicles_answers.Exchange` asks for.
    """

    def __init__(
        self, made: socket.socket, origin: str, arrivals: Arrivals, bursts: Bursts
    ) -> None:
        self.socket = made
        self.origin = origin
        self.kind, self.content, self.path = "", 0, ""
        self._arrivals = arrivals
        self._bursts = bursts
        self._keep = True
        self._over = 0.0
        self._said = ""
        made.settimeout(60)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def serve(self) -> None:
        """Answer until somebody hangs up."""
        with self.socket, suppress(OSError):
            while self._keep:
                began, self.path = self._request()
                self._over = 0.0
                try:
                    self._answer(began)
                finally:
                    # over with its last byte sent, or when the client was found to be gone
                    self._arrivals.add(began, self._over or time.monotonic(), self._said)

    def _request(self) -> tuple[float, str]:
        """When the next request came, and its path."""
        head, at = b"", None
        while b"\r\n\r\n" not in head:
            data, ancillary, _, _ = self.socket.recvmsg(LONGEST_HEAD, 128)
            if not data or len(head) > LONGEST_HEAD:
                raise Gone
            at = _arrived(ancillary) if at is None else at
            head += data
        return at or time.monotonic(), head.split(b" ", 2)[1].decode("ascii")

    def _answer(self, began: float) -> None:
        _, self.kind, number, _ = self.path.split("/")
        self.content, self._said = int(number), self.kind
        if self._bursts.on(began):
            refusal = 429 if self.content % 4 else 503
            self._said = str(refusal)
            self.answer(refusal, b"Slow down.", {"Retry-After": "1"})
        else:
            ANSWERS[self.kind](self)

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status line and headers only."""
        self.send(_head(status, headers))

    def answer(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a whole answer with its length."""
        self.send(_head(status, {"Content-Length": str(len(body)), **(headers or {})}) + body)

    def send(self, data: bytes) -> None:
        """Send these bytes; raises `OSError` where the client has gone."""
        # noted before: with the last byte the client may begin its next request
        self._over = time.monotonic()
        try:
            self.socket.sendall(data)
        except OSError:
            self._over = 0.0
            raise

    def wait(self, seconds: float) -> None:
        """Let this time pass; raises `Gone` as soon as the client goes."""
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        if poll.poll(seconds * 1000) and not self.socket.recv(1, socket.MSG_PEEK):
            self._over = 0.0
            raise Gone

    def hang_up(self) -> None:
        """Close the connection after this."""
        self._keep = False


def _arrived(ancillary: Sequence[tuple[int, int, bytes]]) -> float | None:
    """The kernel's time of arrival, on the monotonic clock."""
    for _, kind, stamp in ancillary:
        if kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("qq", stamp[:16])
            age = time.time() - float(seconds) - float(nanoseconds) / 1e9
            return time.monotonic() - max(0.0, age)
    return None


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def listen(address: str, port: int = 0) -> socket.socket:
    """A listening socket whose connections tell when data came."""
    listener = socket.create_server((address, port), backlog=512)
    if sys.platform == "linux":
        listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    return listener


def serve(listener: socket.socket, arrivals: Arrivals, bursts: Bursts) -> None:
    """Take connections for ever."""
    origin = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    while True:
        connection = Connection(listener.accept()[0], origin, arrivals, bursts)
        threading.Thread(target=connection.serve, daemon=True).start()


def watch_trap(port: int, arrivals: Arrivals) -> None:
    """Count connections to where none may come."""
    try:
        listener = listen(TRAP, port)
    except OSError:
        return  # the machine has no second loopback address
    while True:
        listener.accept()[0].close()
        arrivals.trapped += 1


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--burst-every", type=float, default=15.0)
    parser.add_argument("--burst-for", type=float, default=0.5)
    given = parser.parse_args()
    warm_up()
    arrivals, bursts = Arrivals(), Bursts(given.burst_every, given.burst_for)
    with listen(LOOPBACK) as listener, socket.socket() as closed:
        # bound and not listening, so nobody else gets it
        closed.bind((LOOPBACK, 0))
        port = listener.getsockname()[1]
        threading.Thread(target=serve, args=(listener, arrivals, bursts), daemon=True).start()
        threading.Thread(target=watch_trap, args=(port, arrivals), daemon=True).start()
        print("serving", port, closed.getsockname()[1], flush=True)
        spent = time.process_time()
        for _ in sys.stdin:
            now = time.process_time()
            print(json.dumps(asdict(arrivals.take(now - spent))), flush=True)
            spent = now


class Host:
    """The host as a process; a context manager that ends it."""

    def __init__(self, *, burst_every: float = 15.0, burst_for: float = 0.5) -> None:
        options = ["--burst-every", str(burst_every), "--burst-for", str(burst_for)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.vehicles_host", *options],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        word, port, closed = (self._line() or "nothing 0 0").split()
        if word != "serving":
            raise RuntimeError("the host did not start")
        self.origin = f"http://{LOOPBACK}:{port}"
        self.closed = f"http://{LOOPBACK}:{closed}"
        self.allowed = f"{LOOPBACK}:{port},{LOOPBACK}:{closed}"

    def __enter__(self) -> Host:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def tally(self) -> Tally:
        """What it saw since it was last asked."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Tally(**json.loads(self._line()))

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


if __name__ == "__main__":
    main()
