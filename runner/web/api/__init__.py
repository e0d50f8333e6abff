"""The JSON API below /api/v1, one module for each kind of thing."""

from __future__ import annotations

from fastapi import FastAPI

from runner.web.api import (
    events,
    failures,
    limits,
    runs,
    schedules,
    tasks,
    tokens,
    trickle,
    watches,
)

ROUTERS = (
    tasks.api, runs.api, failures.api, failures.processes, events.api, schedules.api,
    limits.guards, limits.rates, limits.money, watches.api, tokens.api, trickle.api,
)  # fmt: skip


def mount(app: FastAPI) -> None:
    """Add the addresses."""
    for router in ROUTERS:
        app.include_router(router)
