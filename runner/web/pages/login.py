"""Logging in with a token, and out."""

from __future__ import annotations

import re
import secrets
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from runner.web.database import Database
from runner.web.pages.forms import Form, checked, unchecked
from runner.web.pages.rendering import html
from runner.web.principal import LONGEST_SECRET, LoginNeeded, cookie_name, digest, logged_in

router = APIRouter(include_in_schema=False)

LASTS = timedelta(hours=12)
"""A session at most; a revoked token ends it at once."""

_OWN_PATH = re.compile(r"/(?![/\\])[!-~]*")
REASONS = {
    "revoked": "Your token was revoked.",
    "expired": "Your token has expired.",
    "session over": "Your session is over; log in again.",
}


@router.get("/login")
def login(request: Request, next: str = "/", reason: str = "") -> Response:  # noqa: A002
    """The page to log in; who is logged in goes on."""
    try:
        logged_in(request)
    except LoginNeeded as needed:
        text = REASONS.get(reason) or REASONS.get(needed.reason)
        return html(
            request, "login.html", next=_own(next), trouble={"text": text} if text else None
        )
    return _to(_own(next))


@router.post("/login")
def log_in(request: Request, form: Annotated[Form, Depends(unchecked)]) -> Response:
    """Make a session of a token."""
    secret, where = form.get("token"), _own(form.get("next"))
    if not secret or len(secret) > LONGEST_SECRET:
        return _refused(request, where, 401, "This token is not valid.")
    session = secrets.token_urlsafe(32)
    database: Database = request.app.state.database
    (found,) = database.call(
        None,
        "log_in",
        secret_hash=digest(secret),
        session_hash=digest(session),
        source=request.client.host if request.client else "unknown",
        lasts_s=LASTS.total_seconds(),
    )
    if found["reason"] == "too many":
        seconds = max(int(found["wait_seconds"] or 1), 1)
        text = f"Too many tries. Try again in {seconds} seconds."
        answer = _refused(request, where, 429, text)
        answer.headers["Retry-After"] = str(seconds)
        return answer
    if found["reason"] is not None:
        # the same words for all reasons: who guesses learns nothing
        return _refused(request, where, 401, "This token is not valid.")
    answer = _to(where)
    secure = request.app.state.settings.secure_cookie
    answer.set_cookie(
        cookie_name(request.app.state.settings),
        session,
        max_age=int(LASTS.total_seconds()),
        path="/",
        secure=secure,
        httponly=True,
        # strict would not send it along with a link in a mail or a chat
        samesite="lax",
    )
    return answer


@router.post("/logout", dependencies=[Depends(checked)])
def log_out(request: Request) -> Response:
    """End the session."""
    database: Database = request.app.state.database
    database.call(None, "web_end_session", session_hash=request.state.session_hash)
    answer = _to("/login?said=logged_out")
    settings = request.app.state.settings
    answer.delete_cookie(
        cookie_name(settings), path="/", secure=settings.secure_cookie, httponly=True
    )
    return answer


def _own(path: str) -> str:
    """A path of this server; whatever else somebody put into a link leads to the front page."""
    return path if _OWN_PATH.fullmatch(path) and not path.startswith("/login") else "/"


def _to(path: str) -> RedirectResponse:
    return RedirectResponse(path, status_code=303)


def _refused(request: Request, where: str, status: int, text: str) -> Response:
    return html(request, "login.html", status=status, next=where, trouble={"text": text})
