"""A task's page: what it does, how far it is, what happens, and everything to steer it with."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from runner import registry
from runner.contract import Task
from runner.errors import UsageError
from runner.web.database import Calls, Database
from runner.web.live import look
from runner.web.pages import fields
from runner.web.pages.forms import User
from runner.web.pages.rendering import html
from runner.web.pages.review import waiting
from runner.web.pages.runs import LARGEST
from runner.web.pages.words import label, spark, state_word
from runner.web.problems import Problem

router = APIRouter(include_in_schema=False)

SCORED = "quality_score"
RUNS = 5
DAYS = 7
CAUSES = 20
FAILURES = 200


@router.get("/tasks/{name}")
def one_task(request: Request, user: User, name: str, like: int | None = None) -> Response:
    """A task. `like`: a run whose options are filled into the form."""
    values: Mapping[str, Any] = {}
    if like is not None and 0 < like <= LARGEST:
        database: Database = request.app.state.database
        stored = database.call(user, "run_options", read_only=True, run=like)
        values = fields.like(stored[0]["options"]) if stored and stored[0]["task"] == name else {}
    return page(request, user, name, values=values)


@router.get("/tasks/{name}/failures")
def failures(request: Request, user: User, name: str, cause: str = "") -> Response:
    """Rows that failed for good, of one cause or all."""
    database: Database = request.app.state.database
    with database.transaction(user, read_only=True) as calls:
        calls.call("task", task=name)
        rows = calls.call("failures", task=name, error_class=cause or None, limit=FAILURES)
    return html(
        request, "failures.html", place="/", task=name, cause=cause, rows=rows, most=FAILURES,
        may_operate=user.may("operator"),
    )  # fmt: skip


@router.get("/tasks/{name}/scores")
def scores(request: Request, user: User, name: str) -> Response:
    """How many rows have which score; reads the application's table."""
    database: Database = request.app.state.database
    if name != SCORED:
        raise Problem("not_found", f"{name} gives no scores")
    with database.transaction(user, read_only=True) as calls:
        calls.call("task", task=name)
        bands = calls.call("score_bands")
    most = max((band["rows"] for band in bands), default=0)
    shown = [{**band, "width": round(1000 * band["rows"] / most) if most else 0} for band in bands]
    total = sum(band["rows"] for band in bands)
    return html(
        request, "scores.html", place="/", task=name, bands=shown if total else [], total=total
    )


def page(
    request: Request,
    user: User,
    name: str,
    *,
    values: Mapping[str, Any],
    problem: Problem | None = None,
) -> Response:
    """The page with these values in the form of the next run, and what was wrong with them."""
    database: Database = request.app.state.database
    code = known(name)
    with database.transaction(user, read_only=True) as calls:
        found = _read(calls, name)
    seen = look(database, user, name)
    live = seen.state["live_runs"]
    errors = _errors(problem)
    word = state_word(seen.state["state"], seen.state["wait_reason"], bool(live))
    return html(
        request,
        "task.html",
        place="/",
        status=200 if problem is None else problem.status,
        trouble=_trouble(problem, errors),
        **found,
        state={**seen.state, "word": word},
        spark=spark(seen.state["spark"]),
        lines=seen.lines,
        more=seen.more,
        runners=seen.runners,
        cursor=str(seen.cursor),
        may_operate=user.may("operator"),
        known=code is not None,
        paid=code is not None and code.expected is not None,
        notes=list(_notes(found["task"], code)),
        fields=fields.groups(code, found["task"], values, errors),
        elsewhere=fields.set_elsewhere(code),
        filled=bool(values),
        live_runs=live,
        key=secrets.token_urlsafe(12),
    )


def known(name: str) -> Task | None:
    """The task's code, if this server has it."""
    try:
        return registry.find(name)
    except UsageError:
        return None


def _read(calls: Calls, name: str) -> dict[str, Any]:
    (installed,) = calls.call("task", task=name)
    return {
        "task": installed,
        "runs": calls.call("runs", task=name, limit=RUNS),
        "causes": calls.call("failure_causes", task=name)[:CAUSES],
        "schedules": calls.call("web_schedules", task=name, name=None),
        "windows": calls.call("web_windows", task=name),
        "watches": [one for one in calls.call("watches", task=name) if one["since"]],
        "guards": calls.call("guards", guard=None, task=name),
        "budgets": calls.call("budgets", task=name),
        "spend": calls.call("console_spend", task=name, days=DAYS),
        "results": list(_results(calls, name)),
    }


def _results(calls: Calls, name: str) -> Iterator[dict[str, str]]:
    """Links to pages of results."""
    yield from (one for one in waiting(calls) if one["task"] == name)
    if name == SCORED:
        yield {"href": f"/tasks/{name}/scores", "text": "How many images have which score"}


def _errors(problem: Problem | None) -> dict[str, str]:
    if problem is None:
        return {}
    return {one["place"]: one["message"] for one in problem.more.get("errors", ())}


def _trouble(problem: Problem | None, errors: Mapping[str, str]) -> dict[str, Any] | None:
    if problem is None:
        return None
    named = [
        {"name": name, "text": text, "label": label(name.removeprefix(fields.OWN))}
        for name, text in errors.items() if name
    ]  # fmt: skip
    text = "These options can't be used." if named else f"Nothing was started: {problem.detail}."
    return {"text": text, "errors": named}


def _notes(installed: Mapping[str, Any], code: Task | None) -> Iterator[str]:
    """What is safe about it, from what is known of it."""
    table = (installed["binding"] or {}).get("table")
    if table:
        yield f"It looks at rows of {table}."
    yield "Rows that are done are left out, so it is safe to start it again at any time."
    yield "It can be paused or cancelled at any time; the next run goes on from there."
    pause = installed["delay_ms"]
    gently = f", with {pause / 1000:g}\N{NO-BREAK SPACE}s between two batches" if pause else ""
    yield f"A process takes {installed['batch_size']:,} rows at once{gently}."
    yield (
        f"A row that fails is tried {installed['max_attempts']} times, unless trying again can't "
        "help; then it is failed, and can be retried here."
    )
    if code is not None and code.pacing.limit is not None:
        each = f" of each {code.pacing.limit_by}" if code.pacing.limit_by else ""
        yield f"Without a limit a run takes {code.pacing.limit:,} rows{each} at most."
    if code is not None and code.expected is not None:
        yield (
            "It may make calls that cost money: you are told before what to expect, and asked, "
            "and a budget is kept to."
        )
    yield "It runs in workers beside the database, not in this page."
