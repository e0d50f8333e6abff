"""The addresses of the live stream: server-sent events for pages and for programs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runner.web import sse
from runner.web.api.common import TaskName, Viewer, problems, router
from runner.web.channel import EVERY_S, Watcher
from runner.web.hub import CHECK_S, Credential, Hub
from runner.web.principal import LoginNeeded, logged_in
from runner.web.problems import Problem

SEND_S = 20.0
"""Who takes nothing for so long is gone."""

LastEventId = Annotated[str | None, Header(description="The last event's id, to go on after it.")]
After = Annotated[str | None, Query(description="The same, for who can't set the header.")]


def mount(app: FastAPI, *, every: float = EVERY_S, check: float = CHECK_S) -> None:
    """Add the streams to an application that has a `database` in its state.

    `every`: seconds between two looks at a task; `check`: between two looks at who may look.
    """
    hub = Hub(app.state.database, every=every, check=check)
    app.state.hub = hub
    app.state.on_drain.append(hub.drain)
    app.include_router(_pages(hub))
    app.include_router(_api(hub))


class EventStream(Response):
    """Sends what a watcher is told until either side ends it."""

    media_type = sse.MEDIA_TYPE

    def __init__(self, hub: Hub, watcher: Watcher) -> None:
        super().__init__(
            # proxies must not keep it back: nginx reads the last one
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        del self.headers["content-length"]
        self._hub = hub
        self._watcher = watcher

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; see `Response`."""
        gone = asyncio.create_task(self._wait_until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for chunk in self._watcher.chunks():
                async with asyncio.timeout(SEND_S):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            # he reads no more; the connection is closed for want of an end
            return
        finally:
            self._hub.leave(self._watcher)
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone

    async def _wait_until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._watcher.finish()


def _of_page(request: Request) -> Credential:
    """Who looks at a page. A redirect to the log-in would be no answer to a script."""
    try:
        logged_in(request)
    except LoginNeeded as needed:
        raise Problem("unauthorized", "log in first") from needed
    return Credential(request.state.session_hash, session=True)


Shown = Annotated[Credential, Depends(_of_page)]


def _pages(hub: Hub) -> APIRouter:
    pages = APIRouter(include_in_schema=False, default_response_class=EventStream)

    @pages.get("/stream")
    async def stream_of_all(credential: Shown) -> Response:
        return EventStream(hub, await hub.watch(None, None, credential))

    @pages.get("/tasks/{task}/stream")
    async def stream_of_task(
        task: str, credential: Shown, last_event_id: LastEventId = None, after: After = None
    ) -> Response:
        return EventStream(hub, await hub.watch(task, last_event_id or after, credential))

    return pages


def _api(hub: Hub) -> APIRouter:
    api = router("activity")

    @api.get(
        "/tasks/{task}/stream",
        operation_id="stream_task",
        response_class=EventStream,
        status_code=200,
        summary="A task, live",
        responses={
            200: {
                "description": "Events until the token is revoked or the server stops.",
                "content": {sse.MEDIA_TYPE: {"schema": {"type": "string"}}},
            },
            **problems("not_installed", "too_many"),
        },
    )
    async def stream(
        request: Request,
        task: TaskName,
        _: Viewer,
        last_event_id: LastEventId = None,
        after: After = None,
    ) -> Response:
        """Server-sent events, each with JSON: state (the task's numbers), runners (its processes),
        log (lines of the activity log; its id is where to go on with Last-Event-ID), trouble (why
        nothing is told), gone (why this is the end), pulse (a sign of life).
        """
        credential = Credential(request.state.secret_hash, session=False)
        return EventStream(hub, await hub.watch(task, last_event_id or after, credential))

    return api
