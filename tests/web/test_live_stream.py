"""The live stream, from the database to whoever listens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import httpx
import pytest
from fastapi import FastAPI

from runner.web import hub
from runner.web.principal import Principal
from tests.plugins import engine as engine_plugin
from tests.plugins.engine import Engine
from tests.plugins.proxy import Proxy
from tests.plugins.waiting import wait_until
from tests.web.streaming import Served, served, session, viewer, watching, work


@pytest.fixture
def server(engine: Engine) -> Iterator[Served]:
    """A server of the engine's database."""
    with served(engine.database.url) as made:
        yield made


def test_a_stream_begins_with_the_whole_picture(engine: Engine, server: Served) -> None:
    """Numbers, processes and the last lines come first, before anything has happened."""
    run, runner = engine.at_work(30)
    work(engine, runner, 3)
    with watching(server, viewer(engine)) as client:
        state = client.next("state").data
        numbers = ("task", "state", "done", "ok", "total", "remaining", "live_runs")
        assert [state[name] for name in numbers] == ["sample", "running", 3, 3, 30, 27, [run]]
        assert (state["run"]["processed"], sum(state["spark"])) == (3, 3)
        assert len(state["spark"]) == len(state["spark_failed"]) == 60
        (process,) = client.next("runners").data
        assert (process["runner"], process["processed"], process["silent"]) == (runner, 3, False)
        client.next("log")
        started, found, *processed, batch = client.texts()[-6:]
        assert (started, found, batch) == (
            f"Run {run} started by postgres",
            "Found 30 rows to process",
            "Processing batch 1 of 2",
        )
        # a job's number is not its row's
        assert sorted(processed) == [f"Processed {key} - OK" for key in (1, 2, 3)]
        assert all(datetime.fromisoformat(line["at"]).tzinfo for line in client.lines)


def test_what_happens_is_told_as_it_happens(engine: Engine, server: Served) -> None:
    """Rows, what operators do and new numbers come without being asked for."""
    _, runner = engine.at_work(2)
    with watching(server, viewer(engine)) as client:
        client.next("log")
        work(engine, runner, 1, kind="failed")
        while (state := client.next("state").data)["failed"] == 0:
            pass
        assert state["causes"] == [{"error_class": "test", "rows": 1}]
        engine.rows("select backfill.pause('sample', 'lunch')")
        while (state := client.next("state").data)["paused"] is None:
            pass
        assert (state["state"], state["paused"]["reason"]) == ("paused", "lunch")
        client.until(lambda: "Paused by postgres: lunch" in client.texts())
        failed = next(line for line in client.lines if line["kind"] == "failed")
        assert (failed["text"], failed["error"], failed["key"]) == ("Failed 1 - test", "test", "1")


def test_many_rows_at_once_are_counted(engine: Engine, server: Served) -> None:
    """Of a large group twenty rows have a line beside the failed ones; the rest is a number."""
    _, runner = engine.at_work(100)
    with watching(server, viewer(engine)) as client:
        client.next("log")
        jobs = engine.claim(runner, 100)["jobs"]
        results = [engine_plugin.outcome(j, "failed" if j["key"] == "7" else "ok") for j in jobs]
        engine.finish(runner, results)
        client.until(lambda: bool(client.rows()))
        assert len(client.rows()) == 21
        assert "7" in client.rows()
        assert client.more == 79


def test_no_failure_is_lost_between_two_looks(engine: Engine, server: Served) -> None:
    """Of 500 rows in several groups each failed one has a line, once, in order; at a break, too."""
    _, runner = engine.at_work(600)
    token = viewer(engine)
    failed = [str(key) for key in range(3, 600, 10)]
    lines = []

    def finish(groups: int) -> None:
        with engine.connect(autocommit=False) as at_once:
            for _ in range(groups):
                jobs = engine.claim(runner, 100, on=at_once)["jobs"]
                kinds = ["failed" if job["key"] in failed else "ok" for job in jobs]
                results = [
                    engine_plugin.outcome(job, kind) for job, kind in zip(jobs, kinds, strict=True)
                ]
                engine.finish(runner, results, on=at_once)

    with watching(server, token) as client:
        client.next("log")
        finish(5)
        client.until(lambda: bool(client.rows()))
        assert (len(client.rows()), client.more) == (70, 430)
        lines += client.lines
        last = client.last
    finish(1)
    with served(engine.database.url) as other, watching(other, token, last=last) as client:
        client.until(lambda: bool(client.rows()))
        lines += client.lines
    assert [line["key"] for line in lines if line["kind"] == "failed"] == failed
    assert len({line["id"] for line in lines}) == len(lines)


