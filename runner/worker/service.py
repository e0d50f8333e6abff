"""`backfill worker`: what its threads do together, from start to drain."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import psycopg
from pgqueuer.domain.models import Job

from runner.contract import Task
from runner.database import failures
from runner.database.files import preload
from runner.database.session import PATIENCE_S, Session
from runner.hooks.deliver import Deliverer
from runner.worker.clock import Clock
from runner.worker.queue import POLL_S, SeatQueue, Slots, seat_queue
from runner.worker.seat import ChildCommand, Ending, Seat
from runner.worker.steward import Seats, Steward

log = logging.getLogger(__name__)

LOOK_S = 0.1
"""How often the main thread looks whether it is to stop."""

HEARTBEAT_TIMEOUT_S = 30.0
"""Silence after which pgqueuer hands a job out again."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker works; `slice`, `grace` and `patience` are seconds.

    `slots`: processes at a time, beside those for new rows. With `once` it leaves when nothing is
    left to do.
    """

    slots: int
    slice: float = 60.0
    grace: float = 30.0
    patience: float = PATIENCE_S
    once: bool = False


class Worker:
    """Takes seats of runs of these tasks until `stop` is set, then lets its processes finish."""

    def __init__(
        self,
        conninfo: str,
        tasks: Mapping[str, Task],
        options: WorkerOptions,
        command: ChildCommand,
        stop: threading.Event,
    ) -> None:
        preload()
        self._conninfo = conninfo
        self._tasks = tasks
        self._options = options
        self._command = command
        self._stop = stop
        self._slots = Slots(options.slots)
        self._seats = Seats()
        self._asking = self._session("backfill worker")
        self._steward: Steward | None = None
        self._clock: Clock | None = None

    def kill(self) -> None:
        """End all processes at once; the database gives their rows back."""
        self._seats.kill()

    def work(self) -> None:
        """Work until `stop` is set, or nothing is left with `once`. Raises `BackfillError`."""
        with ExitStack() as stack:
            queue, session = seat_queue(
                self._conninfo, "backfill worker queue", self._slots, self._stop,
                self._options.patience, self._options.grace,
            )  # fmt: skip
            stack.callback(session.close)
            steward = Steward(
                stack.enter_context(self._session("backfill worker")),
                self._tasks,
                self._slots,
                self._seats,
                self._options.slice,
                only_runs=self._options.once,
            )
            self._steward = steward
            stack.callback(steward.close)
            stack.callback(self._asking.close)
            clock = Clock(
                stack.enter_context(self._session("backfill worker schedules")),
                self._tasks,
                lambda: steward.worker,
            )
            self._clock = clock
            stack.callback(clock.close)
            stack.callback(self._deliver())
            asyncio.run(self._serve(queue))
            for fatal in (steward.fatal, clock.fatal):
                if fatal is not None:
                    raise fatal

    def _deliver(self) -> Callable[[], None]:
        """Send messages to webhooks in a thread of its own; what ends it."""
        stop = threading.Event()
        sending = threading.Thread(
            target=Deliverer(self._conninfo).work, args=(stop,), name="deliver", daemon=True
        )
        sending.start()

        def end() -> None:
            stop.set()
            sending.join()

        return end

    def _session(self, name: str) -> Session:
        return Session(
            self._conninfo,
            name=name,
            patience=self._options.patience,
            stop=self._stop,
            grace=self._options.grace,
            persistent=True,
        )

    # --- in the event loop --------------------------------------------------------------------

    async def _serve(self, queue: SeatQueue) -> None:
        loop = asyncio.get_running_loop()
        # one thread a seat, and some for the queue's statements
        loop.set_default_executor(
            ThreadPoolExecutor(self._options.slots + len(self._tasks) + 8, "worker")
        )
        for name in self._all_entrypoints():
            queue.entrypoint(name)(partial(self._dispatched, queue))
        watching = asyncio.create_task(self._until_told(queue))
        try:
            await queue.run(
                dequeue_timeout=timedelta(seconds=POLL_S),
                batch_size=1,
                heartbeat_timeout=timedelta(seconds=HEARTBEAT_TIMEOUT_S),
                log_aggregation_interval=timedelta(0),
            )
        except psycopg.Error as error:
            raise failures.explain(error) from error
        finally:
            self._seats.stop()
            watching.cancel()

    def _all_entrypoints(self) -> list[str]:
        login = str(self._asking.one("worker_login")["login"])
        return [
            name
            for task in self._tasks
            for name in (f"seat:{task}", f"seat:{task}:{login}", f"new:{task}")
        ]

    async def _until_told(self, queue: SeatQueue) -> None:
        """Let the queue go when this worker is to stop."""
        while not self._stop.is_set() and not self._broken():
            await asyncio.sleep(LOOK_S)
            if self._options.once and await asyncio.to_thread(self._nothing_left):
                break
        if self._stop.is_set():
            log.info("stopping: %d processes finish their rows", len(self._seats.all()))
        self._seats.stop()
        queue.shutdown.set()

    def _broken(self) -> bool:
        steward, clock = self._steward, self._clock
        return any(part is not None and part.fatal is not None for part in (steward, clock))

    def _nothing_left(self) -> bool:
        """Whether all that there was to do when this worker came is done."""
        steward, clock = self._steward, self._clock
        if steward is None or clock is None or not steward.passes or not clock.looks:
            return False
        row = self._asking.one("queue_left", serves=sorted(self._slots.serves))
        return not row["jobs"] and not self._seats.all()

    async def _dispatched(self, queue: SeatQueue, job: Job) -> None:
        try:
            said = json.loads(job.payload or b"{}")
            # the entrypoint is one that this worker named; the payload is anybody's who may enqueue
            kind, task, *_ = job.entrypoint.split(":")
            seat = Seat(int(said["run"]), int(said["seat"]), task, kind == "new")
            await asyncio.to_thread(self._fill, seat)
        finally:
            queue.slots.taken.discard(job.id)

    # --- in a thread for each seat ------------------------------------------------------------

    def _fill(self, seat: Seat) -> None:
        steward = self._steward
        if self._stop.is_set() or steward is None:
            return
        name = f"backfill worker run {seat.run}"
        with self._session(name) as session:
            worker = steward.worker
            taken = session.one("take_seat", worker=worker, run=seat.run, seat=seat.number)
            if not taken["taken"]:
                return
            self._seats.add(seat)
            if self._stop.is_set():
                seat.stop.set()
            log.info("run %d of %s: a process of this worker joins it", seat.run, seat.task)
            try:
                ended = seat.work(session, self._command)
            except Exception as error:
                log.exception("run %d: seat %d failed", seat.run, seat.number)
                ended = Ending(over=True, after=30.0, error=failures.first_line(error))
            finally:
                self._seats.remove(seat)
            if ended.error is not None:
                if self._fits(session, seat.task):
                    session.call("fail_run", run=seat.run, worker=worker, why=ended.error)
                else:
                    # the task was migrated meanwhile: its run is for workers of the new version
                    ended = Ending(over=False)
            session.call(
                "give_seat_back",
                worker=worker,
                run=seat.run,
                seat=seat.number,
                over=ended.over,
                after=ended.after,
            )

    def _fits(self, session: Session, task: str) -> bool:
        """Whether the task is at the version of this worker's code."""
        installed = {row["name"]: row["version"] for row in session.call("worker_tasks")}
        return installed.get(task) == self._tasks[task].version
