"""The form that starts a run: its fields, and the request that it is read as."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runner.contract import Option, Task
from runner.options import default, from_text, variable
from runner.web.pages.forms import Form
from runner.web.pages.words import label, number, sentence
from runner.web.problems import Problem
from runner.web.starting import MOST_PROCESSES, StartRequest

OWN = "options."
"""What the names of the task's own options begin with."""

Values = Mapping[str, Any]
"""Of each field what is to stand in it; what isn't there has its default."""


def groups(
    task: Task | None, installed: Mapping[str, Any], values: Values, errors: Mapping[str, str]
) -> list[dict[str, Any]]:
    """The form's fields, those of every task and the task's own. `errors`: by the fields' names."""
    if task is None:
        return []
    every = list(_common(task, installed, values))
    own = [_own(one, values) for one in _asked(task)]
    for field in (*every, *own):
        field["error"] = errors.get(field["name"])
    found = [{"name": "Of this run", "fields": every}, {"name": f"Of {task.name}", "fields": own}]
    return [group for group in found if group["fields"]]


def request(task: str, known: Task | None, form: Form) -> StartRequest:
    """What a form asks for. Raises `Problem` invalid for what is no number."""
    errors: list[dict[str, str]] = []

    def whole(name: str) -> int | None:
        text = form.get(name).replace(",", "")
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            errors.append({"place": name, "message": "should be a whole number"})
            return None
        return int(text)

    wanted = StartRequest(
        task,
        options={
            option.name: from_text(option, form.get(OWN + option.name))
            for option in (_asked(known) if known is not None else ())
        },
        limit=whole("limit"),
        retry_failed=form.get("retry_failed") == "true",
        batch_size=whole("batch_size"),
        delay_ms=whole("delay_ms"),
        processes=whole("processes") or 1,
        yes=form.get("yes") == "true",
    )
    if errors:
        raise Problem("invalid", "the options can't be used", errors=errors)
    return wanted


def like(options: Mapping[str, Any]) -> dict[str, Any]:
    """A form's values as in an earlier run, from its stored options."""
    found = {OWN + name: value for name, value in options.items()}
    if "processes" in options:
        found["processes"] = options["processes"]
    if "limit_each" in options:
        found["limit"] = options["limit_each"]
    return found


def sent(form: Form) -> dict[str, str]:
    """A form's values as it was sent."""
    return {name: form.get(name) for name in form.values if name not in ("csrf", "yes")}


def _asked(task: Task) -> list[Option]:
    """Options that a form asks for; those that name places are set where the workers run."""
    return [option for option in task.options if not option.place]


def set_elsewhere(task: Task | None) -> list[str]:
    """The variables of the workers' environment that set the other options."""
    return [variable(task.name, one.name) for one in task.options if one.place] if task else []


def _common(task: Task, installed: Mapping[str, Any], values: Values) -> Iterator[dict[str, Any]]:
    pace = task.pacing
    each = "" if pace.limit_by is None else f" of each {pace.limit_by}"
    usual = "all rows" if pace.limit is None else f"{pace.limit:,}"
    unlimited = "" if pace.limit is None else "; 0: no limit"
    yield _number(
        "limit", f"Most rows{each}", values, usual, f"Of all processes together{unlimited}."
    )
    yield _number(
        "processes", "Processes", values, "1", f"Slots of workers at once, up to {MOST_PROCESSES}."
    )
    yield _number(
        "batch_size", "Rows at once", values, number(installed["batch_size"]),
        f"Claimed by a process at once, up to {pace.batch_size_max:,}.",
    )  # fmt: skip
    yield _number(
        "delay_ms", "Pause between batches", values, number(installed["delay_ms"]),
        f"Milliseconds, up to {pace.delay_ms_max:,}.",
    )  # fmt: skip
    yield {
        "name": "retry_failed", "label": "Try failed rows again, too", "kind": "switch",
        "value": _is_true(values.get("retry_failed")), "help": "", "error": None,
    }  # fmt: skip


def _number(name: str, label: str, values: Values, usual: str, text: str) -> dict[str, Any]:
    return {
        "name": name, "label": label, "kind": "number", "whole": True, "help": text, "error": None,
        "value": _text(values.get(name)), "placeholder": usual,
    }  # fmt: skip


def _own(option: Option, values: Values) -> dict[str, Any]:
    usual = default(option)
    value = values.get(OWN + option.name, usual if option.kind is bool or option.choices else None)
    field = {
        "name": OWN + option.name,
        "label": label(option.name),
        "help": _help(option),
        "value": _text(value),
        "placeholder": _text(usual),
        "kind": "text",
        "whole": option.kind is int,
        "error": None,
    }
    if option.kind is bool:
        return field | {"kind": "switch", "value": _is_true(value)}
    if option.choices:
        return field | {"kind": "choice", "choices": [str(one) for one in option.choices]}
    if option.kind in (int, float):
        return field | {"kind": "number"}
    return field


def _help(option: Option) -> str:
    text = sentence(option.help)
    low, high = option.minimum, option.maximum
    if low is not None and high is not None:
        text += f" ({low:,g} to {high:,g})"
    return text + "."


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _is_true(value: Any) -> bool:
    return value in (True, "true")
