"""Calls of one process that wait for one shared limit; what the lock of `Buckets` guards."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.errors import Retry
from runner.loop.limits_clock import DatabaseClock

MOST_AT_ONCE = 100
"""Calls asked for in one statement."""

HEAR_S = 1.0
"""Longest time between two questions while calls wait: so soon a new rate is heard of."""

RENEW_S = 10.0
"""Time between signs of life for slots that are held; their lease is 30 s."""

REPORT_S = 0.02
"""Ends of calls within this time are told together."""

LEAD_S = (0.01, 0.15)
"""First and longest time ahead that calls are asked for, where replies were too late before."""


@dataclass(eq=False, slots=True)
class Call:
    """A call that waits until `deadline` (monotonic) at most.

    `ready` is set with `start` (monotonic), or with `error`.
    """

    tokens: int
    deadline: float
    ready: threading.Event = field(default_factory=threading.Event)
    start: float = 0.0
    within: float = 0.0
    error: Exception | None = None

    def refuse(self, error: Exception) -> None:
        """Let the waiting thread raise this."""
        self.error = error
        self.ready.set()


@dataclass(eq=False, slots=True)
class Queue:
    """One limit as this process knows it.

    `busy` counts calls that run or were told when to start; `counted`: their number is limited.
    """

    name: str
    waiting: deque[Call] = field(default_factory=deque)
    busy: int = 0
    succeeded: int = 0
    refused: list[float | None] = field(default_factory=list)
    counted: bool = False
    reason: str | None = None
    blocked_until: float = 0.0
    lead: float = 0.0
    ask_at: float = 0.0
    report_at: float | None = None
    renew_at: float = 0.0

    def due(self) -> float | None:
        """When the database is to be asked or told next (monotonic); None: not at all."""
        times = []
        if self.refused:
            times.append(0.0)
        if self.waiting:
            times.append(self.ask_at)
        if self.report_at is not None:
            times.append(self.report_at)
        if self.counted and self.busy:
            times.append(self.renew_at)
        return min(times, default=None)

    def join(self, call: Call, *, first: bool = False) -> None:
        """Let a call wait; `first` where its turn had come and was missed."""
        if not self.waiting:
            self.ask_at = time.monotonic()
        if first:
            self.waiting.appendleft(call)
        else:
            self.waiting.append(call)

    def may_start(self, call: Call) -> bool:
        """Whether it is not too late for this call's turn, and nobody said stop meanwhile.

        Where it may not, its turn is lost: made late, calls would add up to more than the rate.
        """
        now = time.monotonic()
        if now < self.blocked_until:
            return False
        if now > call.start + call.within:
            self.lead = min(max(2 * self.lead, LEAD_S[0]), LEAD_S[1])
            return False
        self.lead = 0.9 * self.lead if self.lead > LEAD_S[0] / 10 else 0.0
        return True

    def leave(self) -> None:
        """A call has ended, or has lost its turn."""
        self.busy -= 1
        if self.counted:
            self.report_at = time.monotonic() + (0.0 if self.waiting else REPORT_S)

    def costs(self) -> list[int]:
        """Tokens of the calls to ask for."""
        return [call.tokens for call, _ in zip(self.waiting, range(MOST_AT_ONCE), strict=False)]

    def hear(self, reply: Mapping[str, Any], costs: list[int], clock: DatabaseClock) -> None:
        """Hand out what the database granted of `costs`; turn down what can't wait so long."""
        stamped = clock.monotonic(reply["now_s"])
        self.counted = reply["counted"]
        self.reason = reply["reason"]
        self.renew_at = stamped + RENEW_S
        for tokens, start in zip(costs, reply["starts"], strict=False):
            # somebody who gave up meanwhile may have left his turn to a cheaper call
            if self.waiting and self.waiting[0].tokens <= tokens:
                call = self.waiting.popleft()
                self.busy += 1
                call.start, call.within = stamped + start, reply["within"]
                call.ready.set()
        wait = reply["wait"] or 0.0
        if reply["blocked"]:
            self.blocked_until = max(self.blocked_until, stamped + wait)
        elif not self.refused:
            # over, or lifted by an operator
            self.blocked_until = 0.0
        self.ask_at = stamped + min(wait, HEAR_S)
        for call in [c for c in self.waiting if c.deadline < stamped + wait]:
            self.waiting.remove(call)
            call.refuse(self.too_long(wait))

    def too_long(self, wait: float) -> Retry:
        """What a call raises that can't be made in time; it is no failure of its row."""
        return Retry(
            self.reason or f"{self.name}: its shared rate is used up",
            code="rate_limit",
            after=wait,
            counts=False,
        )
