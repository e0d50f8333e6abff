"""What passes between the parts of a runner: jobs in, outcomes out."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

from runner.errors import Figure

MESSAGE_LIMIT = 500
"""Characters of an error message that are kept."""

CLASS_LIMIT = 100
"""Characters of an error class that are kept."""

WAIT_LIMIT_S = 30 * 86_400.0
"""Longest wait before a retry that is believed, whatever a server's Retry-After says."""

SPEND_LIMIT_USD = 1_000_000.0

FIGURE_NAME = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,60}")
FIGURE_LABEL = re.compile(r"([a-z][a-z0-9_]*:.*)?", re.DOTALL)
FIGURE_LABEL_LIMIT = 300
"""Characters; this and the length of a name are constraints of `backfill.run_figure`."""

RESULT_LIMIT = 64 * 1024 * 1024
"""Characters of a result's JSON. PostgreSQL's own limit is 255 MiB for all elements of an array
(JENTRY_OFFLENMASK), and past 1 GiB a statement costs the connection."""


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed job. `input` is its row of the needs view, None where it needs work no longer."""

    id: int
    key: str
    attempt: int
    revision: str | None
    input: Mapping[str, Any] | None
    runner: int


computed: ContextVar[Job | None] = ContextVar("computed", default=None)
"""The job that this thread computes. A thread that outlived the claim of its job may find the same
row claimed anew by the same process: the attempt tells them apart."""


class EffectSaid(NamedTuple):
    """What became of a call, as `backfill.note_effects` takes it."""

    id: str
    state: str
    usd: str | None
    note: str | None


Halts = Literal["", "process", "task"]
"""What can't go on until somebody acts."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job's attempt ended; `payload` is the element that `backfill.finish` takes."""

    job: Job
    kind: str
    payload: str
    error_class: str | None = None
    message: str | None = None
    spend_usd: float = 0.0
    halt: Halts = ""
    effects: tuple[EffectSaid, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """An attempt's end in the words of `backfill.finish`, before it is put into JSON."""

    kind: str
    result: Mapping[str, Any] | None = None
    error_class: str | None = None
    message: str | None = None
    after: float | None = None
    counts: bool = True
    spend_usd: float = 0.0
    figures: tuple[Figure, ...] = ()
    halt: Halts = ""
    effects: tuple[EffectSaid, ...] = ()


def outcome(job: Job, verdict: Verdict, milliseconds: int) -> Outcome:
    """The verdict as an outcome of this job.

    A result that is no JSON, or figures that can't be counted, fail the job for good.
    """
    if (wrong := wrong_with(verdict.figures)) is not None:
        return _bad_result(job, wrong, milliseconds, verdict)
    words = plain(verdict.message, MESSAGE_LIMIT)
    kind = plain(verdict.error_class, CLASS_LIMIT)
    if verdict.kind in ("retry", "failed"):
        # an exception may have nothing to say, and the database wants a reason
        kind, words = kind or "unknown", words or "no message"
    try:
        payload = json.dumps(
            {
                "id": job.id,
                "attempt": job.attempt,
                "outcome": verdict.kind,
                "revision": job.revision,
                "result": None if verdict.result is None else dict(verdict.result),
                "error_class": kind,
                "error_message": words,
                "after": verdict.after,
                "counts": verdict.counts,
                "ms": milliseconds,
                "spend": verdict.spend_usd,
                "figures": [_counted(figure) for figure in verdict.figures] or None,
                "effects": [said._asdict() for said in verdict.effects] or None,
            },
            allow_nan=False,
        )
    except (TypeError, ValueError, RecursionError) as error:
        why = f"the result can't be written as JSON: {error}"
        return _bad_result(job, why, milliseconds, verdict)
    if len(payload) > RESULT_LIMIT:
        size, most = (n // 2**20 for n in (len(payload), RESULT_LIMIT))
        why = f"the result is {size} MiB of JSON, over {most}"
        return _bad_result(job, why, milliseconds, verdict)
    spend = money(verdict.spend_usd)
    return Outcome(job, verdict.kind, payload, kind, words, spend, verdict.halt, verdict.effects)


def wrong_with(figures: Any) -> str | None:
    """Why the first of these that is no `Figure` can't be counted; None: all of them can be."""
    if not isinstance(figures, (tuple, list)):
        return f"figures should be a tuple and are {type(figures).__name__}"
    for figure in figures:
        if not isinstance(figure, Figure):
            return f"figures should be of type Figure and one is {type(figure).__name__}"
        name, amount, label = cast("tuple[Any, Any, Any]", figure)
        if not isinstance(name, str) or not FIGURE_NAME.fullmatch(name):
            return f"a figure's name should have 1 to 60 characters, on one line, and is {name!r}"
        number = isinstance(amount, (int, float)) and not isinstance(amount, bool)
        if not number or not 0 <= amount < math.inf:
            return f"the figure {name!r} should be a number from 0 on and is {amount!r}"
        if not isinstance(label, str) or not FIGURE_LABEL.fullmatch(label):
            return f"the figure {name!r} should be labelled kind:thing and is {label!r}"
    return None


def _counted(figure: Figure) -> dict[str, Any]:
    """A figure for `backfill.finish`. Things are named by data, so a long name is cut."""
    return {**figure._asdict(), "label": plain(figure.label, FIGURE_LABEL_LIMIT)}


def seconds(value: object) -> float | None:
    """A wait in seconds, at most `WAIT_LIMIT_S`, or None where it is no number of seconds."""
    if isinstance(value, (int, float)) and not math.isnan(value) and value >= 0:
        return min(float(value), WAIT_LIMIT_S)
    return None


def money(value: object) -> float:
    """An amount in US dollars; none where it is no amount that a row can have cost."""
    if isinstance(value, (int, float)) and 0 <= value < SPEND_LIMIT_USD:
        return float(value)
    return 0.0


def plain(text: str | None, most: int) -> str | None:
    """The text as PostgreSQL can store it: no NUL, no lone surrogates, not too long."""
    if text is None:
        return None
    clean = str(text).replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def _bad_result(job: Job, message: str, milliseconds: int, verdict: Verdict) -> Outcome:
    bad = Verdict(
        "failed",
        error_class="bad_result",
        message=message,
        spend_usd=money(verdict.spend_usd),
        effects=verdict.effects,
    )
    return outcome(job, bad, milliseconds)