def test_what_people_do_is_not_lost_among_rows(engine: Engine, server: Served) -> None:
    """A word of an operator has its line however many rows are done in the same second."""
    run = engine.start()
    engine.add(1, 100)
    runners = [engine.join(run) for _ in range(4)]
    engine.sweep(run)
    jobs = [engine.claim(runner, 25)["jobs"] for runner in runners]
    with watching(server, viewer(engine)) as client:
        client.next("log")
        with engine.connect(autocommit=False) as at_once:
            engine.rows("select backfill.pause('sample', 'stop')", on=at_once)
            for runner, claimed in zip(runners, jobs, strict=True):
                results = [engine_plugin.outcome(job) for job in claimed]
                engine.finish(runner, results, on=at_once)
        client.until(lambda: bool(client.rows()))
        assert "Paused by postgres: stop" in client.texts()
        assert len(client.rows()) + client.more == 100


def test_who_comes_back_misses_nothing_and_hears_nothing_twice(
    engine: Engine, server: Served
) -> None:
    """Through breaks of the stream, at the same server and at another, each line comes once."""
    token = viewer(engine)
    _, runner = engine.at_work(40)
    done: list[str] = []
    last: str | None = None
    lines = []
    with served(engine.database.url) as other:
        for number in range(8):
            with watching((server, other)[number // 2 % 2], token, last=last) as client:
                client.next("log")
                done += work(engine, runner, 2, kind="ok" if number % 2 else "failed")
                if number == 5:
                    engine.rows("select backfill.pause('sample', 'lunch')")
                    engine.rows("select backfill.resume('sample')")
                # half of them leave before they have heard of it
                if number % 2:
                    client.until(lambda: done[-1] in client.rows())  # noqa: B023
                last = client.last
                lines += client.lines
            done += work(engine, runner, 1)
        with watching(other, token, last=last) as client:
            client.until(lambda: done[-1] in client.rows())
            lines += client.lines
    assert [line["key"] for line in lines if line["key"]] == done
    assert len({line["id"] for line in lines}) == len(lines)
    assert [line["text"] for line in lines if line["kind"] == "control"][-2:] == [
        "Paused by postgres: lunch",
        "Resumed by postgres",
    ]


def test_an_event_that_is_committed_late_is_told_once(engine: Engine, server: Served) -> None:
    """One whose transaction ends after that of later events is not passed over."""
    with watching(server, viewer(engine)) as client:
        client.next("log")
        slow = engine.connect(autocommit=False)
        engine.rows("select backfill.log_event('pause', 'sample')", on=slow)
        engine.rows("select backfill.resume('sample')")
        client.until(lambda: "Resumed by postgres" in client.texts())
        slow.commit()
        client.until(lambda: "Paused by postgres" in client.texts())
        engine.rows("select backfill.resume('sample')")
        client.until(lambda: client.texts().count("Resumed by postgres") == 2)
        assert client.texts().count("Paused by postgres") == 1


def test_any_last_event_id_will_do(engine: Engine, server: Served) -> None:
    """What no server has sent is as if nothing were known; it breaks nothing."""
    _, runner = engine.at_work(1)
    work(engine, runner, 1)
    token = viewer(engine)
    for last in ("", "e0", "nonsense", "e1_r1.x", "e9" * 6000, "e99999999999999999999"):
        with watching(server, token, after=last) as client:
            client.next("log")
            assert client.rows() == ["1"]


def test_one_poller_a_task_however_many_look(engine: Engine) -> None:
    """Ten streams of a task ask the database no more often than one does."""
    looks: list[str] = []

    def count_looks(app: FastAPI) -> None:
        call = app.state.database.call

        def counting(principal: Principal | None, name: str, /, **parameters: object) -> object:
            looks.append(name)
            return call(principal, name, **parameters)

        app.state.database.call = counting

    token = viewer(engine)
    with served(engine.database.url, every=0.1, prepare=count_looks) as server:
        clients = [watching(server, token) for _ in range(10)]
        streams = [client.__enter__() for client in clients]
        for stream in streams:
            stream.next("log")
        _, runner = engine.at_work(5)
        before, begun = looks.count("live"), engine.value("select clock_timestamp()")
        for _ in range(3):
            (key,) = work(engine, runner, 1)
            for stream in streams:
                stream.until(lambda s=stream, k=key: k in s.rows())  # type: ignore[misc]
        took = (engine.value("select clock_timestamp()") - begun).total_seconds()
        assert 3 <= looks.count("live") - before <= took / 0.1 + 2
        assert server.watchers() == 10
        for client in clients:
            client.__exit__(None, None, None)
        wait_until(lambda: server.watchers() == 0)


def test_nobody_takes_all_the_streams(
    engine: Engine, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One token may have so many; another gets its own, until the server takes no more."""
    monkeypatch.setattr(hub, "MOST_EACH", 2)
    monkeypatch.setattr(hub, "MOST", 3)
    token, other = viewer(engine), viewer(engine, "other")
    with watching(server, token) as one, watching(server, token) as two:
        one.next("log")
        two.next("log")
        with pytest.raises(httpx.HTTPStatusError, match="429"), watching(server, token):
            pass
        with watching(server, other) as three:
            three.next("log")
            with pytest.raises(httpx.HTTPStatusError, match="503"), watching(server, other):
                pass


def test_a_revoked_token_ends_the_stream(engine: Engine, server: Served) -> None:
    """It is told why, and the others go on."""
    token, other = viewer(engine), viewer(engine, "other")
    with watching(server, token) as client, watching(server, other) as going_on:
        client.next("log")
        going_on.next("log")
        engine.rows("select backfill.revoke_token('watcher')")
        assert client.next("gone").data == {"reason": "revoked"}
        assert client.ended()
        engine.rows("select backfill.pause('sample')")
        going_on.until(lambda: "Paused by postgres" in going_on.texts())
    refused = httpx.get(
        f"{server.url}/api/v1/tasks/sample/stream", headers={"Authorization": f"Bearer {token}"}
    )
    assert refused.status_code == 401


def test_logging_out_ends_the_page_s_stream(engine: Engine, server: Served) -> None:
    """A page's stream is opened with its session's cookie, and ends with the session."""
    cookie = session(engine, viewer(engine))
    for path in ("/stream", "/tasks/sample/stream"):
        assert httpx.get(f"{server.url}{path}").status_code == 401
    with httpx.stream(
        "GET", f"{server.url}/stream", cookies={"backfill_session": cookie}, timeout=20
    ) as all_tasks:
        lines = all_tasks.iter_lines()
        assert any('"task":"sample"' in line for line in lines if line.startswith("data:"))
        engine.rows("update backfill.login_session set ended_at = clock_timestamp()")
        assert 'data: {"reason":"logged out"}' in list(lines)


def test_the_document_has_the_stream(server: Served) -> None:
    """Programs find it in the API's own description, with what it answers."""
    paths = httpx.get(f"{server.url}/openapi.json").json()["paths"]
    answers = paths["/api/v1/tasks/{task}/stream"]["get"]["responses"]
    assert list(answers["200"]["content"]) == ["text/event-stream"]
    assert {"401", "404", "429", "503"} <= set(answers)


def test_a_task_that_is_not_installed_has_no_stream(engine: Engine, server: Served) -> None:
    """It is not found; and where it is removed meanwhile, its stream ends."""
    token = viewer(engine)
    answer = httpx.get(
        f"{server.url}/api/v1/tasks/nothing/stream", headers={"Authorization": f"Bearer {token}"}
    )
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not_installed")
    with watching(server, token) as client:
        client.next("log")
        engine.rows("select backfill.unregister_task('sample')")
        assert "not installed" in client.next("gone").data["reason"]


def test_a_server_that_stops_ends_its_streams(engine: Engine, server: Served) -> None:
    """At once and without a word, so that browsers come back to another process."""
    token = viewer(engine)
    with watching(server, token) as client:
        client.next("log")
        server.drain()
        assert client.ended()
    assert server.watchers() == 0
    answer = httpx.get(
        f"{server.url}/api/v1/tasks/sample/stream", headers={"Authorization": f"Bearer {token}"}
    )
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


def test_a_stream_outlives_a_database_that_is_away(engine: Engine) -> None:
    """It says that the database can't be reached, and goes on without a gap when it is back."""
    _, runner = engine.at_work(3)
    token = viewer(engine)
    with (
        Proxy(engine.database.url) as way,
        served(way.url) as server,
        watching(server, token) as client,
    ):
        done = work(engine, runner, 1)
        client.until(lambda: client.rows() == done)
        way.refusing.set()
        way.cut_all()
        assert "can't be reached" in client.next("trouble").data["text"]
        done += work(engine, runner, 1)
        way.refusing.clear()
        while client.next("state", "trouble").name == "trouble":
            pass
        client.until(lambda: len(client.rows()) == 2)
        assert client.rows() == done
