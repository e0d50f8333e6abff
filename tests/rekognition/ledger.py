"""What was called, when, what came of it, and what of it costs money."""

from __future__ import annotations

import threading
from bisect import bisect_right, insort
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

PAID = frozenset({"IndexFaces", "SearchFaces", "SearchFacesByImage", "DetectFaces"})
"""Operations with a price a call, of groups 1 and 2 of the price list.

Those on collections, ListFaces and DeleteFaces have none.
"""

WINDOW_S = 1.0


def most_in_any_second(times: Iterable[float]) -> int:
    """The most of these moments that lie within less than a second, wherever it begins."""
    most, window = 0, deque[float]()
    for time in sorted(times):
        window.append(time)
        while time - window[0] >= WINDOW_S:
            window.popleft()
        most = max(most, len(window))
    return most


@dataclass
class Calls:
    """The calls of one operation: each that arrived ended as exactly one of the counters."""

    arrived: list[float] = field(default_factory=list)
    """Seconds of the monotonic clock."""
    admitted: list[float] = field(default_factory=list)
    """Those of them that the quota let pass, sorted."""
    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    billed: int = 0

    def as_json(self) -> dict[str, Any]:
        """The numbers."""
        return {
            "arrived": len(self.arrived),
            "admitted": len(self.admitted),
            "answered": self.answered,
            "failed": dict(self.failed),
            "lost": self.lost,
            "billed": self.billed,
            "most_arrived_in_any_second": most_in_any_second(self.arrived),
            "most_admitted_in_any_second": most_in_any_second(self.admitted),
        }


class Ledger:
    """The calls by operation, and the bill of IndexFaces by picture."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: defaultdict[str, Calls] = defaultdict(Calls)
        self._pictures: Counter[str] = Counter()

    def admit(self, operation: str, arrived: float, tps: int) -> bool:
        """Whether fewer than `tps` calls were let in within the second before this one."""
        with self._lock:
            calls = self._calls[operation]
            calls.arrived.append(arrived)
            # Calls that came later may have been seen first: they count too.
            recent = len(calls.admitted) - bisect_right(calls.admitted, arrived - WINDOW_S)
            if recent >= tps:
                return False
            insort(calls.admitted, arrived)
            return True

    def answered(self, operation: str, picture: str | None) -> None:
        """The call did what it should, and its answer is sent."""
        with self._lock:
            self._calls[operation].answered += 1
            self._bill(operation, picture)

    def failed(self, operation: str, code: str) -> None:
        """The call is answered with an error, which costs nothing."""
        with self._lock:
            self._calls[operation].failed[code] += 1

    def lost(self, operation: str, picture: str | None, *, done: bool) -> None:
        """The connection is closed without an answer; where the work is done, it is billed."""
        with self._lock:
            self._calls[operation].lost += 1
            if done:
                self._bill(operation, picture)

    def _bill(self, operation: str, picture: str | None) -> None:
        if operation in PAID:
            self._calls[operation].billed += 1
            if operation == "IndexFaces":
                self._pictures[picture or ""] += 1

    def arrivals(self) -> dict[str, dict[str, list[float]]]:
        """When calls arrived and when some were let in, by operation."""
        with self._lock:
            return {
                operation: {"arrived": list(calls.arrived), "admitted": list(calls.admitted)}
                for operation, calls in self._calls.items()
            }

    def as_json(self) -> dict[str, Any]:
        """The numbers by operation, and how often each external id was paid for."""
        with self._lock:
            calls = {operation: calls.as_json() for operation, calls in self._calls.items()}
            return {"calls": calls, "billed_pictures": dict(self._pictures)}
