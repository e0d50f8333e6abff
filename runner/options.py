"""What a run is told: values of its task's options, checked alike wherever they come from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from runner.contract import Option, Settings, Task
from runner.errors import UsageError

MOST = 2**63 - 1
"""Greatest number that an option may be: a database's bigint."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A run's options as they are stored, its limit of rows, and its condition.

    `settings` have the limit where it is one for each group of rows: `limit_by`, `limit_each`.
    """

    settings: dict[str, Any]
    limit: int | None
    where: str | None


class OptionsError(UsageError):
    """Options that can't be used. `errors`: the name of each and what is wrong with it."""

    def __init__(self, errors: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{name}: {message}" for name, message in errors))
        self.errors = tuple(errors)


def settings_of(task: Task, stored: Mapping[str, Any]) -> dict[str, Any]:
    """A run's stored options; what they leave out has its default, or what is set here.

    Raises `UsageError` where what is set here can't be used.
    """
    return {**{option.name: _here(task, option) for option in task.options}, **stored}


def served_settings(task: Task, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a run that workers serve, whoever started it and from wherever.

    Raises `UsageError` where it has an option that is set where processes run.
    """
    for option in task.options:
        if option.place and stored.get(option.name) is not None:
            raise UsageError(f"option {option.name} of the run {_set_elsewhere(task, option)}")
    return settings_of(task, stored)


def variable(task: str, option: str) -> str:
    """The environment's variable that sets an option of the place where a process runs."""
    return f"BACKFILL_{task}_{option}".upper()


def _here(task: Task, option: Option) -> Any:
    """An option's default where this process runs."""
    name = variable(task.name, option.name)
    text = os.environ.get(name, "") if option.place else ""
    if not text.strip():
        return default(option)
    try:
        return _stored(option, from_text(option, text))
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error


def _set_elsewhere(task: Task, option: Option) -> str:
    return f"is set where the workers run, by {variable(task.name, option.name)}"


def default(option: Option) -> Any:
    """An option's default in the form that is stored."""
    put = option.stored_as
    return option.default if put is None or option.default is None else put(option.default)


def checked(task: Task, given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given of the task's options as JSON values, in the form that is stored.

    What is null is left out, as what wasn't given: its default is that of the place where a
    process works, and so are options of the place. Raises `OptionsError`.
    """
    known = {option.name: option for option in task.options}
    errors: list[tuple[str, str]] = []
    settings: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            errors.append((name, _unknown(name, known)))
        elif value is not None and known[name].place:
            errors.append((name, _set_elsewhere(task, known[name])))
        elif value is not None:
            try:
                settings[name] = _stored(known[name], value)
            except UsageError as error:
                errors.append((name, str(error)))
    if errors:
        raise OptionsError(errors)
    return settings


def from_text(option: Option, text: str) -> Any:
    """A form's text as the JSON value that `checked` takes; text that is no number stays text."""
    text = text.strip()
    if not text:
        return None
    try:
        if option.kind is bool:
            return {"true": True, "on": True, "false": False, "off": False}.get(text.lower(), text)
        return text if option.kind is str else option.kind(text)
    except ValueError:
        return text


def complete(
    task: Task, settings: Settings, *, limit: int | None, where: str | None, whole: bool = False
) -> Completed:
    """What is stored of a run: with the task's limit where none is given, and its own condition.

    A limit of 0 is none. With `whole` the run is there for all rows, whatever the task's limit.
    """
    usual = None if whole else task.pacing.limit
    limit = (usual if limit is None else limit) or None
    stored, column = dict(settings), task.pacing.limit_by
    if limit is not None and column is not None:
        stored |= {"limit_by": column, "limit_each": limit}
        limit = None
    own = own_condition(task, stored)
    parts = [part for part in (own, where) if part and part.strip()]
    # each in lines of its own: a condition may end in a comment
    both = parts[0] if len(parts) == 1 else " and ".join(f"({part}\n)" for part in parts)
    return Completed(stored, limit, both or None)


def own_condition(task: Task, stored: Mapping[str, Any]) -> str | None:
    """The condition that a run's stored options stand for, as the task's own code writes it.

    It becomes SQL of whoever calls this, and options may have been stored by somebody in psql: each
    is checked again. Raises `OptionsError`.
    """
    if task.condition is None:
        return None
    errors: list[tuple[str, str]] = []
    settings = settings_of(task, stored)
    for option in task.options:
        if stored.get(option.name) is not None:
            try:
                settings[option.name] = _stored(option, stored[option.name])
            except UsageError as error:
                errors.append((option.name, str(error)))
    if errors:
        raise OptionsError(errors)
    return task.condition(settings)


def _stored(option: Option, value: Any) -> Any:
    """The value in the form that is stored. Raises `UsageError`."""
    if option.kind is str:
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise UsageError("should be a text")
        text = _plain(str(value))
        _check_choice(option, text)
        return text if option.stored_as is None else option.stored_as(text)
    if option.kind is bool:
        if not isinstance(value, bool):
            raise UsageError("should be true or false")
        return value
    kinds = int if option.kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not _storable(value):
        raise UsageError(f"should be a{' whole' if option.kind is int else ''} number")
    _check_range(option, value)
    _check_choice(option, value)
    return value


def _storable(number: float) -> bool:
    """Whether it is a number to every program that reads it: no NaN, and none without end."""
    return -MOST <= number <= MOST


def _plain(text: str) -> str:
    """The text, if a database can store it."""
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise UsageError("should be a text without characters that can't be stored")
    return text


def _check_choice(option: Option, value: Any) -> None:
    if option.choices and value not in option.choices:
        raise UsageError(f"should be one of {', '.join(option.choices)}")


def _check_range(option: Option, value: float) -> None:
    if option.minimum is not None and value < option.minimum:
        raise UsageError(f"should be at least {option.minimum:g}")
    if option.maximum is not None and value > option.maximum:
        raise UsageError(f"should be at most {option.maximum:g}")


def _unknown(name: str, known: Mapping[str, Option]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"is no option of this task; did you mean {near[0]}?"
    return f"is no option of this task; it has {', '.join(sorted(known)) or 'none'}"
