"""A channel's promises to many watchers: bounded, one look for all, alive while that is slow."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from runner.web import channel, sse, stream
from runner.web.channel import Channel, Watcher
from runner.web.cursor import Cursor
from runner.web.live import Line
from runner.web.problems import Problem
from runner.web.source import Reading


@dataclass
class Counting:
    """A source with something new at each look, or nothing once it is `quiet`."""

    looks: int = 0
    asked: list[Cursor] = field(default_factory=list)
    quiet: bool = False
    hold: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.hold.set()

    def read(self, cursor: Cursor | None) -> Reading:
        """The next number."""
        self.hold.wait(10)
        self.looks += not self.quiet
        return Reading({"state": sse.event("state", self.looks)}, cursor=Cursor(self.looks))

    def since(self, cursor: Cursor) -> tuple[list[Line], int, Cursor]:
        """Nothing was missed."""
        self.hold.wait(10)
        self.asked.append(cursor)
        return [], 0, Cursor(self.looks)


def played(
    source: Counting, play: Callable[[Channel], Awaitable[None]], every: float = 0.001
) -> None:
    """Let a test use a channel of this source."""

    async def run() -> None:
        with ThreadPoolExecutor(4) as executor:
            made = Channel(source, executor, every, lambda _: None)
            try:
                async with asyncio.timeout(20):
                    await play(made)
            finally:
                source.hold.set()
                made.stop()

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    """Return when this holds."""
    while not condition():
        await asyncio.sleep(0.001)


async def read(watcher: Watcher, word: bytes) -> bytes:
    """What is told until something has this word in it."""
    told = b""
    async for chunk in watcher.chunks():
        told += chunk
        if word in chunk:
            break
    return told


def test_who_reads_too_slowly_is_cut_off() -> None:
    """What is kept for him is bounded; the others notice nothing."""

    async def play(made: Channel) -> None:
        slow, quick = await made.opened(None), await made.opened(None)
        begun = slow.chunks()
        await anext(begun)
        number = made.number
        await until(lambda: made.number > number + channel.TICKS)
        assert len(made.ticks) == channel.TICKS
        with pytest.raises(StopAsyncIteration):
            await anext(begun)
        quick = await made.opened(None)
        assert b"event: state" in await read(quick, b"state")

    played(Counting(), play)


def test_a_crowd_that_comes_back_costs_one_look() -> None:
    """Very many with the same cursor are answered by one question."""
    source = Counting()

    async def play(made: Channel) -> None:
        await made.ready.wait()
        source.hold.clear()
        comers = [asyncio.create_task(made.opened("e999999")) for _ in range(50)]
        await asyncio.sleep(0)
        source.hold.set()
        assert len(await asyncio.gather(*comers)) == 50
        assert source.asked == [Cursor(999999)]

    played(source, play)


def test_nobody_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The poller ends a while after the last watcher has gone."""
    monkeypatch.setattr(channel, "LINGER_S", 0.02)
    source = Counting()
    over: list[Channel] = []

    async def run() -> None:
        with ThreadPoolExecutor(1) as executor:
            made = Channel(source, executor, 0.001, over.append)
            watcher = await made.opened(None)
            looks = source.looks
            await until(lambda: source.looks > looks + 50)
            assert not over
            watcher.close()
            await until(lambda: bool(over))

    asyncio.run(run())


def test_a_slow_source_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a look takes long there is a sign of life, and why nothing comes; then all of it."""
    monkeypatch.setattr(channel, "SLOW_S", 0.02)
    monkeypatch.setattr(channel, "PULSE_S", 0.05)
    source = Counting()

    async def play(made: Channel) -> None:
        watcher = await made.opened(None)
        source.hold.clear()
        told = await read(watcher, b"event: pulse")
        assert told.count(b"event: trouble") == 1
        assert b"slow to answer" in told
        source.quiet = True
        source.hold.set()
        assert b"event: state" in await read(watcher, b"event: state")

    played(source, play)


def test_a_quiet_source_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not change is not told again; a pulse says that the stream is alive."""
    monkeypatch.setattr(channel, "PULSE_S", 0.02)
    source = Counting(quiet=True)

    async def play(made: Channel) -> None:
        watcher = await made.opened(None)
        told = await read(watcher, b"event: pulse")
        assert told.count(b"event: state") == 1
        assert b"\n: still here\n" in told

    played(source, play)


def test_a_source_that_breaks_is_told_of() -> None:
    """Whatever it raises, the stream goes on."""

    class Breaking(Counting):
        error: Exception | None = None

        def read(self, cursor: Cursor | None) -> Reading:
            if self.error is not None:
                raise self.error
            return super().read(cursor)

    source = Breaking()

    async def play(made: Channel) -> None:
        watcher = await made.opened(None)
        source.error = ZeroDivisionError()
        assert b"the server made a mistake" in await read(watcher, b"trouble")
        source.error = Problem("unavailable", "the database is away")
        assert b"the database is away" in await read(watcher, b"is away")
        source.error = None
        assert b"event: state" in await read(watcher, b"event: state")

    played(source, play)


def test_who_takes_nothing_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection whose other end has vanished holds a stream for a while only."""
    monkeypatch.setattr(stream, "SEND_S", 0.05)
    left: list[Watcher] = []

    class Leaving:
        leave = left.append

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def play(made: Channel) -> None:
        watcher = await made.opened(None)
        answer = stream.EventStream(Leaving(), watcher)  # type: ignore[arg-type] # leave() alone
        with suppress(TimeoutError):
            await answer({}, receive, send)
        assert left == [watcher]

    played(Counting(), play)
