"""What goes wrong is said as a problem document, and tells no secrets."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from runner.web.app import create_app
from runner.web.problems import KINDS
from runner.web.settings import Settings
from tests.cli.conftest import install
from tests.plugins.database import Database, MakeServer
from tests.plugins.waiting import wait_until
from tests.web.conftest import Client, Web, serving

RUNS = "/api/v1/runs"


def problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    """The answer's members, once it is seen to be such a problem."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["type"], body["status"]) == (f"/problems/{kind}", status)
    assert body["title"] == KINDS[kind].title
    return body


def test_every_kind_of_problem_is_explained(web: Web) -> None:
    """A problem's type is an address, and what is there says what to do."""
    for kind, told in KINDS.items():
        answer = web.ask("GET", f"/problems/{kind}", by="nobody")
        assert answer.text == f"{told.title}\n\n{told.meaning}\n"
    problem(web.ask("GET", "/problems/nothing", by="nobody"), 404, "not_found")


def test_addresses_and_methods_that_are_not_there(web: Web) -> None:
    """404 and 405 are problems, too, and 405 names every method that there is."""
    problem(web.ask("GET", "/api/v1/nothing"), 404, "not_found")
    problem(web.ask("GET", "/api/v1/runs/"), 404, "not_found")
    answer = web.ask("PATCH", "/api/v1/guards/old")
    problem(answer, 405, "method")
    allowed = {method.strip() for method in answer.headers["allow"].split(",")}
    assert allowed == {"GET", "PUT", "DELETE"}


def test_head_is_get_without_a_body(web: Web) -> None:
    """Load balancers that ask by HEAD are answered with the headers of GET."""
    for path, status in (("/healthz", 200), ("/readyz", 200), ("/api/v1/runs/999", 404)):
        answer = web.ask("HEAD", path)
        assert (answer.status_code, answer.content) == (status, b"")
        length = web.ask("GET", path).headers["content-length"]
        assert answer.headers["content-length"] == length


def test_a_body_that_is_none(web: Web) -> None:
    """What is no JSON, no object, or too large is refused before anything is done."""

    def send(content: bytes, kind: str = "application/json", by: str = "operator") -> Any:
        headers = {"Authorization": f"Bearer {web.secrets[by]}", "Content-Type": kind}
        return web.client.request("POST", RUNS, content=content, headers=headers)

    problem(send(b"{"), 422, "invalid")
    problem(send(b"\xff\xfe{}"), 422, "invalid")
    problem(send(b"[]"), 422, "invalid")
    problem(send(b'{"task": "vehicle_images"}', "text/plain"), 422, "invalid")
    problem(send(b'{"task": "vehicle_images", "options": {"storage": "\\ud800"}}'), 422, "invalid")
    problem(send(b'{"task": "' + b"a" * 70_000 + b'"}'), 413, "too_large")
    # who may not ask isn't told what would be wrong with it
    problem(send(b"{", by="unknown"), 401, "unauthorized")


def test_numbers_beyond_a_databases_are_refused(web: Web) -> None:
    """No number is so large that it becomes an error of the server's."""
    for path in ("runs/0", "runs/9223372036854775808", "runs?before=1e400", "runs?limit=100000"):
        problem(web.ask("GET", f"/api/v1/{path}"), 422, "invalid")
    body = {"task": "vehicle_images", "limit": 2**63}
    problem(web.ask("POST", RUNS, body), 422, "invalid")
    huge = {"task": "vehicle_images", "options": {"max_images": 10**400}}
    problem(web.ask("POST", RUNS, huge), 422, "invalid")


def test_a_position_of_ones_own_making_is_refused(web: Web) -> None:
    """What a page's next has can't be made up."""
    for after in ("x", "bnVsbA==", "WzEsMiwzXQ=="):
        problem(web.ask("GET", f"/api/v1/failures?after={after}"), 422, "invalid")


def test_every_answer_has_security_headers(web: Web) -> None:
    """Nothing is framed, sniffed, kept by caches, or may run scripts of others."""
    for path in ("/api/v1/tasks", "/healthz", "/api/v1/nothing", "/openapi.json"):
        headers = web.ask("GET", path, by="nobody").headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_the_access_log_has_no_secrets(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    """A line has who, what and how it ended: no token, no query string."""
    with caplog.at_level(logging.INFO, "runner"):
        web.ask("GET", "/api/v1/runs?task=vehicle_images")
    line = next(text for text in caplog.messages if "/api/v1/runs" in text)
    assert line.split()[1:5] == ["operator", "GET", "/api/v1/runs", "200"]
    assert web.secrets["operator"] not in caplog.text
    assert "vehicle_images" not in caplog.text


def test_a_mistake_of_ours_is_one_line(web: Web, monkeypatch: pytest.MonkeyPatch,
                                       caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    """An unexpected error is a 500 without details; the log says where, without values."""

    def breaks(*_: Any, **__: Any) -> Any:
        raise ValueError("the row's secret")

    monkeypatch.setattr(web.client.app.state.database, "call", breaks)
    body = problem(web.ask("GET", "/api/v1/tasks"), 500, "internal")
    assert "secret" not in str(body)
    assert "ValueError in breaks" in caplog.text
    assert "secret" not in "".join(caplog.messages)


def test_a_lock_that_somebody_holds_keeps_nobody_waiting_for_long(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open transaction in some psql is no reason to keep connections from others."""
    monkeypatch.setattr("runner.web.database.LOCKED_MS", 50)
    with web.connection.transaction():
        web.run("select backfill.pause('vehicle_images')")
        answer = web.ask("POST", RUNS, {"task": "vehicle_images"})
        problem(answer, 503, "unavailable")
        web.run("select backfill.resume('vehicle_images')")
    assert web.ask("POST", RUNS, {"task": "vehicle_images"}).status_code == 202


def test_an_outage_is_503_and_passes(
    make_server: MakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    """While the database is away requests are told so; afterwards they are served again."""
    server = make_server()
    server.start()
    database = Database("postgres", server.url(), server.url())
    install(database.url)
    with serving(database, conninfo=database.url, patience_s=0.2) as web:
        assert web.ask("GET", "/api/v1/tasks").status_code == 200
        database.close()
        server.stop()
        answer = web.ask("GET", "/api/v1/tasks")
        problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "5"
        problem(web.ask("GET", "/readyz", by="nobody"), 503, "unavailable")
        assert web.ask("GET", "/healthz", by="nobody").status_code == 200
        server.start()
        wait_until(lambda: web.ask("GET", "/api/v1/tasks").status_code == 200)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "no connection to the database" in told[0]
    assert told[1:] == [f"the database {web.client.app.state.database.target} can be used again"]


def test_a_database_without_pgbackfill_is_not_ready(database: Database) -> None:
    """/readyz says what to do where the schema is missing."""
    with start_blocking_portal() as portal:
        app = create_app(Settings(conninfo=database.url), parts=())
        with portal.wrap_async_context_manager(app.router.lifespan_context(app)):
            answer = Client(app, portal).request("GET", "/readyz")
    assert problem(answer, 503, "unavailable")["detail"].endswith("run: backfill migrate")
