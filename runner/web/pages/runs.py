"""Runs: all of them, and one."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from runner.web.database import Calls, Database
from runner.web.pages.forms import User
from runner.web.pages.rendering import html
from runner.web.pages.words import EXIT_REASONS, details, label, number
from runner.web.problems import Problem

router = APIRouter(include_in_schema=False)

PAGE = 50
FAILED = 50
EVENTS = 50
LARGEST = 2**63 - 1


@router.get("/runs")
def runs(request: Request, user: User, task: str = "", before: int | None = None) -> Response:
    """All runs, the newest first."""
    database: Database = request.app.state.database
    found = database.call(
        user,
        "web_runs",
        read_only=True,
        task=task or None,
        run=None,
        status=None,
        before=_key(before),
        limit=PAGE + 1,
    )
    return html(
        request,
        "runs.html",
        place="/runs",
        runs=found[:PAGE],
        task=task,
        older=before is not None,
        next=found[PAGE - 1]["run"] if len(found) > PAGE else None,
    )


@router.get("/runs/{run}")
def one_run(request: Request, user: User, run: int) -> Response:
    """What a run did, and why it ended."""
    database: Database = request.app.state.database
    with database.transaction(user, read_only=True) as calls:
        values = _read(calls, run)
    return html(request, "run.html", place="/runs", may_operate=user.may("operator"), **values)


def _read(calls: Calls, run: int) -> dict[str, Any]:
    found = calls.call("run", run=run) if 0 < run <= LARGEST else []
    if not found:
        raise Problem("not_found", f"there is no run {run}")
    row = found[0]
    (stored,) = calls.call("run_options", run=run)
    figures = calls.call("run_figures", run=run)
    errors = calls.call("run_errors", runs=[run])
    return {
        "run": row,
        "why": EXIT_REASONS.get(row["exit_reason"], row["exit_reason"]),
        "error": errors[0]["why"] if errors else None,
        "options": _options(stored["options"]),
        "figures": figures,
        "labelled": any(one["label"] for one in figures),
        "failed": calls.call("run_failures", run=run, task=row["task"], limit=FAILED)
        if row["failed"] else [],
        "costs": [cost for cost in calls.call("run_costs", run=run) if cost["calls"]],
        "summary": [
            {**one, "name": one["name"].replace("_", " ")}
            for one in calls.call("run_summary", run=run)
        ],
        "events": calls.call(
            "web_events", task=row["task"], action=None, run=run, before=None, limit=EVENTS
        ),
    }  # fmt: skip


def _options(stored: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Options that somebody set, as people read them."""
    return [
        (label(name), number(value) if isinstance(value, float) else _text(value))
        for name, value in sorted((stored or {}).items())
        if value not in (None, "")
    ]


def _text(value: Any) -> str:
    return details({"": value}).removeprefix(": ")


def _key(before: int | None) -> int | None:
    return None if before is None else max(min(before, LARGEST), 0)
