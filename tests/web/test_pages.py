"""The console's pages without a browser: who gets what, and what forms may do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import httpx
import psycopg
import pytest

from tests.cli.conftest import install_everything
from tests.engine.past import past_run
from tests.plugins.database import DatabaseTemplate, database_of
from tests.plugins.engine import EngineDatabases
from tests.plugins.pgbouncer import PgBouncer
from tests.web.conftest import Web, put_back, serving

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
HERE = {"Origin": "http://testserver"}
COOKIE = "backfill_session"
PAGES = (
    "/", "/runs", "/events", "/tasks/quality_score", "/tasks/image_signals", "/tasks/face_index",
    "/tasks/vehicle_images", "/tasks/quality_score/failures", "/tasks/quality_score/scores",
    "/tasks/image_signals/duplicates", "/tasks/face_index/faces",
)  # fmt: skip


class Visitor:
    """Somebody with a browser's manners: a cookie, an origin, and the forms' hidden fields."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self.cookie = ""

    def get(self, path: str) -> httpx.Response:
        """A page."""
        return self._web.client.request("GET", path, headers=self._headers())

    def post(self, path: str, /, **fields: str) -> httpx.Response:
        """A form as the page has it."""
        return self.send(path, {"csrf": self.csrf(), **fields})

    def send(
        self, path: str, fields: dict[str, str], headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """A form with these fields alone."""
        given = self._headers() | (HERE if headers is None else headers) | FORM
        return self._web.client.request("POST", path, headers=given, data=fields)

    def log_in(self, secret: str) -> httpx.Response:
        """Send the form of the log-in; its cookie is kept."""
        answer = self.send("/login", {"token": secret, "next": "/runs"})
        if COOKIE in answer.cookies:
            self.cookie = answer.cookies[COOKIE]
        return answer

    def csrf(self) -> str:
        """The hidden field of this session's forms."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.get("/runs").text)
        assert found is not None
        return found[1]

    def _headers(self) -> dict[str, str]:
        # said in any case: all share a client, which would send a cookie that it was given
        return {"Cookie": f"{COOKIE}={self.cookie}" if self.cookie else "none=1"}


@pytest.fixture(scope="module")
def server(
    server_url: str, database_template: DatabaseTemplate, pooled_by: PgBouncer | None
) -> Iterator[Web]:
    """One server with the pages for all tests: making one costs more than most tests do."""
    template = database_template("complete", install_everything)
    name = f"{template}_pages"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create database {name} template {template}".encode())
        database = database_of(server_url, name, pooled_by)
        EngineDatabases.save_rows(database.direct)
        with serving(database, parts=("runner.web.stream", "runner.web.pages")) as made:
            yield made
        database.close()
        connection.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
def pages(server: Web) -> Iterator[Web]:
    """See `server`; on rows as they are after the installation."""
    yield server
    server.run("delete from public.images")
    put_back(server.connection)


def visitor(web: Web, role: str) -> Visitor:
    """Somebody who is logged in."""
    found = Visitor(web)
    assert found.log_in(web.secrets[role]).status_code == 303
    return found


def test_pages_are_for_whoever_is_logged_in(pages: Web) -> None:
    """Every page leads to the log-in and back; a wrong, revoked or expired token hears the same."""
    nobody = Visitor(pages)
    for path in (*PAGES, "/tokens", "/runs/1"):
        answer = nobody.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={path}")
    refusals = {
        nobody.log_in(pages.secrets[name]).text for name in ("unknown", "revoked", "expired")
    }
    assert len(refusals) == 1
    assert "This token is not valid." in refusals.pop()
    viewer = visitor(pages, "viewer")
    for path in PAGES:
        answer = viewer.get(path)
        assert answer.status_code == 200, (path, answer.text)
        assert pages.secrets["viewer"] not in answer.text
        assert viewer.cookie not in answer.text
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert not re.search(r"<script(?![^>]*\bsrc=)|\bon\w+=|\bstyle=", answer.text), path
    assert viewer.get("/tokens").status_code == 403
    leaver = Visitor(pages)
    leaver.log_in(pages.value("select backfill.create_token('leaver', 'viewer')"))
    assert leaver.get("/").status_code == 200
    pages.run("select backfill.revoke_token('leaver')")
    assert leaver.get("/").status_code == 303


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(pages: Web) -> None:
    """HttpOnly and SameSite always; where browsers come by https, Secure and of this host only."""
    said = Visitor(pages).log_in(pages.secrets["viewer"]).headers["set-cookie"].lower()
    assert said.startswith(f"{COOKIE}=")
    assert {"httponly", "samesite=lax", "path=/"} <= set(said.split("; "))
    state = pages.client.app.state
    plain = state.settings
    state.settings = replace(plain, secure_cookie=True)
    try:
        said = Visitor(pages).log_in(pages.secrets["viewer"]).headers["set-cookie"].lower()
    finally:
        state.settings = plain
    assert said.startswith(f"__host-{COOKIE}=")
    assert {"httponly", "samesite=lax", "path=/", "secure"} <= set(said.split("; "))
    assert "domain" not in said


@pytest.mark.parametrize("place", ["//evil.test/", "https://evil.test", "/\\evil.test", "runs", ""])
def test_the_log_in_leads_nowhere_else(pages: Web, place: str) -> None:
    """Whatever a link asks for, who logs in stays on this server."""
    answer = Visitor(pages).send("/login", {"token": pages.secrets["viewer"], "next": place})
    assert answer.headers["location"] == "/"


def test_forms_of_others_are_refused(pages: Web) -> None:
    """Nothing is done for a form of another site, of another session, or of none."""
    operator, other = visitor(pages, "operator"), visitor(pages, "admin")
    own = operator.csrf()
    path = "/tasks/quality_score/pause"
    for headers in (
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", **HERE},
    ):
        assert operator.send(path, {"csrf": own}, headers).status_code == 403
        assert operator.send("/login", {"token": "x"}, headers).status_code == 403
    assert operator.send(path, {"csrf": other.csrf()}).status_code == 403
    assert operator.send(path, {}).status_code == 403
    assert Visitor(pages).send(path, {"csrf": own}).status_code == 401
    assert pages.events("pause") == []
    assert operator.send(path, {"csrf": own}, {"Sec-Fetch-Site": "same-origin"}).status_code == 303
    assert [event["token"] for event in pages.events("pause")] == ["operator"]


@pytest.mark.parametrize(
    "kind, body, status",
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data; boundary=x", b"--x--", 415),
        ("application/x-www-form-urlencoded", b"token=%00", 400),
        ("application/x-www-form-urlencoded", b"token=\xff", 400),
        ("application/x-www-form-urlencoded", b"a=1&" * 300, 400),
        ("application/x-www-form-urlencoded", b"token=" + b"a" * 70_000, 413),
        ("application/x-www-form-urlencoded", b"token=" + b"a" * 5_000, 401),
        ("application/x-www-form-urlencoded", b"", 401),
    ],
)
def test_what_is_no_form_is_refused(pages: Web, kind: str, body: bytes, status: int) -> None:
    """Whatever anybody sends to the log-in is told what is wrong with it, and is no mistake."""
    headers = HERE | {"Content-Type": kind}
    answer = pages.client.request("POST", "/login", headers=headers, content=body)
    assert answer.status_code == status
    assert "set-cookie" not in answer.headers


CHANGES: tuple[tuple[str, dict[str, str]], ...] = (
    ("/tasks/quality_score/start", {}),
    ("/tasks/quality_score/pause", {}),
    ("/tasks/quality_score/resume", {}),
    ("/tasks/quality_score/retry", {}),
    ("/runs/1/cancel", {}),
    ("/tasks/face_index/faces/x", {"leave": "true"}),
    ("/tasks/image_signals/duplicates/mark", {"judgement": "duplicate"}),
)


def test_viewers_change_nothing(pages: Web) -> None:
    """A viewer's pages have no such button, and the server refuses what is sent all the same."""
    viewer = visitor(pages, "viewer")
    before = pages.value("select max(id) from backfill.event")
    for path, fields in CHANGES:
        assert viewer.post(path, **fields).status_code == 403, path
    assert viewer.post("/tokens", name="x", role="admin").status_code == 403
    assert visitor(pages, "operator").post("/tokens/revoke", name="admin").status_code == 403
    done = pages.run("select action from backfill.event where id > %s", before)
    assert {one["action"] for one in done} <= {"log_in"}
    for path in PAGES:
        actions = re.findall(r'<form[^>]*action="([^"]+)"', viewer.get(path).text)
        assert set(actions) == {"/logout"}, path


def test_a_run_is_started_once_and_cancelled(pages: Web) -> None:
    """The same form sent twice is one run, another is told of it, and refusals keep the options."""
    operator = visitor(pages, "operator")
    pages.run("insert into public.images (url, source_type) values ('a.jpg', 'local_upload')")
    path = "/tasks/quality_score"
    wrong = operator.post(f"{path}/start", limit="many", **{"options.label": "Finch"})
    assert wrong.status_code == 422
    assert "should be a whole number" in wrong.text
    assert 'value="Finch"' in wrong.text
    assert "BACKFILL_QUALITY_SCORE_BASE_URL" in wrong.text
    form = {"limit": "5", "key": "one"}
    first, again = (operator.post(f"{path}/start", **form) for _ in range(2))
    assert first.headers["location"] == f"{path}?said=started&number=1"
    assert again.headers["location"] == f"{path}?said=again&number=1"
    assert "Run 1 was started." in operator.get(first.headers["location"]).text
    assert "waits for a worker" in operator.get(path).text.lower()
    refused = operator.post(f"{path}/start", key="two")
    assert refused.status_code == 409
    assert "Nothing was started" in refused.text
    cancelled = operator.post("/runs/1/cancel", back=path)
    assert cancelled.headers["location"] == f"{path}?said=cancelled&number=1"
    assert pages.value("select count(*) from backfill.run") == 1
    assert "operator" in operator.get("/runs/1").text
    operator.post(f"{path}/pause", reason="<b>import</b>")
    text = operator.get(path).text
    assert "aused by operator: &lt;b&gt;import&lt;/b&gt;" in text
    assert operator.post(f"{path}/start").status_code == 409


def test_a_run_s_page_says_which_error_stopped_it(pages: Web) -> None:
    """As the process told it that could not work."""
    run = pages.value("select backfill.start('quality_score')")
    worker = pages.value("select backfill.join_fleet('a-host', 1, 1, '{}')")
    pages.run("select backfill.fail_run(%s, %s, 'no <key>')", run, worker)
    text = visitor(pages, "viewer").get(f"/runs/{run}").text
    assert "An error stopped it: no &lt;key&gt;" in text


def test_a_watched_task_can_be_started(pages: Web) -> None:
    """The run that stays for new rows is in nobody's way: its task is idle, and can be started."""
    operator = visitor(pages, "operator")
    pages.run("select backfill.watch('quality_score')")
    pages.run("select backfill.serve()")
    assert pages.value("select count(*) from backfill.run where standing") == 1
    path = "/tasks/quality_score"
    text = operator.get(path).text
    assert 'form="start">Start<' in text
    assert "Cancel run" not in text
    assert operator.post(f"{path}/start").status_code == 303
    (number,) = re.findall(r">Cancel run (\d+)<", operator.get(path).text)
    assert pages.value("select standing from backfill.run where id = %s", int(number)) is False
    pages.run("select backfill.unwatch('quality_score')")


def test_paid_work_is_asked_about_first(pages: Web) -> None:
    """Before a run that may make paid calls a page asks once more, and keeps what was filled in."""
    operator = visitor(pages, "operator")
    path = "/tasks/face_index/start"
    asked = operator.post(path, limit="3")
    assert asked.status_code == 200
    assert "cost money" in asked.text
    assert pages.value("select count(*) from backfill.run") == 0
    fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', asked.text))
    assert fields["limit"] == "3"
    assert operator.send(path, fields).status_code == 303
    assert pages.value("select options ->> 'limit_each' from backfill.run") == "3"


def test_before_paid_work_stands_what_it_would_cost(pages: Web) -> None:
    """By the last run of that kind, for the rows that the form's options take; before there is
    such a run the page says so, and names the command for a sample.
    """
    operator = visitor(pages, "operator")
    pages.run(
        "insert into public.images (url, source_type)"
        " select n || '.jpg', 'local_upload' from generate_series(1, 40) n"
    )

    def asked(**more: str) -> str:
        fields = {"options.detector": "rekognition", **more}
        answer = operator.post("/tasks/quality_score/start", **fields)
        text = re.search(r"<main.*</main>", answer.text, re.DOTALL)
        assert text is not None
        return " ".join(re.sub(r"<[^>]+>", "", text[0]).split())

    past_run(pages.connection, "quality_score", rows=500, minutes=1)
    unknown = asked()
    assert "It would take40 rows" in unknown
    assert "No earlier run of this kind" in unknown
    assert unknown.count("backfill run quality_score --dry-run --detector rekognition") == 1
    run = past_run(
        pages.connection, "quality_score", rows=100, minutes=30, calls={"DetectLabels": 50}
    )
    known = asked()
    assert f"about $0.02, at $0.0005 a row as in run {run}: 20 DetectLabels" in known
    assert "some 12m, with 1 process as then" in known
    assert "dry-run" not in known
    pages.run("select backfill.set_budget('quality_score', 0.005)")
    assert "$0.0050 left this month: enough for about 10 rows" in asked()
    assert "enough" not in asked(limit="4")
    assert "$0.0010 for this run: enough for about 2 rows" in asked(**{"options.max_cost": "0.001"})
    task_page = operator.get("/tasks/quality_score").text
    assert "<dt>This month</dt><dd>$0.0050 of $0.0050 left</dd>" in task_page
    assert pages.value("select count(*) from backfill.run where status <> 'ended'") == 0


def test_paid_work_can_be_started_without_an_estimate(pages: Web) -> None:
    """Where the database doesn't say what to expect, the page says why, and asks all the same."""
    function = "function backfill.estimate_run(text, text, boolean, bigint, jsonb, text)"
    pages.run(f"revoke execute on {function} from backfill_reader")
    asked = visitor(pages, "operator").post("/tasks/face_index/start")
    pages.run(f"grant execute on {function} to backfill_reader")
    assert asked.status_code == 200
    assert "can't be said now: the database refused: permission denied" in asked.text
    assert "backfill run face_index --dry-run" in asked.text
    assert '<button class="strong">Start</button>' in asked.text


def test_a_tokens_secret_is_shown_once(pages: Web) -> None:
    """To the admin who makes it; afterwards it is in no page, and once revoked of no use."""
    admin = visitor(pages, "admin")
    made = admin.post("/tokens", name="ci", role="viewer", days="3")
    (secret,) = re.findall(r"bft_[\w-]{43}", made.text)
    # PostgreSQL has times that Python hasn't
    pages.run("update backfill.token set expires_at = 'infinity' where name = 'ci'")
    listed = admin.get("/tokens").text
    assert "9999-12-31" in listed
    assert secret not in listed
    assert Visitor(pages).log_in(secret).status_code == 303
    assert admin.post("/tokens", name="ci", role="viewer").status_code == 409
    refused = admin.post("/tokens", name="Not A <Name>", role="viewer")
    assert refused.status_code in (409, 422)
    assert "No token was made" in refused.text
    assert 'value="Not A &lt;Name&gt;"' in refused.text
    assert admin.post("/tokens", name="x", role="viewer", days="-1").status_code == 422
    assert admin.post("/tokens/revoke", name="ci").status_code == 303
    assert Visitor(pages).log_in(secret).status_code == 401


def test_texts_of_strangers_are_texts(pages: Web) -> None:
    """Markup, secrets and long words in errors, keys and names stay what they are, or are gone."""
    nasty = "<img src=x onerror=alert(1)>"
    url = "https://user:hunter2@p.test/a.jpg?signature=s3cret"
    pages.run(
        "insert into backfill.job (task, key, state, error_class, error_message, finished_at,"
        " attempt, task_version) select 'quality_score', %s, 'failed', 'odd', %s, now(), 1, 1",
        nasty,
        f"{nasty} {url} {'x' * 500}",
    )
    viewer = visitor(pages, "viewer")
    for path in ("/tasks/quality_score", "/tasks/quality_score/failures?cause=odd"):
        text = viewer.get(path).text
        assert "odd" in text
        assert "<img src=x" not in text
        assert "s3cret" not in text
        assert "hunter2" not in text


@pytest.mark.parametrize(
    "path",
    ["/tasks/nope", "/runs/0", "/runs/999999999999999999999", "/runs/x", "/nothing",
     "/tasks/image_signals/duplicates/pictures/1/zz", "/tasks/face_index/faces/zz/crop"],
)  # fmt: skip
def test_what_is_not_there_is_a_page(pages: Web, path: str) -> None:
    """A wrong address is told on a page with a link back."""
    answer = visitor(pages, "viewer").get(path)
    assert answer.status_code in (404, 422)
    assert "All tasks" in answer.text


class _Ids(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.wanted: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given: dict[str, Any] = dict(attrs)
        if given.get("id"):
            self.ids.append(given["id"])
        for name in ("for", "aria-labelledby", "aria-describedby", "form"):
            self.wanted += (given.get(name) or "").split()


def test_labels_belong_to_what_they_name(pages: Web) -> None:
    """Ids are unique in a page, and every label, description and form refers to one of them."""
    admin = visitor(pages, "admin")
    for path in (*PAGES, "/tokens"):
        found = _Ids(admin.get(path).text)
        assert len(set(found.ids)) == len(found.ids), path
        assert set(found.wanted) <= set(found.ids), path
