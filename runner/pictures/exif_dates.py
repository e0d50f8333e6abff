"""EXIF's dates as ISO 8601, and nonsense as what it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

EARLIEST_YEAR = 1900
"""Software writes year 1 or 1601 where its clock was never set."""

LATEST_YEAR = 2200
"""And 9999 for "never", which with an offset is a year that databases' drivers can't read."""

_DATE = re.compile(r"(\d{4})[:/.-](\d\d)[:/.-](\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.\d+)?")
"""`2023:04:05 10:11:12` by the standard; other separators are seen as well."""

_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)|Z")
_FARTHEST = timedelta(hours=14)
"""Of all time zones from UTC (Kiribati)."""

_UNKNOWN = re.compile(r"[\s:]*")
"""The standard's way to say that a date is not known."""


@dataclass(frozen=True, slots=True)
class Dated:
    """The date as ISO 8601, if there is one, and which texts are no dates."""

    text: str | None
    problems: tuple[str, ...]


def first_date(candidates: Iterable[tuple[str | None, str | None]]) -> Dated:
    """The first real date of pairs of a date's text and its offset from UTC, as stored."""
    problems: list[str] = []
    for date, offset in candidates:
        if date is None or _UNKNOWN.fullmatch(date):
            continue
        moment = _parse(date)
        if moment is None:
            problems.append(f"the date “{date}”, which is no date")
            continue
        zone = _zone(offset)
        if offset and zone is None:
            problems.append(f"the time zone “{offset}”, which is none")
        return Dated(moment.replace(tzinfo=zone).isoformat(), _distinct(problems))
    return Dated(None, _distinct(problems))


def _parse(text: str) -> datetime | None:
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    try:
        moment = datetime(*(int(part) for part in found.groups()))  # type: ignore[arg-type]  # noqa: DTZ001 - EXIF has wall clock time
    except ValueError:
        return None
    return moment if EARLIEST_YEAR <= moment.year <= LATEST_YEAR else None


def _zone(text: str | None) -> timezone | None:
    found = _OFFSET.fullmatch(text or "")
    if found is None:
        return None
    if found[1] is None:
        return UTC
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    if offset > _FARTHEST or int(found[3]) >= 60:
        return None
    return timezone(-offset if found[1] == "-" else offset)


def _distinct(texts: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
