"""Who watches what: a channel for each task that somebody looks at, and whether he still may."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from runner.web.channel import EVERY_S, Channel, Watcher
from runner.web.database import Database
from runner.web.problems import Problem
from runner.web.source import OfAll, OfTask

log = logging.getLogger(__name__)

MOST = 1000
"""Streams of one server process."""

MOST_EACH = 50
"""Streams of one session, or of one token."""

CHECK_S = 5.0
"""A stream ends so long after its token was revoked, or its session over."""

THREADS = 2
"""Connections that looking takes, however many tasks are looked at."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What somebody showed to be let in: SHA-256 of a session's cookie, or of a token."""

    hashed: bytes
    session: bool


class Hub:
    """Opens watchers, at most one poller for each thing that is watched; one event loop's."""

    def __init__(
        self, database: Database, *, every: float = EVERY_S, check: float = CHECK_S
    ) -> None:
        self._database = database
        self._every = every
        self._check = check
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="live")
        self._channels: dict[str | None, Channel] = {}
        self._watchers: dict[Watcher, Credential] = {}
        self._checker: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining = threading.Event()

    async def watch(self, task: str | None, cursor: str | None, credential: Credential) -> Watcher:
        """Begin to watch a task, or with None all of them.

        `cursor` is the last event id that was seen. Raises `Problem`: not_installed, too_many, and
        unavailable where the server stops or has as many as it takes. To be ended by `leave`.
        """
        self._loop = asyncio.get_running_loop()
        if self._draining.is_set():
            raise Problem("unavailable", "the server is stopping", headers={"Retry-After": "2"})
        if len(self._watchers) >= MOST:
            raise Problem(
                "unavailable",
                f"this server has {MOST} streams open, which is as many as it takes",
                headers={"Retry-After": "30"},
            )
        if sum(one == credential for one in self._watchers.values()) >= MOST_EACH:
            raise Problem(
                "too_many",
                f"{MOST_EACH} streams are open with this token or session; close some",
                headers={"Retry-After": "30"},
            )
        if task not in self._channels:
            source = OfAll(self._database) if task is None else OfTask(self._database, task)
            self._channels[task] = Channel(
                source, self._executor, self._every, self._forgetter(task)
            )
        watcher = await self._channels[task].opened(cursor)
        self._watchers[watcher] = credential
        if self._draining.is_set():
            watcher.finish()
        if self._checker is None or self._checker.done():
            self._checker = asyncio.create_task(self._check_credentials())
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """He is gone."""
        watcher.close()
        self._watchers.pop(watcher, None)

    def drain(self) -> None:
        """End all streams; those who looked come back, to another process."""
        self._draining.set()
        if self._loop is None or self._loop.is_closed():
            self._executor.shutdown(wait=False)
        else:
            self._loop.call_soon_threadsafe(self._finish_all)

    @property
    def watchers(self) -> int:
        """How many streams are open."""
        return len(self._watchers)

    def _finish_all(self) -> None:
        for watcher in self._watchers:
            watcher.finish()
        for channel in self._channels.values():
            channel.stop()
        if self._checker is not None:
            self._checker.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _forgetter(self, task: str | None) -> Callable[[Channel], None]:
        def forget(channel: Channel) -> None:
            if self._channels.get(task) is channel:
                del self._channels[task]

        return forget

    async def _check_credentials(self) -> None:
        while self._watchers:
            await asyncio.sleep(self._check)
            held = set(self._watchers.values())
            try:
                refused = await asyncio.get_running_loop().run_in_executor(
                    self._executor, self._refused, held
                )
            except Problem as problem:
                log.debug("could not check who watches: %s", problem.detail)
                # while the database is away there is nothing to see; else each has to show anew
                # that he may look
                if problem.kind != "unavailable":
                    for watcher in self._watchers:
                        watcher.finish()
                continue
            for watcher, credential in self._watchers.items():
                if credential.hashed in refused:
                    watcher.dismiss(refused[credential.hashed])

    def _refused(self, held: set[Credential]) -> dict[bytes, str]:
        rows = self._database.call(
            None,
            "live_sessions",
            sessions=[one.hashed for one in held if one.session],
            tokens=[one.hashed for one in held if not one.session],
        )
        return {bytes(row["hash"]): row["reason"] for row in rows}
