"""The audit: who did what."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from runner.web.database import Database
from runner.web.pages.forms import User
from runner.web.pages.rendering import html
from runner.web.pages.runs import LARGEST

router = APIRouter(include_in_schema=False)

PAGE = 100


@router.get("/events")
def events(request: Request, user: User, before: int | None = None) -> Response:
    """The audit, the newest first."""
    database: Database = request.app.state.database
    key = None if before is None else max(min(before, LARGEST), 0)
    found = database.call(
        user,
        "web_events",
        read_only=True,
        task=None,
        action=None,
        run=None,
        before=key,
        limit=PAGE + 1,
    )
    return html(
        request,
        "events.html",
        place="/events",
        events=found[:PAGE],
        older=before is not None,
        next=found[PAGE - 1]["id"] if len(found) > PAGE else None,
    )
