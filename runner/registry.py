"""Which tasks there are: those of installed packages, and those that `BACKFILL_TASKS` names.

A package declares its task as an entry point, a task in a plain file is named in the environment:

    [project.entry-points."pgbackfill.tasks"]
    thumbnail = "mypackage.backfills:thumbnail"

    BACKFILL_TASKS=backfills:thumbnail,backfills:face_index

A task's module is imported only when the task is asked for, and one that can't be imported is in
nobody else's way.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path

from runner.contract import Task
from runner.errors import UsageError

GROUP = "pgbackfill.tasks"
VARIABLE = "BACKFILL_TASKS"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A place that a task is found at; `name` is empty where only the import tells it."""

    name: str
    origin: str
    load: Callable[[], object]

    def might_be(self, name: str) -> bool:
        """Whether what it is called after looks like that task."""
        return name in (self.name, *self.origin.replace(":", ".").split("."))


def find(name: str) -> Task:
    """The task of this name.

    Raises `UsageError` where there is none (it names the known ones and a close match), where two
    have the name, or where it can't be loaded.
    """
    entries = list(_entries())
    found: list[tuple[Task, str]] = []
    trouble: list[UsageError] = []
    for entry in entries:
        if entry.name not in ("", name):
            continue
        try:
            task = _load(entry)
        except UsageError as error:
            if entry.might_be(name):
                raise
            trouble.append(error)
            continue
        if task.name == name and all(task is not other for other, _ in found):
            found.append((task, entry.origin))
    if len(found) > 1:
        raise UsageError(
            f"two tasks are named {name}: {found[0][1]} and {found[1][1]}; rename one of them"
        )
    if not found:
        raise _unknown(name, trouble)
    return found[0][0]


def all_tasks() -> dict[str, Task]:
    """Every task that can be loaded, by name and in order of names; see `broken` for the others."""
    return dict(sorted(_survey()[0].items()))


def broken() -> dict[str, str]:
    """Why a task can't be loaded, by the place it was to come from."""
    return _survey()[1]


def _survey() -> tuple[dict[str, Task], dict[str, str]]:
    tasks: dict[str, Task] = {}
    trouble: dict[str, str] = {}
    for entry in _entries():
        try:
            task = _load(entry)
        except UsageError as error:
            trouble[entry.origin] = str(error)
            continue
        if tasks.setdefault(task.name, task) is not task:
            trouble[entry.origin] = f"another task is named {task.name} as well; rename one of them"
    return tasks, trouble


def _entries() -> Iterator[_Entry]:
    for point in entry_points(group=GROUP):
        yield _Entry(point.name, point.value, point.load)
    for place in os.environ.get(VARIABLE, "").split(","):
        if place.strip():
            yield _Entry("", place.strip(), _importer(place.strip()))


def _importer(place: str) -> Callable[[], object]:
    def load() -> object:
        module_name, separator, attribute = place.partition(":")
        if not separator or not module_name or not attribute:
            raise UsageError(f"{VARIABLE}: {place!r} should look like module:attribute")
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)
        target: object = importlib.import_module(module_name)
        for part in attribute.split("."):
            target = getattr(target, part)
        return target

    return load


def _load(entry: _Entry) -> Task:
    try:
        found = entry.load()
    except UsageError:
        raise
    except Exception as error:
        # a user's module may fail at import in any way, and only its own task is lost by it
        words = " ".join(str(error).split()) or "no message"
        raise UsageError(
            f"the task at {entry.origin} can't be loaded ({type(error).__name__}: {words}); "
            f"try: python -c 'import {entry.origin.partition(':')[0]}'"
        ) from error
    if not isinstance(found, Task):
        raise UsageError(
            f"{entry.origin} is a {type(found).__name__}; it should be a runner.contract.Task"
        )
    if entry.name not in ("", found.name):
        raise UsageError(
            f"the entry point {entry.name} = {entry.origin} holds a task named {found.name}; "
            "give both the same name"
        )
    return found


def _unknown(name: str, trouble: list[UsageError]) -> UsageError:
    known = all_tasks()
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    words = f"there is no task {name!r}"
    words += f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known) or 'none'}"
    if near and len(known) > 1:
        words += f" known: {', '.join(known)}"
    if trouble:
        words += f" ({trouble[0]})"
    return UsageError(words)
