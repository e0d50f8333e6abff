"""A served application with its stream, and a client that reads events one by one."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from runner.web import stream
from runner.web.app import create_app, drain
from runner.web.settings import Settings
from tests.plugins.engine import Engine, outcome
from tests.plugins.waiting import wait_until

EVERY_S = 0.05
CHECK_S = 0.1
PATIENCE_S = 20.0


@dataclass
class Served:
    """An application that answers at `url`."""

    app: FastAPI
    url: str

    def watchers(self) -> int:
        """How many streams it has open."""
        return self.app.state.hub.watchers  # type: ignore[no-any-return] # a bag of anything

    def drain(self) -> None:
        """What happens when the server is told to stop."""
        drain(self.app)


@contextmanager
def served(
    conninfo: str, *, every: float = EVERY_S, prepare: Callable[[FastAPI], None] | None = None
) -> Iterator[Served]:
    """A server with nothing but the API and the stream, in a thread."""
    app = create_app(Settings(conninfo, patience_s=0.5), parts=())
    if prepare:
        prepare(app)
    stream.mount(app, every=every, check=CHECK_S)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=5, lifespan="on")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield Served(app, f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            app.state.hub.drain()
            server.should_exit = True
            thread.join(PATIENCE_S)


@dataclass
class Told:
    """One event."""

    name: str
    data: Any
    number: str | None = None


@dataclass
class Client:
    """Reads a stream; `lines` are all lines of the log that came."""

    _events: Iterator[Told]
    lines: list[dict[str, Any]] = field(default_factory=list)
    last: str | None = None
    more: int = 0

    def next(self, *names: str) -> Told:
        """The next event with one of these names; others are passed over."""
        for told in self._events:
            if told.name == "log":
                self.lines += told.data["lines"]
                self.more += told.data["more"]
                self.last = told.number
            if told.name in names:
                return told
        raise EOFError(f"the stream ended before {names}")

    def until(self, condition: Callable[[], bool]) -> None:
        """Read logs until this holds."""
        while not condition():
            self.next("log")

    def texts(self) -> list[str]:
        """What the lines say."""
        return [line["text"] for line in self.lines]

    def rows(self) -> list[str]:
        """Keys of the rows that have a line, in their order."""
        return [line["key"] for line in self.lines if line["key"]]

    def ended(self) -> bool:
        """Read to the end."""
        for _ in self._events:
            pass
        return True


def _parse(lines: Iterator[str]) -> Iterator[Told]:
    name, data, number = "", "", None
    for line in lines:
        kind, _, value = line.partition(": ")
        if kind == "event":
            name = value
        elif kind == "data":
            data = value
        elif kind == "id":
            number = value
        elif not line and name:
            yield Told(name, json.loads(data), number)
            name, number = "", None


@contextmanager
def watching(
    server: Served,
    token: str,
    task: str = "sample",
    *,
    last: str | None = None,
    after: str | None = None,
) -> Iterator[Client]:
    """An open stream of the API."""
    headers = {"Authorization": f"Bearer {token}"}
    if last is not None:
        headers["Last-Event-ID"] = last
    with httpx.stream(
        "GET",
        f"{server.url}/api/v1/tasks/{task}/stream",
        params={"after": after} if after is not None else None,
        headers=headers,
        timeout=PATIENCE_S,
    ) as response:
        response.raise_for_status()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Client(_parse(response.iter_lines()))


def viewer(engine: Engine, name: str = "watcher") -> str:
    """A new token's secret."""
    return str(engine.value("select backfill.create_token(%s, 'viewer')", name))


def session(engine: Engine, token: str) -> str:
    """A new session's cookie."""
    cookie = f"cookie of {token}"
    query = "select reason from backfill.log_in(%s, %s, '127.0.0.1')"
    hashes = [hashlib.sha256(text.encode()).digest() for text in (token, cookie)]
    assert engine.value(query, *hashes) is None
    return cookie


def work(engine: Engine, runner: int, want: int, **more: Any) -> list[str]:
    """Claim and finish rows in one group; their keys."""
    jobs = engine.claim(runner, want)["jobs"]
    engine.finish(runner, [outcome(job, **more) for job in jobs])
    return [job["key"] for job in jobs]
