"""`backfill serve` as a process: it says where it is, ends in good order, and fails in one line."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from runner.cli import main
from tests.engine.roles import login
from tests.plugins.database import Database
from tests.plugins.processes import Command, SampleDatabase, StartCommand
from tests.plugins.waiting import wait_until


@pytest.fixture
def caller(sampled: SampleDatabase) -> Iterator[httpx.Client]:
    """Sends an operator's token."""
    secret = sampled.one("select backfill.create_token('ops', 'operator')")
    with httpx.Client(headers={"Authorization": f"Bearer {secret}"}, timeout=30) as client:
        yield client


def address(server: Command) -> str:
    """Where it says that it serves."""
    server.says("serving on http://127.0.0.1:")
    found = re.search(r"serving on (\S+)", server.err)
    assert found is not None
    return found[1]


def test_a_run_started_by_the_api_is_served_by_a_worker(
    sampled: SampleDatabase, command: StartCommand, caller: httpx.Client
) -> None:
    """From the POST to the end of the run, with nothing but a server and a worker."""
    sampled.items(ok=20)
    url = address(command(sampled.url, "serve", "--port", "0"))
    answer = caller.post(f"{url}/api/v1/runs", json={"task": "sample"})
    assert answer.status_code == 202, answer.text
    assert command(sampled.url, "worker", "--once").ended() == 0
    run = caller.get(url + answer.headers["location"]).json()
    assert (run["status"], run["exit_reason"], run["ok"]) == ("ended", "done", 20)
    sampled.assert_each_written_once()


def test_a_request_in_the_works_is_answered_before_it_ends(
    sampled: SampleDatabase, command: StartCommand, caller: httpx.Client
) -> None:
    """On SIGTERM no new request is taken, and those that were are answered."""
    server = command(sampled.url, "serve", "--port", "0")
    url = address(server)
    assert caller.get(f"{url}/readyz").json()["status"] == "ready"
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
    with ThreadPoolExecutor() as threads, sampled.connection.transaction():
        sampled.do("select from backfill.task for update")
        asked = threads.submit(caller.post, f"{url}/api/v1/tasks/sample/pause")
        wait_until(lambda: sampled.one(waiting))
        server.send(signal.SIGTERM)
        port = int(url.rpartition(":")[2])
        wait_until(lambda: not _listens(port))
    assert asked.result().json()["paused_by"] == "ops"
    assert server.ended() == 0
    assert server.err.splitlines()[0] == f"serving on {url}"
    assert "Traceback" not in server.err


def _listens(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


def test_what_would_fail_each_request_is_told_at_the_start(
    sampled: SampleDatabase,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line and an exit code: no database, none of ours, no right, a port that is taken."""

    def told(url: str, *arguments: str) -> tuple[int, str]:
        monkeypatch.setenv("DATABASE_URL", url)
        code = main(["serve", *arguments])
        (line,) = capsys.readouterr().err.splitlines()
        return code, line

    code, line = told("postgresql://127.0.0.1:1/nothing")
    assert (code, "can't reach the database" in line) == (5, True)
    code, line = told(database.url)
    assert (code, line.endswith("run: backfill migrate")) == (1, True)
    with login(sampled.url, "backfill_reader") as conninfo:
        code, line = told(conninfo)
    assert code == 1
    assert "may not act as backfill_server, backfill_operator, backfill_admin" in line
    assert "grant backfill_server to" in line
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, line = told(sampled.url, "--port", str(taken.getsockname()[1]))
    assert (code, "choose others with --host and --port" in line) == (1, True)
    assert told(sampled.url, "--tls-cert", "cert.pem")[0] == 2
