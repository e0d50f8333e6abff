"""Whether the server is alive, and whether it can do its work: for load balancers."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, Field

from runner.web.database import Database
from runner.web.principal import NOBODY
from runner.web.problems import Problem

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The server answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """The server can do its work."""

    status: Literal["ready"] = "ready"
    engine: Annotated[str, Field(description="Newest revision of the engine in the database.")]


@router.get("/healthz", operation_id="is_alive", summary="Whether the process answers")
async def healthz() -> Health:
    """Says nothing of the database, and needs no token."""
    return Health()


@router.get("/readyz", operation_id="is_ready", summary="Whether the database can be used")
def readyz(request: Request) -> Ready:
    """Whether the database can be reached and has a schema that is new enough. Needs no token."""
    if request.app.state.draining.is_set():
        raise Problem("unavailable", "the server is stopping")
    return Ready(engine=engine_revision(request.app.state.database))


def engine_revision(database: Database) -> str:
    """The engine's revision. Raises `Problem` unavailable where it is too old for this program."""
    if not database.call(None, "web_ready", read_only=True)[0]["ready"]:
        raise Problem(
            "unavailable", "pgbackfill's schema is missing or too old; run: backfill migrate"
        )
    return str(database.call(NOBODY, "web_engine", read_only=True)[0]["engine"])


def mount(app: FastAPI) -> None:
    """Add the addresses."""
    app.include_router(router)
