"""Shared rates: calls of this process wait for their turn among those of all processes.

Who may call what when is decided in the database (`backfill.take_tokens`). One thread asks for all
calls that wait and tells each when it may start, at most 0.2 s ahead; the calling thread sleeps
until then by itself. A call that misses its time by more than a few milliseconds loses it and waits
again, since late calls would run into those after them, and add up to more than the rate.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from uuid import UUID, uuid4

import psycopg

from runner.contract import Call as PaidCall
from runner.contract import Effect, Spending
from runner.database import failures
from runner.database.session import PATIENCE_S, Session
from runner.errors import BackfillError, DatabaseUnreachable, Permanent, Retry
from runner.loop.budgets import Budgets
from runner.loop.effects import Effects
from runner.loop.limits_clock import DatabaseClock
from runner.loop.limits_queue import Call, Queue
from runner.loop.model import EffectSaid

PRUNE_S = 3600.0
CLOSE_S = 5.0
"""How long a process that ends waits for the database to take its slots back."""


class Buckets:
    """The `Limiter` of one process. Thread-safe; it connects at its first use.

    `runner` is the process's runner id, whose end frees its slots; set anew where it joins again.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        name: str = "backfill",
        runner: int | None = None,
        patience: float = PATIENCE_S,
    ) -> None:
        self._budgets = Budgets(conninfo, name=f"{name} budget", patience=patience)
        self._effects = Effects(conninfo, name=f"{name} effects", patience=patience)
        self.runner = runner
        self._holder = uuid4()
        self._queues: dict[str, Queue] = {}
        self._active: set[Queue] = set()
        self._clock = DatabaseClock()
        self._latest = math.inf
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._broken: Exception | None = None
        self._session = Session(
            conninfo,
            name=f"{name} limits",
            patience=patience,
            stop=self._stop,
            grace=CLOSE_S,
            persistent=True,
        )
        self._thread: threading.Thread | None = None

    @property
    def runner(self) -> int | None:
        """The process's runner id."""
        return self._runner

    @runner.setter
    def runner(self, runner: int | None) -> None:
        self._runner = self._budgets.runner = self._effects.runner = runner

    @property
    def fatal(self) -> Exception | None:
        """Why no call can be made any more, for the process to raise."""
        return self._broken or self._budgets.fatal or self._effects.fatal

    @contextmanager
    def acquire(
        self, name: str, tokens: int = 1, *, timeout: float | None = None
    ) -> Iterator[None]:
        """Wait for a turn, and for a slot where calls at a time are limited; hold it in the block.

        Raises `Retry`, not counted, where that would take more than `timeout` seconds, and
        `Permanent` where there is no such limit.
        """
        queue = self._enter(name, tokens, timeout)
        try:
            yield
        finally:
            with self._changed:
                queue.leave()
                self._wake(queue)

    def throttled(self, name: str, after: float | None) -> None:
        """The provider refused a call for its rate: all wait for `after` seconds (Retry-After)."""
        with self._changed:
            queue = self._queue(name)
            queue.refused.append(after)
            if after is not None:
                queue.blocked_until = max(queue.blocked_until, time.monotonic() + after)
            self._wake(queue)

    def succeeded(self, name: str) -> None:
        """A call went well, which lets a rate that was lowered rise again."""
        with self._changed:
            self._queue(name).succeeded += 1

    def budget(
        self, meter: str, amount: float, at_least: float | None = None
    ) -> AbstractContextManager[Spending]:
        """Reserve an amount of the run's budget, or what is left where that is `at_least`.

        Money is not reserved here but with the call that it is for: `effect`.
        """
        if meter == "cost":
            raise ValueError("cost is reserved with each call, by effect()")
        return self._budgets.spend(meter, amount, at_least)

    def effect(self, key: str, call: PaidCall) -> AbstractContextManager[Effect]:
        """Write the intent of a call for this row; it is made in the block."""
        return self._effects.call(key, call)

    def found(self, key: str, effect: UUID | str, charged: bool, note: str | None = None) -> None:
        """What became of a call that an earlier attempt at this row left unsettled."""
        self._effects.found(key, effect, charged, note)

    def said(self, key: str) -> list[EffectSaid]:
        """What became of this row's calls, that the database does not know yet."""
        return self._effects.said(key)

    @property
    def wait_reason(self) -> str | None:
        """Why no call is made while some wait, in words; None: calls are made, or none waits."""
        with self._changed:
            if any(queue.busy for queue in self._active):
                return None
            waiting = next((q.reason for q in self._active if q.waiting and q.reason), None)
            return waiting or self._effects.wait_reason

    def hurry(self, seconds: float) -> None:
        """From now on no call waits for longer than this moment in so many seconds.

        For a process that stops: what can't be made in time is handed back at once.
        """
        self._budgets.hurry()
        self._effects.hurry()
        with self._changed:
            self._latest = time.monotonic() + seconds
            for queue in self._active:
                for call in queue.waiting:
                    call.deadline = min(call.deadline, self._latest)
                queue.ask_at = time.monotonic()
            self._changed.notify_all()

    def close(self) -> None:
        """Turn away who still waits, and give slots and places back."""
        with self._changed:
            self._stop.set()
            self._turn_away(Retry("the process stops", code="rate_limit", after=0.0, counts=False))
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(CLOSE_S)
        self._budgets.close()
        self._effects.close()

    # --- computing threads --------------------------------------------------------------------

    def _enter(self, name: str, tokens: int, timeout: float | None) -> Queue:
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        missed = False
        while True:
            call = Call(tokens, min(deadline, self._latest))
            with self._changed:
                if self._stop.is_set() or self.fatal is not None:
                    raise Retry(
                        f"{name}: {self.fatal or 'the process stops'}",
                        code="rate_limit",
                        counts=False,
                    )
                queue = self._queue(name)
                queue.join(call, first=missed)
                self._wake(queue)
            self._await(queue, call)
            time.sleep(max(call.start - time.monotonic(), 0.0))
            with self._changed:
                if queue.may_start(call):
                    return queue
                queue.leave()
            missed = True

    def _await(self, queue: Queue, call: Call) -> None:
        left = max(call.deadline - time.monotonic(), 0.0)
        call.ready.wait(min(left, threading.TIMEOUT_MAX))
        with self._changed:
            if not call.ready.is_set():
                queue.waiting.remove(call)
                raise queue.too_long(max(queue.ask_at - time.monotonic(), 0.1))
        if call.error is not None:
            raise call.error

    def _queue(self, name: str) -> Queue:
        return self._queues.setdefault(name, Queue(name))

    def _wake(self, queue: Queue) -> None:
        if queue.due() is None:
            return
        self._active.add(queue)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="limits", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _turn_away(self, error: Exception) -> None:
        for queue in self._active:
            while queue.waiting:
                queue.waiting.popleft().refuse(error)

    # --- the thread that asks -----------------------------------------------------------------

    def _work(self) -> None:
        prune_at = time.monotonic()
        try:
            while (queue := self._next()) is not None:
                self._tell(queue)
                self._ask(queue)
                if time.monotonic() >= prune_at:
                    self._session.call("rate_prune")
                    prune_at = time.monotonic() + PRUNE_S
            self._say_goodbye()
        except psycopg.Error as error:
            self._fail(failures.explain(error))
        except Exception as error:  # noqa: BLE001 - the main thread raises it
            self._fail(error)
        finally:
            self._session.close()

    def _next(self) -> Queue | None:
        """The queue to ask for, once it is time; None when the process stops."""
        with self._changed:
            while not self._stop.is_set():
                due = {queue: at for queue in self._active if (at := queue.due()) is not None}
                self._active = set(due)
                queue = min(due, key=due.__getitem__, default=None)
                left = None if queue is None else due[queue] - time.monotonic()
                if left is not None and left <= 0:
                    return queue
                self._changed.wait(left)
            return None

    def _tell(self, queue: Queue) -> None:
        with self._changed:
            refused, queue.refused = queue.refused, []
        if refused:
            after = max((seconds for seconds in refused if seconds is not None), default=None)
            self._session.call("rate_throttled", name=queue.name, after=after)

    def _ask(self, queue: Queue) -> None:
        with self._changed:
            costs, busy = queue.costs(), queue.busy
            succeeded, queue.succeeded = queue.succeeded, 0
            lead, queue.report_at = queue.lead, None
        sent = time.monotonic()
        try:
            reply = self._session.one(
                "rate_take",
                name=queue.name,
                holder=self._holder,
                runner=self.runner,
                costs=costs,
                busy=busy,
                succeeded=succeeded,
                lead=lead,
            )
        except psycopg.Error as error:
            if isinstance(error, failures.NOT_OF_A_ROW):
                raise
            self._refuse(queue, error)
            return
        received = time.monotonic()
        with self._changed:
            self._clock.note(sent, received, reply["now_s"])
            queue.hear(reply, costs, self._clock)

    def _refuse(self, queue: Queue, error: psycopg.Error) -> None:
        """No such limit, or a name that can't be one: what is asked for it fails, for good."""
        why = Permanent(str(failures.explain(error)), code="rate_limit")
        with self._changed:
            while queue.waiting:
                queue.waiting.popleft().refuse(why)

    def _fail(self, error: Exception) -> None:
        with self._changed:
            if self._stop.is_set():
                return
            self._broken = error
            self._turn_away(Retry(str(error), code="rate_limit", counts=False))

    def _say_goodbye(self) -> None:
        try:
            for queue in list(self._queues.values()):
                self._tell(queue)
            self._session.call("rate_release", holder=self._holder)
        except (psycopg.Error, BackfillError, DatabaseUnreachable):
            # nothing is lost: slots of a process that is gone are free with its runner, or in time
            return
