"""The front page: all tasks and how far they are."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from runner.web.database import Database
from runner.web.live import look_at_all
from runner.web.pages.forms import User
from runner.web.pages.rendering import html
from runner.web.pages.review import waiting
from runner.web.pages.words import state_word

router = APIRouter(include_in_schema=False)


@router.get("/")
def home(request: Request, user: User) -> Response:
    """All tasks."""
    database: Database = request.app.state.database
    progress = look_at_all(database, user)
    with database.transaction(user, read_only=True) as calls:
        reviews = {one["task"]: one for one in waiting(calls)}
    tasks = [
        {
            **row,
            "name": row["task"],
            "word": state_word(row["state"], row["wait_reason"], bool(row["live_runs"])),
            "review": reviews.get(row["task"]),
        }
        for row in progress
    ]
    return html(request, "home.html", place="/", tasks=tasks)
