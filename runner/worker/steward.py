"""The thread of a worker's heartbeats, which keeps runs going for the whole fleet.

Whatever dies, the workers that are left hand out its seats again: each calls `backfill.serve()`
every few seconds, so nobody in particular has to.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg

from runner.contract import Task
from runner.database import failures
from runner.database.session import Session
from runner.worker.queue import Slots
from runner.worker.seat import Seat

log = logging.getLogger(__name__)

BEAT_S = 1.0
SERVE_EVERY = 3
"""Beats between two calls of serve(); with the first one, too."""
PRUNE_EVERY = 600
"""Beats between two times that the queue's log is cleared."""


@dataclass(slots=True)
class Seats:
    """Seats that a worker has now, shared by its threads."""

    _seats: dict[tuple[int, int], Seat] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, seat: Seat) -> None:
        """A seat was taken."""
        with self._lock:
            self._seats[seat.run, seat.number] = seat

    def remove(self, seat: Seat) -> None:
        """Its process is gone."""
        with self._lock:
            if self._seats.get((seat.run, seat.number)) is seat:
                del self._seats[seat.run, seat.number]

    def all(self) -> list[Seat]:
        """Those that have a process."""
        with self._lock:
            return list(self._seats.values())

    def stop(self) -> None:
        """Ask all processes to leave."""
        for seat in self.all():
            seat.stop.set()

    def kill(self) -> None:
        """End all processes at once."""
        for seat in self.all():
            if seat.kill is not None:
                seat.kill()


class Steward:
    """Beats for a worker until `close()`. An error that can't be helped is in `fatal`.

    With `only_runs` the worker does no new rows. `passes` counts calls of `backfill.serve()`.
    """

    def __init__(
        self,
        session: Session,
        tasks: Mapping[str, Task],
        slots: Slots,
        seats: Seats,
        slice_s: float,
        *,
        only_runs: bool = False,
    ) -> None:
        self._session = session
        self._tasks = tasks
        self._slots = slots
        self._seats = seats
        self._slice = slice_s
        self._only_runs = only_runs
        self.passes = 0
        self._stop = threading.Event()
        self.fatal: Exception | None = None
        self._told: set[str] = set()
        self._slots.serves = self._entrypoints()
        self.worker = self._join()
        names = sorted({name.split(":")[1] for name in self._slots.serves}) or ["no task yet"]
        log.info(
            "worker %d: %d processes at a time for %s",
            self.worker,
            slots.number,
            ", ".join(names),
        )
        self._thread = threading.Thread(target=self._work, name="steward", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Say goodbye and end the thread."""
        self._stop.set()
        self._thread.join()
        try:
            self._session.call("leave_fleet", worker=self.worker)
        except Exception as error:  # noqa: BLE001 - others find out by its silence
            log.warning("could not say goodbye: %s", failures.first_line(error))

    def _join(self) -> int:
        row = self._session.one(
            "join_fleet",
            host=socket.gethostname(),
            pid=os.getpid(),
            slots=self._slots.number,
            serves=sorted(self._slots.serves),
        )
        return int(row["worker"])

    def _work(self) -> None:
        beats = 0
        try:
            while not self._stop.is_set():
                if beats % SERVE_EVERY == 0:
                    self._slots.serves = self._entrypoints()
                self._keep()
                if beats % SERVE_EVERY == 0:
                    self._serve()
                if beats % PRUNE_EVERY == PRUNE_EVERY // 2:
                    self._session.call("prune_queue")
                beats += 1
                self._stop.wait(BEAT_S)
        except psycopg.Error as error:
            self.fatal = failures.explain(error)
        except Exception as error:  # noqa: BLE001 - the main thread raises it
            self.fatal = error

    def _entrypoints(self) -> frozenset[str]:
        """What this worker can do: tasks that it has at the database's version."""
        found = set()
        for row in self._session.call("worker_tasks"):
            task = self._tasks.get(row["name"])
            if task is None:
                continue
            if task.version != row["version"]:
                self._tell_of_version(task, row["version"])
                continue
            found |= {f"seat:{task.name}", f"seat:{task.name}:{row['login']}"}
            if not self._only_runs:
                found.add(f"new:{task.name}")
        return frozenset(found)

    def _tell_of_version(self, task: Task, installed: int) -> None:
        if task.name not in self._told:
            self._told.add(task.name)
            log.warning(
                "%s is at version %d in the database and at %d here; it is left to other workers",
                task.name,
                installed,
                task.version,
            )

    def _keep(self) -> None:
        asked = time.monotonic()
        row = self._session.one(
            "keep_seats",
            worker=self.worker,
            serves=sorted(self._slots.serves),
            slice=self._slice,
        )
        if not row["alive"]:
            log.warning("this worker was silent too long, and its seats were given to others")
            self._seats.stop()
            self.worker = self._join()
            return
        gives_way = {(one["run"], one["seat"]): one["gives_way"] for one in row["seats"]}
        for seat in self._seats.all():
            # one that was taken meanwhile was not there to be told of
            if seat.since < asked and gives_way.get((seat.run, seat.number), True):
                seat.stop.set()

    def _serve(self) -> None:
        row = self._session.one("serve")
        self.passes += 1
        if row["lost"]:
            log.warning("%d workers were silent; their seats are handed out again", row["lost"])
        for lost in self._session.call("rescue", grace="3 seconds"):
            log.warning(
                "runner %s died; its %s jobs are ready again", lost["runner_id"], lost["jobs"]
            )
