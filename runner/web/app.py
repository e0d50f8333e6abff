"""The application: the API, the console's pages and the stream over one database."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Match

from runner import __version__
from runner.database.files import preload
from runner.web import api, health, metrics, openapi
from runner.web.database import Database
from runner.web.middleware import AccessLog, BodyLimit, Head, Mistakes, SecurityHeaders
from runner.web.principal import LoginNeeded
from runner.web.problems import KINDS, PATH, Problem, of_status
from runner.web.settings import Settings

log = logging.getLogger(__name__)

LONGEST_BODY = 64 * 1024

MACHINES = ("/api/", "/functions/", "/metrics", "/healthz", "/readyz", "/openapi.json", PATH)
"""Addresses that programs ask: errors are problem documents there, and pages elsewhere."""

PARTS = ("runner.web.stream", "runner.web.pages")
"""Modules that add addresses of their own, with `mount(app)`."""


def create_app(settings: Settings, parts: Sequence[str] = PARTS) -> FastAPI:
    """The application for one database, with these parts; it connects when it is started.

    Its state has `settings`, `database`, `draining` (set once the server is told to stop), and
    `on_drain`: what is to be called then, without blocking.
    """
    preload()
    database = Database(
        settings.conninfo, connections=settings.connections, patience_s=settings.patience_s
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        database.open()
        try:
            yield
        finally:
            drain(app)
            database.close()

    app = FastAPI(
        title="pgbackfill",
        version=__version__,
        summary="Backfills of rows in PostgreSQL: start them, steer them, look at them.",
        lifespan=lifespan,
        # its pages load scripts from other hosts; the document itself is what is served
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.settings = settings
    app.state.database = database
    app.state.draining = threading.Event()
    app.state.on_drain = list[Callable[[], None]]()
    app.state.error_page = None
    app.add_middleware(Head)
    app.add_middleware(BodyLimit, most=LONGEST_BODY)
    _answer_errors(app)
    app.add_middleware(SecurityHeaders, secure=settings.secure_cookie)
    app.add_middleware(AccessLog)
    health.mount(app)
    metrics.mount(app, open_to_all=settings.open_metrics)
    api.mount(app)
    openapi.mount(app)
    app.add_api_route(
        f"{PATH}/{{kind}}", _explain, include_in_schema=False, response_class=PlainTextResponse
    )
    for part in parts:
        importlib.import_module(part).mount(app)
    return app


def drain(app: FastAPI) -> None:
    """Let what lasts, such as open streams, come to its end; may be called more than once."""
    if app.state.draining.is_set():
        return
    app.state.draining.set()
    for call in app.state.on_drain:
        call()


def _explain(kind: str) -> str:
    if kind not in KINDS:
        raise Problem("not_found", f"there is no kind of problem named {kind!r}")
    return f"{KINDS[kind].title}\n\n{KINDS[kind].meaning}\n"


def _methods(app: FastAPI, request: Request) -> str:
    """All methods that an address has; the router names those of the first route alone."""
    there = [
        method
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in app.routes
        )
    ]
    return ", ".join(there)


def _answer_errors(app: FastAPI) -> None:
    """Make every error a problem document, or a page where a person reads it."""

    def answer(request: Request, problem: Problem) -> Response:
        page = app.state.error_page
        if page is None or request.url.path.startswith(MACHINES):
            return problem.response()
        shown: Response = page(request, problem)
        return shown

    def of_http(request: Request, error: HTTPException) -> Response:
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            methods = _methods(app, request)
            return answer(request, of_status(405, f"there is {methods}", {"Allow": methods}))
        return answer(request, of_status(error.status_code, str(error.detail), error.headers))

    def of_validation(request: Request, error: RequestValidationError) -> Response:
        return answer(request, openapi.invalid(error))

    def to_login(request: Request, _: LoginNeeded) -> Response:
        if request.method not in ("GET", "HEAD"):
            return answer(request, Problem("unauthorized", "log in first"))
        return RedirectResponse(f"/login?next={quote(request.url.path)}", status_code=303)

    def to_mistake(request: Request) -> Response:
        return answer(request, Problem("internal", "the server made a mistake; see its log"))

    app.add_middleware(Mistakes, answer=to_mistake)
    handlers: dict[type[Exception], Callable[..., Response]] = {
        Problem: answer,
        HTTPException: of_http,
        RequestValidationError: of_validation,
        LoginNeeded: to_login,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
