"""Orphans of a storage: objects that no row of an installed task refers to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count, islice

from runner.database.session import Session
from runner.errors import Permanent, Retry
from runner.storage import Listed, Storage

BATCH = 1_000
"""Objects that the database is asked about at once."""

THREADS = 8
"""Objects deleted at once: an S3 service takes two round trips for one."""

MOST_FAILURES = 20
"""Objects that couldn't be deleted before the rest is left to another day."""

Tell = Callable[[str], None]
Outcome = bool | str | None
"""Whether an object was deleted, why it couldn't be, or None where that wasn't tried any more."""


@dataclass(slots=True)
class Found:
    """What a storage holds, by who wants it. `young` aren't kept, and may be kept before long."""

    objects: int = 0
    bytes: int = 0
    kept: int = 0
    young: int = 0
    orphans: list[Listed] = field(default_factory=list)

    @property
    def orphan_bytes(self) -> int:
        """Bytes of all orphans."""
        return sum(orphan.size for orphan in self.orphans)


@dataclass(slots=True)
class Removed:
    """What became of orphans; `left` were put again, or are kept or gone, since they were found."""

    objects: int = 0
    bytes: int = 0
    left: int = 0
    half_written: int = 0
    failures: list[str] = field(default_factory=list)

    def note(self, one: Listed, outcome: Outcome) -> None:
        """Count what became of one."""
        if isinstance(outcome, str):
            self.failures.append(outcome)
        elif outcome:
            self.objects += 1
            self.bytes += one.size
        elif outcome is not None:
            self.left += 1


def kept(session: Session, paths: Sequence[str]) -> set[str]:
    """Those of the paths that an installed task's rows refer to."""
    return {row["path"] for row in session.call("storage_kept", paths=list(paths))}


def scan(storage: Storage, session: Session, before: datetime, tell: Tell) -> Found:
    """Look through the whole storage for objects that nobody keeps, put before then.

    Each object is listed first and asked for afterwards, so one that is stored meanwhile, and the
    row that refers to it, can't be missed.
    """
    found = Found()
    for listed in _batches(storage.list()):
        wanted = kept(session, [one.path for one in listed])
        for one in listed:
            found.objects += 1
            found.bytes += one.size
            if one.path in wanted:
                found.kept += 1
            elif one.modified >= before:
                found.young += 1
            else:
                found.orphans.append(one)
        tell(f"{found.objects:,} objects listed, {len(found.orphans):,} of them orphans")
    return found


def remove(
    storage: Storage, session: Session, orphans: Sequence[Listed], before: datetime, tell: Tell
) -> Removed:
    """Delete orphans, unless they were put again since `before` or somebody keeps them now."""
    removed = Removed()
    stop = threading.Event()
    failures = count(1)

    def delete(one: Listed) -> Outcome:
        try:
            return None if stop.is_set() else storage.delete(one.path, before=before)
        except (Permanent, Retry) as error:
            # here, since whoever collects the outcomes may be many objects behind
            if next(failures) >= MOST_FAILURES:
                stop.set()
            return str(error)

    with ThreadPoolExecutor(THREADS) as threads:
        try:
            for batch in _batches(orphans):
                # Asked again: whoever was to agree may have thought about it for a day.
                wanted = kept(session, [one.path for one in batch])
                unwanted = [one for one in batch if one.path not in wanted]
                removed.left += len(batch) - len(unwanted)
                for one, outcome in zip(unwanted, threads.map(delete, unwanted), strict=True):
                    removed.note(one, outcome)
                tell(f"{removed.objects:,} of {len(orphans):,} orphans deleted")
                if stop.is_set():
                    return removed
        finally:
            stop.set()  # those that wait for a thread, where this was interrupted
    removed.half_written = storage.tidy(before)
    return removed


def _batches(listed: Iterable[Listed]) -> Iterator[list[Listed]]:
    rest = iter(listed)
    while batch := list(islice(rest, BATCH)):
        yield batch
