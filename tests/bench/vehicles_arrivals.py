"""What a host saw: when each request came, when it was over, and how it was answered."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Tally:
    """A host's view of a while; times are seconds of its monotonic clock."""

    requests: int = 0
    fullest_second: int = 0
    most_at_once: int = 0
    seconds: float = 0.0
    answers: dict[str, int] = field(default_factory=dict)
    trapped: int = 0
    cpu_seconds: float = 0.0


class Arrivals:
    """Counts requests of several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began = array("d")
        self._ended = array("d")
        self._answers = Counter[str]()
        self.trapped = 0

    def add(self, began: float, ended: float, answer: str) -> None:
        """A request that came and was over at these times."""
        with self._lock:
            self._began.append(began)
            self._ended.append(max(began, ended))
            self._answers[answer] += 1

    def take(self, cpu_seconds: float) -> Tally:
        """What was counted since the last time."""
        with self._lock:
            began, ended, answers, trapped = self._began, self._ended, self._answers, self.trapped
            self._began, self._ended, self._answers = array("d"), array("d"), Counter()
            self.trapped = 0
        times = sorted(began)
        return Tally(
            requests=len(times),
            fullest_second=fullest_second(times),
            most_at_once=most_at_once(times, sorted(ended)),
            seconds=times[-1] - times[0] if times else 0.0,
            answers=dict(answers.most_common()),
            trapped=trapped,
            cpu_seconds=cpu_seconds,
        )


def fullest_second(times: Sequence[float]) -> int:
    """Most requests in any second, wherever it begins; `times` are in order."""
    return max((bisect_left(times, at + 1) - i for i, at in enumerate(times)), default=0)


def most_at_once(began: Sequence[float], ended: Sequence[float]) -> int:
    """Most requests that were going on at any moment; both are in order."""
    most = over = 0
    for begun, at in enumerate(began, 1):
        while ended[over] <= at and over < begun - 1:
            over += 1
        most = max(most, begun - over)
    return most
