"""Processes that make calls under a shared limit, and a provider that counts the calls.

    python -m tests.loop.limits_caller CONNINFO NAME PORT THREADS SECONDS_A_CALL RUNNER

sends the provider a datagram a call, waits as long as a call takes, and begins again, from a line
on stdin until the next one. Then it prints how many calls it made, and waits for another line.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import Retry
from runner.loop.limits import Buckets
from tests.plugins.waiting import wait_until

if TYPE_CHECKING:
    from tests.plugins.processes import SampleDatabase  # imports pytest, which takes a while

NAME = "provider"
ROOT = Path(__file__).parents[2]
SO_TIMESTAMPNS = 35
"""Linux: the kernel's time of a datagram's arrival, which no busy machine delays."""


class CountingServer:
    """Takes datagrams on loopback, each a call; `arrivals` are seconds since 1970."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._stamped = sys.platform == "linux"
        if self._stamped:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.port = int(self._socket.getsockname()[1])
        self.arrivals: list[float] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", ("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        while True:
            data, ancillary, _, _ = self._socket.recvmsg(64, 128)
            if data == b"end":
                return
            now = time.time()
            for _, _, stamp in ancillary:
                seconds, nanoseconds = struct.unpack("qq", stamp[:16])
                now = seconds + nanoseconds / 1e9
            self.arrivals.append(now)

    def between(self, began: float, ended: float) -> int:
        """Calls that arrived in this time."""
        return sum(began <= at < ended for at in list(self.arrivals))

    def worst_second(self) -> int:
        """Most calls in any second, wherever it begins."""
        arrivals = sorted(self.arrivals)
        return max(bisect_left(arrivals, at + 1) - i for i, at in enumerate(arrivals))


class Caller:
    """A process of this module."""

    def __init__(
        self, database: SampleDatabase, server: CountingServer, lasting: float, runner: int
    ) -> None:
        arguments = [database.url, NAME, str(server.port), "8", str(lasting), str(runner)]
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.loop.limits_caller", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def says(self) -> str:
        """Its next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self) -> None:
        """Let it begin, or end."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """Whatever it does, end it."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def callers(
    count: int,
    database: SampleDatabase,
    server: CountingServer,
    lasting: float,
    runners: list[int] | None = None,
) -> Iterator[list[Caller]]:
    """So many processes, ready to begin."""
    made = [Caller(database, server, lasting, (runners or [0] * count)[i]) for i in range(count)]
    try:
        for caller in made:
            assert caller.says() == "ready"
        yield made
    finally:
        for caller in made:
            caller.end()


def settled(server: CountingServer, calls: int) -> None:
    """Return once so many more calls have arrived."""
    before = len(server.arrivals)
    wait_until(lambda: len(server.arrivals) >= before + calls)


def passed(moment: float) -> None:
    """Return once it is so late."""
    wait_until(lambda: time.time() >= moment)


def calls(buckets: Buckets, name: str, port: int, lasting: float, stop: threading.Event) -> int:
    """Call again and again; the number of calls."""
    made = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", port))
        while not stop.is_set():
            try:
                with buckets.acquire(name):
                    sender.send(b"call")
                    time.sleep(lasting)
            except Retry:
                continue
            made += 1
    return made


def main(conninfo: str, name: str, port: str, threads: str, lasting: str, runner: str) -> None:
    """Call from so many threads, from each odd line on stdin to the next one."""
    buckets = Buckets(conninfo, name="test", runner=int(runner) or None)
    with buckets.acquire(name):
        print("ready", flush=True)
    for _ in sys.stdin:
        stop, made = threading.Event(), list[int]()

        def work(stop: threading.Event = stop, made: list[int] = made) -> None:
            made.append(calls(buckets, name, int(port), float(lasting), stop))

        workers = [threading.Thread(target=work, daemon=True) for _ in range(int(threads))]
        for worker in workers:
            worker.start()
        sys.stdin.readline()
        stop.set()
        for worker in workers:
            worker.join()
        print(sum(made), flush=True)
    buckets.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
