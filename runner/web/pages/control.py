"""What a task's page can be told: start, pause, resume, cancel, retry."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from runner.web.database import Database
from runner.web.pages import fields
from runner.web.pages.forms import Form, Sent, User, checked
from runner.web.pages.rendering import html
from runner.web.pages.runs import LARGEST
from runner.web.pages.task import known, page
from runner.web.pages.words import label
from runner.web.problems import Problem
from runner.web.starting import StartRequest, look, start

router = APIRouter(include_in_schema=False)

TRIED_AGAIN = ("live_run", "paused", "invalid", "conflict", "no_code", "wrong_version")
"""Refusals of a start that its form tells, with what was filled in."""


@router.post("/tasks/{name}/start")
def start_run(request: Request, user: User, form: Sent, name: str) -> Response:
    """Start a run, which workers then serve; before paid calls ask once more."""
    database: Database = request.app.state.database
    try:
        wanted = fields.request(name, known(name), form)
        started = start(database, user, wanted, source="page", key=form.one("key"))
    except Problem as problem:
        if problem.kind == "paid":
            return _ask(request, user, wanted, form)
        if problem.kind in TRIED_AGAIN:
            return page(request, user, name, values=fields.sent(form), problem=problem)
        raise
    return back(_of_task(name), "started" if started.created else "again", started.run)


def _ask(request: Request, user: User, wanted: StartRequest, form: Form) -> Response:
    """Say what the run is expected to cost, and ask. That it can't be said is no obstacle."""
    database: Database = request.app.state.database
    (installed,) = database.call(user, "task", read_only=True, task=wanted.task)
    outlook, unknown = None, None
    try:
        outlook = look(database, user, wanted, 0)
    except Problem as problem:
        unknown = problem.detail
    given = [(key, value) for key, value in fields.sent(form).items() if value]
    shown = [
        (label(key.removeprefix(fields.OWN)), value)
        for key, value in given
        if key != "key" and value != "false"
    ]
    return html(
        request, "confirm.html", place="/", task=installed, given=given, shown=shown,
        outlook=outlook, unknown=unknown, command=shlex.join(_dry_run(wanted)),
    )  # fmt: skip


def _dry_run(wanted: StartRequest) -> Iterator[str]:
    """The command that asks what this run would take, on a host that has the credentials."""
    yield from ("backfill", "run", wanted.task, "--dry-run")
    if wanted.limit is not None:
        yield from ("--limit", str(wanted.limit))
    if wanted.retry_failed:
        yield "--resume"
    code = known(wanted.task)
    for option in code.options if code is not None else ():
        value = wanted.options.get(option.name)
        if value is None or value == option.default:
            continue
        name = option.name.replace("_", "-")
        yield from ((f"--{name}", str(value)) if option.kind is not bool else _switch(name, value))


def _switch(name: str, on: Any) -> tuple[str]:
    return (f"--{name}" if on else f"--no-{name}",)


@router.post("/tasks/{name}/pause")
def pause(request: Request, user: User, form: Sent, name: str) -> Response:
    """Stop every process of the task at its next claim."""
    _call(request, user, "pause", task=name, reason=form.one("reason"))
    return back(_of_task(name), "paused")


@router.post("/tasks/{name}/resume", dependencies=[Depends(checked)])
def resume(request: Request, user: User, name: str) -> Response:
    """Let the task go on."""
    _call(request, user, "resume", task=name)
    return back(_of_task(name), "resumed")


@router.post("/tasks/{name}/retry")
def retry(request: Request, user: User, form: Sent, name: str) -> Response:
    """Make failed rows ready again: of one cause, one row, or all."""
    key = form.one("key")
    (row,) = _call(
        request,
        user,
        "retry",
        task=name,
        error_class=form.one("error_class"),
        keys=None if key is None else [key],
    )
    code = {0: "retried_none", 1: "retried_one"}.get(row["reopened"], "retried")
    return back(_of_task(name), code, row["reopened"])


@router.post("/runs/{run}/cancel")
def cancel(request: Request, user: User, form: Sent, run: int) -> Response:
    """Cancel a run."""
    if not 0 < run <= LARGEST:
        raise Problem("not_found", f"there is no run {run}")
    _call(request, user, "cancel", run=run)
    of_task = form.get("back")
    return back(of_task if of_task.startswith("/tasks/") else f"/runs/{run}", "cancelled", run)


def back(path: str, said: str, number: int | None = None) -> RedirectResponse:
    """To a page that says what was done."""
    query = {"said": said} | ({} if number is None else {"number": str(number)})
    return RedirectResponse(f"{path}?{urlencode(query)}", status_code=303)


def _call(request: Request, user: User, statement: str, **parameters: Any) -> list[dict[str, Any]]:
    database: Database = request.app.state.database
    return database.call(user, statement, **parameters)


def _of_task(name: str) -> str:
    return f"/tasks/{quote(name, safe='')}"
