"""The queue of free seats, which pgqueuer keeps, as one worker reads it."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import threading
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from typing import Any

from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.core.qm import QueueManager
from pgqueuer.core.tm import TaskManager
from pgqueuer.domain.models import Job
from pgqueuer.domain.settings import DBSettings
from pgqueuer.domain.types import Channel, JobId, QueueEntrypoint
from pgqueuer.ports.driver import Driver, NotifyCallback
from pgqueuer.ports.repository import EntrypointExecutionParameter

from runner.database.session import Session
from runner.worker.ear import Ear

CHANNEL = "backfill_queue"

SETTINGS = DBSettings(prefix="", db_schema="backfill", channel=Channel(CHANNEL))
"""Where pgqueuer's tables are; what the environment says is for the application's own."""

POLL_S = 2.0
"""Time between two looks into the queue where nothing is notified."""

RUSHED_POLL_S = 0.5
"""The same while seats wait that this worker has no slot for."""

_PLACE = re.compile(r"\$(\d+)")


class Connection(Driver):
    """What pgqueuer asks a database, through a `Session` that outlives the server's restarts.

    A statement may be sent twice, which pgqueuer bears: what it picks and doesn't know of is handed
    out again. Notifications come through an `Ear`, or not at all.
    """

    def __init__(self, session: Session, conninfo: str, name: str) -> None:
        self._session = session
        self._conninfo = conninfo
        self._name = name
        self._one_at_a_time = asyncio.Lock()
        self._shutdown = asyncio.Event()
        self._tasks = TaskManager()
        self._ears: list[Ear] = []

    @property
    def shutdown(self) -> asyncio.Event:
        """As pgqueuer wants it."""
        return self._shutdown

    @property
    def tm(self) -> TaskManager:
        """As pgqueuer wants it."""
        return self._tasks

    async def fetch(self, query: str, *args: object) -> list[dict[str, Any]]:
        """The rows of a query with `$1` for its first argument."""
        text = _PLACE.sub(r"%(p\1)s", query.replace("%", "%%"))
        values = {f"p{number}": value for number, value in enumerate(args, 1)}
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._session.execute, text, values)

    async def execute(self, query: str, *args: object) -> str:
        """Execute a statement."""
        await self.fetch(query, *args)
        return ""

    async def notify(self, channel: str, payload: str) -> None:
        """Notify whoever listens."""
        await self.fetch("select pg_notify($1, $2)", channel, payload)

    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        """Have this called in the event loop with what is notified, where anything is heard."""
        loop = asyncio.get_running_loop()

        def heard(payload: str) -> None:
            loop.call_soon_threadsafe(callback, payload)

        self._ears.append(Ear(self._conninfo, self._name, channel, heard))

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *_: object) -> None:
        # pgqueuer writes what became of its last jobs after this, so the session stays
        for ear in self._ears:
            await asyncio.to_thread(ear.close)


@dataclasses.dataclass
class Slots:
    """What a worker takes from the queue. `serves`: entrypoints; set by another thread."""

    number: int
    serves: frozenset[str] = frozenset()
    taken: set[JobId] = dataclasses.field(default_factory=set)

    def open(self) -> set[str]:
        """Entrypoints to take a job of now: new rows always, seats while a slot is free."""
        full = len(self.taken) >= self.number
        return {name for name in self.serves if not (full and name.startswith("seat:"))}


@dataclasses.dataclass
class SeatQueue(QueueManager):
    """pgqueuer's manager, but that it takes one job at a time, and only those it has a slot for."""

    slots: Slots = dataclasses.field(default_factory=lambda: Slots(1))

    async def fetch_jobs(
        self,
        batch_size: int,
        global_concurrency_limit: int | None,
        heartbeat_timeout: timedelta,
    ) -> AsyncGenerator[Job, None]:
        """Jobs that can be begun at once."""
        while not self.shutdown.is_set():
            names = self.slots.open() & set(self.entrypoint_registry)
            if not names:
                return
            jobs = await self.queries.dequeue(
                batch_size=1,
                entrypoints={
                    QueueEntrypoint(name): EntrypointExecutionParameter(concurrency_limit=0)
                    for name in sorted(names)
                },
                queue_manager_id=self.queue_manager_id,
                global_concurrency_limit=None,
                heartbeat_timeout=heartbeat_timeout,
            )
            if not jobs:
                return
            for job in jobs:
                if job.entrypoint.startswith("seat:"):
                    self.slots.taken.add(job.id)
                yield job


def seat_queue(
    conninfo: str, name: str, slots: Slots, stop: threading.Event, patience: float, grace: float
) -> tuple[SeatQueue, Session]:
    """The queue, and the session that it uses, which the caller closes."""
    session = Session(
        conninfo, name=name, patience=patience, stop=stop, grace=grace, persistent=True
    )
    queries = Queries(
        Connection(session, conninfo, name),
        qbe=QueryBuilderEnvironment(SETTINGS),
        qbq=QueryQueueBuilder(SETTINGS),
    )
    queue = SeatQueue(queries, Channel(CHANNEL), slots=slots)
    queue.min_dequeue_poll_interval = timedelta(seconds=RUSHED_POLL_S)
    return queue, session


Handler = Callable[[int, int, str], None]
"""Fills a seat: run, seat, task. Called in a thread."""
