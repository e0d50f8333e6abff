"""Tokens: for administrators."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from runner.web.database import Database
from runner.web.pages.control import back
from runner.web.pages.forms import Form, Sent, User
from runner.web.pages.rendering import html
from runner.web.principal import ROLES, require
from runner.web.problems import Problem

router = APIRouter(include_in_schema=False)

LONGEST_DAYS = 36_500


@router.get("/tokens")
def tokens(request: Request, user: User) -> Response:
    """All tokens."""
    require(user, "admin")
    return _page(request, user)


@router.post("/tokens")
def make(request: Request, user: User, form: Sent) -> Response:
    """Make a token and show its secret, this once."""
    require(user, "admin")
    database: Database = request.app.state.database
    name, role, days = form.get("name"), form.get("role"), form.get("days")
    if role not in ROLES:
        raise Problem("invalid", "a role is viewer, operator or admin")
    if days and not (days.isascii() and days.isdigit() and 0 < int(days[:9]) <= LONGEST_DAYS):
        text = f"Days should be a number from 1 to {LONGEST_DAYS:,}."
        return _page(request, user, form, status=422, trouble={"text": text})
    valid_s = int(days) * 86_400 if days else None
    try:
        (made,) = database.call(user, "create_token", token=name, role=role, valid_s=valid_s)
    except Problem as problem:
        if problem.kind not in ("invalid", "conflict"):
            raise
        text = f"No token was made: {problem.detail}."
        return _page(request, user, form, status=problem.status, trouble={"text": text})
    return _page(request, user, secret={"name": name, "value": made["secret"]})


@router.post("/tokens/revoke")
def revoke(request: Request, user: User, form: Sent) -> Response:
    """Refuse a token from now on."""
    require(user, "admin")
    database: Database = request.app.state.database
    database.call(user, "revoke_token", token=form.get("name"))
    return back("/tokens", "revoked")


def _page(request: Request, user: User, form: Form | None = None, **values: Any) -> Response:
    database: Database = request.app.state.database
    found = database.call(user, "tokens", read_only=True)
    given = {"name": "", "role": "viewer", "days": ""}
    if form is not None:
        given = {name: form.get(name) for name in given}
    return html(
        request, "tokens.html", place="/tokens", tokens=found, given=given,
        **({"secret": None} | values),
    )  # fmt: skip
