"""The page of an error."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response

from runner.web.pages.rendering import html
from runner.web.pages.words import sentence
from runner.web.problems import Problem


def page(request: Request, problem: Problem) -> Response:
    """The error as a page, with its status and headers."""
    shown = {
        "title": problem.title,
        "text": sentence(problem.detail) + ".",
        "href": "/",
        "link": "All tasks",
    }
    if problem.kind == "unauthorized":
        shown |= {"href": f"/login?next={quote(request.url.path)}", "link": "Log in"}
    answer = html(request, "problem.html", status=problem.status, problem=shown)
    answer.headers.update(problem.headers)
    return answer
