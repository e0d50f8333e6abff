"""The OpenAPI document, and how requests that don't fit it are answered."""

from __future__ import annotations

import json
import re
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.responses import JSONResponse

from runner.web.problems import KINDS, PATH, Problem

ADDRESS = "/openapi.json"

DESCRIPTION = """\
Starts and steers backfills, and looks at them. Whoever asks needs a token
(`Authorization: Bearer bft_...`); its role is viewer, operator or admin, each of which may what the
ones before it may. A request runs under the PostgreSQL role of its token, so that the database
itself refuses what the role may not do, and the audit (`/api/v1/events`) has the token's name.

Times are RFC 3339. Members whose name ends in `_s` are seconds, in `_usd` US dollars. Lists that
grow come in pages: follow `next`. Every error is a problem document (RFC 9457), whose `type` is the
address of an explanation.
"""

TAGS = (
    ("tasks", "What there is to run, how far it is; pause, resume, retry."),
    ("runs", "Start runs, look at them, cancel them."),
    ("failures", "Rows that failed for good, and why."),
    ("processes", "Who is at work."),
    ("events", "The audit, and what the last rows came to."),
    ("activity", "A task as it moves, by server-sent events."),
    ("schedules", "Runs by the clock, and hours in which tasks may work."),
    ("watches", "New rows, done as they come."),
    ("guards", "By what the server bears."),
    ("rates", "Rates that all processes share."),
    ("money", "Budgets, and what was spent."),
    ("tokens", "Who may use this."),
    ("functions", "Addresses that applications may call already."),
    ("health", "For load balancers and monitoring."),
)

_GENERIC = re.compile(r"\b((Listed|Page)_(\w+)_)(?=\")")

_PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "Why a request was not done; RFC 9457.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {
            "type": "string",
            "format": "uri-reference",
            "enum": [f"{PATH}/{kind}" for kind in KINDS],
            "description": "The kind of problem: the address of its explanation.",
        },
        "title": {"type": "string", "description": "The kind in words."},
        "status": {"type": "integer", "description": "The HTTP status."},
        "detail": {"type": "string", "description": "What happened, and to what."},
        "errors": {
            "type": "array",
            "description": "What is wrong with the request, of an invalid one.",
            "items": {
                "type": "object",
                "required": ["place", "message"],
                "properties": {
                    "place": {"type": "string", "examples": ["body.limit", "options.storage"]},
                    "message": {"type": "string"},
                },
            },
        },
        "run": {
            "type": "integer",
            "description": "The live run, where that is what is in the way.",
        },
        "href": {"type": "string", "description": "Its address."},
    },
    "examples": [
        {
            "type": f"{PATH}/live_run",
            "title": KINDS["live_run"].title,
            "status": 409,
            "detail": "run 17 of vehicle_images is live",
            "run": 17,
            "href": "/api/v1/runs/17",
        }
    ],
}


def mount(app: FastAPI) -> None:
    """Serve the document."""

    def document() -> JSONResponse:
        return JSONResponse(described(app))

    app.add_api_route(ADDRESS, document, include_in_schema=False)


def described(app: FastAPI) -> dict[str, Any]:
    """The document; made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=DESCRIPTION,
            routes=app.routes,
            tags=[{"name": name, "description": words} for name, words in TAGS],
        )
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schemas["Problem"] = _PROBLEM
        app.openapi_schema = json.loads(_GENERIC.sub(_named, json.dumps(made)))
    return app.openapi_schema


def _named(found: re.Match[str]) -> str:
    """RunPage and GuardList, for what the library calls Page_Run_ and Listed_Guard_."""
    return f"{found[3]}{found[2].removesuffix('ed')}"


def invalid(error: RequestValidationError) -> Problem:
    """What is wrong with a request, place by place."""
    errors = [_told(one) for one in error.errors()]
    first = errors[0]
    where = f"{first['place']}: " if first["place"] else ""
    return Problem("invalid", f"{where}{first['message']}", errors=errors)


def _told(one: Any) -> dict[str, str]:
    place = ".".join(str(part) for part in one["loc"])
    return {"place": place, "message": str(one["msg"])}
