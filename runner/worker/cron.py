"""When a schedule is due: cron fields in a time zone, as croniter reads them.

Where clocks are put forward, what would be due in the hour that is left out is due right after it.
Where they are put back, schedules by the hour are due once, and those with a `*` for the minute or
the hour go on through both hours (as Debian's cron does).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import croniter
from croniter.croniter import CroniterError

from runner.errors import UsageError

YEARS = 8
"""How far ahead is looked for the next time: 29 February is that far away in 2096."""

EXAMPLE = "every ten minutes is */10 * * * *, half past two on Mondays 30 2 * * 1"


class Cron:
    """A schedule's times. Raises `UsageError` for fields or a zone that can't be understood."""

    def __init__(self, expression: str, zone: str) -> None:
        fields = expression.split()
        if len(fields) not in (5, 6):
            raise UsageError(
                f"{expression!r} should have 5 fields, and has {len(fields)}; {EXAMPLE}"
            )
        # croniter would draw lots for these, and each worker its own
        if any(re.match(r"[rRhH](\W|$)", field) for field in fields):
            raise UsageError(f"{expression!r} has a field that is drawn by lot; {EXAMPLE}")
        try:
            self._zone: tzinfo = UTC if zone == "UTC" else ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise UsageError(f"there is no time zone {zone!r}; one is Europe/Berlin") from error
        self._expression = expression
        self._by_the_hour = not any(field.startswith("*") for field in fields[:2])
        try:
            self._from(datetime.now(self._zone))
        except (CroniterError, ValueError, KeyError) as error:
            raise UsageError(f"{expression!r} can't be understood; {EXAMPLE}") from error

    def after(self, moment: datetime) -> datetime | None:
        """The first time after this one, in UTC; None: there is none in the next years."""
        times = self._from(moment.astimezone(self._zone))
        while True:
            try:
                found = times.get_next(datetime)
            except CroniterError:
                return None
            if not (self._by_the_hour and self._is_second(found)):
                return _utc(found)

    def before(self, moment: datetime) -> datetime | None:
        """The last time before this one, in UTC."""
        times = self._from(moment.astimezone(self._zone))
        while True:
            try:
                found = times.get_prev(datetime)
            except CroniterError:
                return None
            if not (self._by_the_hour and self._is_second(found)):
                return _utc(found)

    def _is_second(self, found: datetime) -> bool:
        """Whether clocks have shown this time before."""
        first = _utc(found.replace(fold=0))
        return first < _utc(found)

    def _from(self, moment: datetime) -> Any:
        return croniter(self._expression, moment, max_years_between_matches=YEARS)


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def ticks(
    cron: Cron, due: datetime, now: datetime, late: timedelta
) -> list[tuple[datetime, datetime | None]]:
    """The times that are due now, from `due` on, each with the one that follows it.

    Of those that are later than `late` there is but the last.
    """
    last_missed = cron.before(now - late)
    first = due if last_missed is None else max(due, last_missed)
    found: list[tuple[datetime, datetime | None]] = []
    at: datetime | None = first
    while at is not None and at <= now:
        following = cron.after(at)
        found.append((at, following))
        at = following
    return found
