"""Every address of the API, asked by everybody: exactly the allowed cells pass."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from runner.web.openapi import described
from runner.web.principal import Principal
from tests.web.conftest import REFUSED, ROLES, Web

API = "/api/v1"
TASK = f"{API}/tasks/vehicle_images"


@dataclass(frozen=True)
class Cell:
    """An operation: who may at least, how it is asked for, and what has to be there before."""

    role: str
    method: str
    path: str
    body: Any = None
    status: int = 200
    before: str = ""


def look(path: str, before: str = "") -> Cell:
    """A GET that every token may."""
    return Cell("viewer", "GET", f"{API}/{path}", before=before)


A_RUN = "select backfill.start('vehicle_images', p_source => 'cli')"
A_GUARD = "select backfill.set_guard('old', 'oldest_transaction', p_hold_above => 600)"
A_SCHEDULE = "select backfill.set_schedule('nightly', 'vehicle_images', '0 3 * * *')"
A_TOKEN = (
    "select backfill.create_token('grafana', 'viewer')"
    " where not exists (select from backfill.token where name = 'grafana' and revoked_at is null)"
)
NO_TOKEN = (
    "update backfill.token set revoked_at = now() where name = 'alice' and revoked_at is null"
)
SCHEDULE = {"task": "vehicle_images", "cron": "*/10 22-6 * * *", "timezone": "Europe/Berlin"}
WINDOW = {"opens": "22:00", "closes": "06:00", "zone": "Europe/Berlin"}

OPERATIONS = {
    "list_tasks": look("tasks"),
    "get_task": look("tasks/vehicle_images"),
    "list_activity": look("tasks/vehicle_images/activity"),
    "list_runs": look("runs"),
    "get_run": look("runs/{run}", A_RUN),
    "list_failures": look("failures"),
    "list_failure_causes": look("failure-causes"),
    "list_runners": look("runners"),
    "list_workers": look("workers"),
    "list_events": look("events"),
    "list_schedules": look("schedules"),
    "get_schedule": look("schedules/nightly", A_SCHEDULE),
    "list_windows": look("windows"),
    "list_guards": look("guards"),
    "get_guard": look("guards/old", A_GUARD),
    "list_rates": look("rates"),
    "list_budgets": look("budgets"),
    "list_spend": look("spend"),
    "list_watches": look("watches"),
    "who_am_i": look("me"),
    "read_metrics": Cell("viewer", "GET", "/metrics"),
    "estimate_run": look("tasks/vehicle_images/estimate"),
    "dry_run": Cell("viewer", "POST", f"{TASK}/dry-run", {}),
    "pause_task": Cell("operator", "POST", f"{TASK}/pause", {"reason": "why"}),
    "resume_task": Cell("operator", "POST", f"{TASK}/resume"),
    "retry_failed": Cell("operator", "POST", f"{TASK}/retry", {"error_class": "http_404"}),
    "start_run": Cell(
        "operator", "POST", f"{API}/runs", {"task": "vehicle_images", "beside": True}, 202
    ),
    "cancel_run": Cell("operator", "POST", f"{API}/runs/{{run}}/cancel", before=A_RUN),
    "trickle_backfill_images": Cell(
        "operator", "POST", "/functions/v1/trickle-backfill-images", {"limit": 5}, 202,
        "select backfill.cancel(id) from backfill.run where status <> 'ended'",
    ),
    "set_schedule": Cell("operator", "PUT", f"{API}/schedules/nightly", SCHEDULE),
    "drop_schedule": Cell("operator", "DELETE", f"{API}/schedules/nightly", None, 204, A_SCHEDULE),
    "set_window": Cell("operator", "PUT", f"{API}/windows/vehicle_images", WINDOW),
    "clear_window": Cell("operator", "DELETE", f"{API}/windows/vehicle_images", None, 204),
    "set_guard": Cell(
        "operator", "PUT", f"{API}/guards/lag", {"kind": "replication_lag", "hold_above": 30}
    ),
    "drop_guard": Cell("operator", "DELETE", f"{API}/guards/old", None, 204, A_GUARD),
    "set_rate": Cell("operator", "PUT", f"{API}/rates/host:example.com", {"per_second": 2}),
    "lift_pause": Cell("operator", "POST", f"{API}/rates/host:*/lift-pause"),
    "set_budget": Cell("operator", "PUT", f"{API}/budgets/face_index", {"usd": 25}),
    "drop_budget": Cell("operator", "DELETE", f"{API}/budgets/face_index", None, 204),
    "watch": Cell("operator", "PUT", f"{API}/watches/vehicle_images"),
    "unwatch": Cell("operator", "DELETE", f"{API}/watches/vehicle_images", None, 204),
    "list_tokens": Cell("admin", "GET", f"{API}/tokens"),
    "create_token": Cell(
        "admin", "POST", f"{API}/tokens", {"name": "alice", "role": "admin"}, 201, NO_TOKEN
    ),
    "revoke_token": Cell("admin", "DELETE", f"{API}/tokens/grafana", None, 204, A_TOKEN),
}  # fmt: skip

OPEN = {"is_alive": "/healthz", "is_ready": "/readyz"}
"""Operations that need no token."""


def answered(web: Web, cell: Cell, by: str) -> int:
    """The status of an answer, with what has to be there made before."""
    rows = web.run(cell.before) if cell.before else []
    path = cell.path.format(run=rows[0]["start"]) if "{run}" in cell.path else cell.path
    return web.ask(cell.method, path, cell.body, by=by).status_code


@pytest.fixture(autouse=True)
def _tidy(web: Web) -> Iterator[None]:
    """Triggers of watched tables are put back, too: `web` puts back rows alone."""
    yield
    web.run("select backfill.unwatch('vehicle_images')")


def test_the_matrix_has_every_operation(web: Web) -> None:
    """No operation of the document is left out."""
    paths = described(web.client.app)["paths"].values()
    known = {operation["operationId"] for path in paths for operation in path.values()}
    assert known == set(OPERATIONS) | set(OPEN)


@pytest.mark.parametrize("by", ROLES)
def test_a_role_may_what_it_should_and_no_more(web: Web, by: str) -> None:
    """Each operation is done for a token whose role is enough, and forbidden for others."""
    wrong = {}
    for name, cell in OPERATIONS.items():
        allowed = ROLES.index(by) >= ROLES.index(cell.role)
        status = answered(web, cell, by)
        if status != (cell.status if allowed else 403):
            wrong[name] = status
    assert wrong == {}


@pytest.mark.parametrize("by", REFUSED)
def test_nothing_is_told_without_a_valid_token(web: Web, by: str) -> None:
    """No token, an unknown, a revoked and an expired one are all 401, with the challenge."""
    wrong = {}
    for name, cell in OPERATIONS.items():
        # not even whether the thing is there, or the request well-formed
        answer = web.ask(cell.method, cell.path.format(run=1), by=by)
        challenge = answer.headers.get("www-authenticate", "")
        if answer.status_code != 401 or not challenge.startswith("Bearer "):
            wrong[name] = answer.status_code
    assert wrong == {}


def test_some_addresses_need_no_token(web: Web) -> None:
    """Load balancers may ask without one, and so may readers of the document."""
    for path in (*OPEN.values(), "/openapi.json", "/problems/paused"):
        assert web.ask("GET", path, by="nobody").status_code == 200


def test_the_database_refuses_by_itself(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that believed every token to be an admin's would change nothing for a viewer."""
    monkeypatch.setattr(Principal, "may", lambda *_: True)
    wrong = {}
    for name, cell in OPERATIONS.items():
        if cell.role != "viewer":
            status = answered(web, cell, "viewer")
            if status != 403:
                wrong[name] = status
    assert wrong == {}
