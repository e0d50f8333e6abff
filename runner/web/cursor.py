"""How far somebody has read a task's activity: the same for every server process.

Rows have a number in their process, events one in the audit; both only grow. A process's rows
become visible in the order of their numbers. Events may not: one is numbered before its transaction
ends. So the newest ones are remembered one by one, until a minute after they were written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MOST_EVENTS = 40
"""Events that are remembered one by one."""

LONGEST = 8000
"""Characters of a cursor; what a browser sends back is a header."""

_FORM = re.compile(
    r"e(\d{1,18})((?:\.\d{1,18})*)((?:_r\d{1,18}\.\d{1,18})*)(?:_b(\d{1,18})\.(\d{1,18}))?"
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """What is known: events up to `after` and those in `beyond`, rows by process, the last batch.

    `rows` has the number of the newest known row of each process; `batch` is (run, batch).
    """

    after: int = 0
    beyond: frozenset[int] = frozenset()
    rows: Mapping[int, int] = field(default_factory=dict)
    batch: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        events = "".join(f".{number}" for number in sorted(self.beyond))
        rows = "".join(f"_r{runner}.{number}" for runner, number in sorted(self.rows.items()))
        batch = f"_b{self.batch[0]}.{self.batch[1]}" if self.batch[0] else ""
        return f"e{self.after}{events}{rows}{batch}"

    @classmethod
    def parse(cls, text: str | None) -> Cursor | None:
        """What `str` made; None for what it can't have made."""
        found = _FORM.fullmatch(text) if text and len(text) <= LONGEST else None
        if found is None:
            return None
        rows = [pair.split(".") for pair in found[3].split("_r")[1:]]
        return cls(
            int(found[1]),
            frozenset(int(number) for number in found[2].split(".")[1:]),
            {int(runner): int(number) for runner, number in rows},
            (int(found[4]), int(found[5])) if found[4] else (0, 0),
        )

    def knows_event(self, number: int) -> bool:
        """Whether this event was read."""
        return number <= self.after or number in self.beyond

    def knows_row(self, runner: int, number: int) -> bool:
        """Whether this row of a process was read."""
        return number <= self.rows.get(runner, 0)

    def knows_batch(self, run: int, batch: int) -> bool:
        """Whether this batch of a run was told of, or a later one."""
        return (run, batch) <= self.batch

    def advanced(
        self, settled: int, fresh: frozenset[int], rows: Mapping[int, int], batch: tuple[int, int]
    ) -> Cursor:
        """This and what was read since: events up to `settled`, and the fresh ones beyond it."""
        after = max(self.after, settled)
        beyond = sorted(number for number in self.beyond | fresh if number > after)
        if len(beyond) > MOST_EVENTS:
            after = beyond[-MOST_EVENTS - 1]
            beyond = beyond[-MOST_EVENTS:]
        newest = {runner: max(number, self.rows.get(runner, 0)) for runner, number in rows.items()}
        return Cursor(after, frozenset(beyond), newest, max(self.batch, batch))

    def joined(self, other: Cursor) -> Cursor:
        """What either knows."""
        rows = {
            runner: max(self.rows.get(runner, 0), other.rows.get(runner, 0))
            for runner in {*self.rows, *other.rows}
        }
        return self.advanced(other.after, other.beyond, rows, other.batch)
