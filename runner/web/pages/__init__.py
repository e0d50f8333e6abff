"""The console: pages that the server renders, which work with and without JavaScript."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from runner.web.pages.control import router as of_control
from runner.web.pages.duplicates import router as of_duplicates
from runner.web.pages.events import router as of_events
from runner.web.pages.faces import router as of_faces
from runner.web.pages.home import router as of_home
from runner.web.pages.login import router as of_login
from runner.web.pages.problem import page as problem_page
from runner.web.pages.rendering import preload
from runner.web.pages.runs import router as of_runs
from runner.web.pages.task import router as of_task
from runner.web.pages.tokens import router as of_tokens

ROUTERS = (
    of_control,
    of_duplicates,
    of_events,
    of_faces,
    of_home,
    of_login,
    of_runs,
    of_task,
    of_tokens,
)


class Static(StaticFiles):
    """Style sheets and scripts. A browser asks whether they are still the same, so that a new
    version of the program is never looked at with the scripts of the old one.
    """

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """As it is, or 304."""
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        return response


def mount(app: FastAPI) -> None:
    """Add the pages, what they are made of, and the page for errors."""
    for router in ROUTERS:
        app.include_router(router)
    app.mount("/static", Static(directory=str(files("runner.web") / "static")), name="static")
    app.state.error_page = problem_page
    preload()
