"""What passes between the parts of a runner: jobs in, outcomes out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MESSAGE_LIMIT = 500
"""Characters of an error message that are kept."""


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed job. `input` is its row of the needs view, None where it needs work no longer."""

    id: int
    key: str
    attempt: int
    revision: str | None
    input: Mapping[str, Any] | None
    runner: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job's attempt ended; `payload` is the element that `backfill.finish` takes."""

    job: Job
    kind: str
    payload: str
    error_class: str | None = None
    message: str | None = None


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


def outcome(job: Job, verdict: Verdict, milliseconds: int) -> Outcome:
    """The verdict as an outcome of this job; a result that is no JSON fails the job for good."""
    message = verdict.message[:MESSAGE_LIMIT] if verdict.message else verdict.message
    try:
        payload = json.dumps(
            {
                "id": job.id,
                "attempt": job.attempt,
                "outcome": verdict.kind,
                "revision": job.revision,
                "result": verdict.result,
                "error_class": verdict.error_class,
                "error_message": message,
                "after": verdict.after,
                "counts": verdict.counts,
                "ms": milliseconds,
                "spend": verdict.spend_usd,
            },
            allow_nan=False,
        )
    except (TypeError, ValueError) as error:
        bad = Verdict(
            "failed",
            error_class="bad_result",
            message=f"the result can't be written as JSON: {error}",
        )
        return outcome(job, bad, milliseconds)
    return Outcome(job, verdict.kind, payload, verdict.error_class, message)
