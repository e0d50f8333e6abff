"""One poller for all who look at the same thing, and what it told them lately."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from runner.web import sse
from runner.web.cursor import Cursor
from runner.web.live import Line
from runner.web.problems import Problem
from runner.web.source import Reading, Source

log = logging.getLogger(__name__)

EVERY_S = 1.0
"""Between two looks; longer where a look takes more than a quarter of that."""

SLOW_S = 6.0
"""A look that takes longer is trouble; longer than one waits for a connection."""

PULSE_S = 10.0
LINGER_S = 5.0
"""The poller goes on for so long when nobody looks, since browsers come back."""

TICKS = 60
"""Ticks that are kept; who is further behind is cut off, and catches up when he comes back."""

OVERLAP_S = 15.0
"""For so long after somebody caught up, ticks may tell him what he has read already."""

RECENT = 40

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tick:
    """What one look had to tell: `head` is all but the log, `body` is all of it."""

    number: int
    made: float
    head: bytes
    body: bytes
    lines: list[Line]
    more: int
    cursor: Cursor


class Channel:
    """Polls a source while somebody watches; lives in one event loop."""

    def __init__(
        self, source: Source, executor: Executor, every: float, over: Callable[[Channel], None]
    ) -> None:
        self._source = source
        self._executor = executor
        self._every = every
        self._over = over
        self.watchers: set[Watcher] = set()
        self._joining = 0
        self.ticks: deque[Tick] = deque(maxlen=TICKS)
        self.number = 0
        self._known: dict[str, bytes] = {}
        self._recent: deque[Line] = deque(maxlen=RECENT)
        self._cursor: Cursor | None = None
        self._trouble: str | None = None
        self._pulse_at = time.monotonic() + PULSE_S
        self._catching_up: dict[str, asyncio.Future[tuple[list[Line], int, Cursor]]] = {}
        self.failed: Problem | None = None
        self.ready = asyncio.Event()
        self._task = asyncio.create_task(self._poll())

    # --- polling -----------------------------------------------------------------------------

    async def _poll(self) -> None:
        try:
            empty_since = time.monotonic()
            while self.failed is None:
                begun = time.monotonic()
                await self._turn()
                self.ready.set()
                now = time.monotonic()
                if self.watchers or self._joining:
                    empty_since = now
                elif now - empty_since > LINGER_S:
                    return
                await asyncio.sleep(max(self._every - (now - begun), (now - begun) * 3))
        finally:
            self.ready.set()
            self._over(self)

    async def _turn(self) -> None:
        try:
            reading = await self._patiently(self._work(self._source.read, self._cursor))
        except Problem as problem:
            if problem.kind == "not_installed":
                self.failed = problem
                self.end("the task is not installed any more")
            else:
                self._tell_trouble(problem.detail)
        except Exception as error:
            # the stream goes on, and says so
            log.error("the live stream failed: %s", type(error).__name__, exc_info=error)
            self._tell_trouble("the server made a mistake; see its log")
        else:
            self._publish(reading)

    async def _patiently(self, future: asyncio.Future[T]) -> T:
        """Its result; who waits for it is told that it takes long."""
        while not (await asyncio.wait({future}, timeout=SLOW_S))[0]:
            self._tell_trouble("the database is slow to answer")
        return future.result()

    def _work(self, call: Callable[[Cursor | None], T], cursor: Cursor | None) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._executor, call, cursor)

    def _publish(self, reading: Reading) -> None:
        head = b"".join(
            data
            for name, data in reading.events.items()
            if self._trouble is not None or data != self._known.get(name)
        )
        self._trouble = None
        self._known = reading.events
        self._recent.extend(reading.lines)
        first, self._cursor = self._cursor is None, reading.cursor
        # the first look's lines are for who comes with nothing, and in no tick
        lines = [] if first else reading.lines
        self._tick(head, lines, 0 if first else reading.more)

    def _tell_trouble(self, text: str) -> None:
        head = b"" if text == self._trouble else sse.trouble(text)
        self._trouble = text
        self._tick(head, [], 0)

    def _tick(self, head: bytes, lines: list[Line], more: int) -> None:
        now = time.monotonic()
        if now >= self._pulse_at:
            self._pulse_at = now + PULSE_S
            head += sse.pulse(datetime.now(UTC).isoformat(timespec="milliseconds"))
        if not head and not lines and not more:
            return
        cursor = self._cursor or Cursor()
        body = head + sse.log(lines, more, cursor) if lines or more else head
        self.number += 1
        self.ticks.append(Tick(self.number, now, head, body, lines, more, cursor))
        for watcher in self.watchers:
            watcher.wake.set()

    # --- watching ------------------------------------------------------------------------------

    def since(self, number: int) -> list[Tick] | None:
        """Ticks after this one; None where some of them are forgotten."""
        if number >= self.number:
            return []
        if self.ticks[0].number > number + 1:
            return None
        return [tick for tick in self.ticks if tick.number > number]

    def stop(self) -> None:
        """Look no more."""
        self._task.cancel()

    def end(self, reason: str) -> None:
        """Tell everybody that this is over."""
        for watcher in self.watchers:
            watcher.dismiss(reason)

    async def opened(self, text: str | None) -> Watcher:
        """A new watcher, who has read as far as the cursor `text` says, or nothing.

        Raises `Problem` where there is nothing to watch.
        """
        self._joining += 1
        try:
            return await self._open(text)
        finally:
            self._joining -= 1

    async def _open(self, text: str | None) -> Watcher:
        await self.ready.wait()
        if self.failed is not None:
            raise self.failed
        cursor = Cursor.parse(text)
        number = self.number
        skip: Cursor | None = None
        lines, more, reached = list(self._recent), 0, self._cursor
        if cursor is not None and self._trouble is None:
            number, (lines, more, reached), skip = await self._missed(cursor)
        if self._trouble is not None or reached is None:
            # he comes back with the cursor that he has, until there is something to tell
            watcher = Watcher(self, number, sse.OPENING + sse.trouble(self._trouble or ""), None)
            watcher.finish()
            return watcher
        # the log even if there is nothing in it, so that the browser knows from where to go on
        opening = sse.OPENING + b"".join(self._known.values()) + sse.log(lines, more, reached)
        watcher = Watcher(self, number, opening, skip)
        self.watchers.add(watcher)
        return watcher

    async def _missed(
        self, cursor: Cursor
    ) -> tuple[int, tuple[list[Line], int, Cursor], Cursor | None]:
        """The tick to go on after, what is before it, and what later ticks may repeat of that."""
        if cursor == self._cursor:
            return self.number, ([], 0, cursor), None
        for tick in self.ticks:
            if tick.cursor == cursor:
                later = [t for t in self.ticks if t.number > tick.number]
                missed = [line for t in later for line in t.lines], sum(t.more for t in later)
                return self.number, (*missed, self._cursor or cursor), None
        number = self.number
        key = str(cursor)
        # after an outage very many come back from the same place
        if key not in self._catching_up:
            work = asyncio.ensure_future(self._work_since(cursor))
            self._catching_up[key] = work
            work.add_done_callback(lambda _: self._catching_up.pop(key, None))
        try:
            found = await asyncio.shield(self._catching_up[key])
        except Problem as problem:
            self._tell_trouble(problem.detail)
            return number, ([], 0, cursor), None
        return number, found, found[2]

    def _work_since(self, cursor: Cursor) -> asyncio.Future[tuple[list[Line], int, Cursor]]:
        return asyncio.get_running_loop().run_in_executor(
            self._executor, self._source.since, cursor
        )


class Watcher:
    """Somebody who looks: what he is told, from where he was on."""

    def __init__(self, channel: Channel, number: int, opening: bytes, skip: Cursor | None) -> None:
        self._channel = channel
        self._number = number
        self._opening = opening
        self._skip = skip
        self._skip_until = time.monotonic() + OVERLAP_S
        self._reason: str | None = None
        self._over = False
        self.wake = asyncio.Event()

    def dismiss(self, reason: str) -> None:
        """He may look no longer."""
        self._reason = reason
        self.wake.set()

    def finish(self) -> None:
        """End without a word; he will come back."""
        self._over = True
        self.wake.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """What to send, as it comes; ends when the stream is to end."""
        yield self._opening
        while not self._over:
            if self._reason is not None:
                yield sse.gone(self._reason)
                return
            ticks = self._channel.since(self._number)
            if ticks is None:
                return
            if ticks:
                self._number = ticks[-1].number
                yield b"".join(self._told(tick) for tick in ticks)
            else:
                self.wake.clear()
                await self.wake.wait()

    def close(self) -> None:
        """He is gone."""
        self._channel.watchers.discard(self)

    def _told(self, tick: Tick) -> bytes:
        """A tick, without what he has read already."""
        if self._skip is None or not tick.lines:
            return tick.body
        if tick.made > self._skip_until:
            self._skip = None
            return tick.body
        skip = self._skip
        fresh = [line for line in tick.lines if not line.known_to(skip)]
        if len(fresh) == len(tick.lines):
            return tick.body
        return tick.head + sse.log(fresh, 0, tick.cursor.joined(skip))
