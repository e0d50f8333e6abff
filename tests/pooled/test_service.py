"""`backfill worker` and `backfill serve` behind a real PgBouncer."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from psycopg.types.json import Jsonb

from runner.errors import ExitCode
from tests.engine.roles import login
from tests.plugins.pgbouncer import PgBouncer
from tests.plugins.processes import Command, SampleDatabase, StartCommand

Work = Callable[[], Command]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Folder in which first attempts are noted; with a file `go`, rows that wait go on."""
    folder = tmp_path / "rows"
    folder.mkdir()
    return folder


@pytest.fixture
def work(command: StartCommand, behind: str) -> Work:
    """Starts a worker that has found out what is between, with a process to give."""

    def start() -> Command:
        worker = command(behind, "worker", "--processes", "1", "--grace", "2s")
        worker.says("what is new is found by polling")
        return worker

    return start


def reason(sampled: SampleDatabase, run: int) -> str | None:
    """Why a run ended; None: it has not."""
    found: str | None = sampled.one("select exit_reason from backfill.run where id = %s", run)
    return found


def test_workers_take_a_run_over(sampled: SampleDatabase, work: Work, rows: Path) -> None:
    """One of two is killed over its rows: the other does them, each is written once; a schedule's
    ticks are each fired once meanwhile.
    """
    sampled.items(wait=4, ok=30)
    options = Jsonb({"folder": str(rows)})
    run = int(sampled.one("select backfill.start('sample', %s)", options))
    workers = [work(), work()]
    sampled.do("select backfill.set_schedule('each second', 'sample', '* * * * * *')")
    held = """
        select w.pid from backfill.seat s join backfill.worker w on w.id = s.worker_id
         where exists (select from backfill.job where state = 'running')"""
    workers[0].until(lambda: sampled.all(held))
    pid = sampled.one(held)
    killed, left = workers if pid == workers[0].pid else reversed(workers)
    killed.send(signal.SIGKILL)
    assert killed.ended() == -signal.SIGKILL
    # spares the test the ten seconds after which that would be so
    sampled.do(
        "update backfill.worker set heartbeat_at = now() - interval '1 minute' where pid = %s", pid
    )
    sampled.do("update backfill.pgqueuer set updated = now() - interval '1 minute'")
    (rows / "go").touch()
    left.until(lambda: reason(sampled, run) == "done")
    sampled.assert_each_written_once()
    left.until(lambda: sampled.one("select count(*) from backfill.tick") >= 3)
    left.send(signal.SIGTERM)
    assert left.ended() == ExitCode.INTERRUPTED, left.err
    ticks = sampled.all("select at, outcome, run from backfill.tick order by at")
    assert all(later["at"] > earlier["at"] for earlier, later in pairwise(ticks))
    started = sampled.one("select count(*) from backfill.run where source = 'schedule'")
    assert sum(tick["run"] is not None for tick in ticks) == started
    assert not sampled.one("select bool_or(direct) from backfill.runner")


@dataclass(frozen=True)
class Served:
    """A server's address, and a secret for each role."""

    base: str
    secrets: dict[str, str]

    def ask(self, role: str, method: str, path: str, body: object = None) -> httpx.Response:
        """The answer to a request of somebody with this role."""
        given = {"Authorization": f"Bearer {self.secrets[role]}"}
        url = f"{self.base}/api/v1/{path}"
        return httpx.request(method, url, headers=given, json=body, timeout=20)


@pytest.fixture
def served(
    sampled: SampleDatabase, behind: str, pooler: PgBouncer, command: StartCommand
) -> Iterator[Served]:
    """A server with a login of its own, which may only act for others; all by way of the pooler."""
    roles = ("viewer", "operator", "admin")
    query = "select backfill.create_token(%s, %s)"
    secrets = {role: sampled.one(query, role, role) for role in roles}
    with login(sampled.url, "backfill_server") as direct:
        server = command(pooler.url(direct), "serve", "--port", "0", "--grace", "2s")
        server.says("serving on ")
        found = re.search(r"serving on (http://\S+)", server.err)
        assert found is not None
        yield Served(found[1], secrets)
        server.send(signal.SIGTERM)
        assert server.ended() == 0, server.err
        assert pooler.left_behind(direct) == set()


def test_a_run_is_started_watched_and_done(
    sampled: SampleDatabase, served: Served, work: Work
) -> None:
    """The API starts it, a worker does it, and the live stream tells of it to its end."""
    sampled.items(ok=30)
    work()
    path = f"{served.base}/api/v1/tasks/sample/stream"
    given = {"Authorization": f"Bearer {served.secrets['viewer']}"}
    with httpx.stream("GET", path, headers=given, timeout=20) as stream:
        lines = stream.iter_lines()
        assert next(line for line in lines if line.startswith("event:")) is not None
        started = served.ask("operator", "POST", "runs", {"task": "sample"})
        assert started.status_code == 202, started.text
        run = started.json()["run"]
        assert any("Processed 30 - OK" in line for line in lines)
    assert served.ask("operator", "GET", f"runs/{run}").json()["run"] == run
    page = httpx.post(
        f"{served.base}/login", data={"token": served.secrets["viewer"]},
        headers={"Origin": served.base}, timeout=20,
    )  # fmt: skip
    assert page.status_code == 303
    home = httpx.get(f"{served.base}/", cookies=page.cookies, timeout=20)
    assert "sample" in home.text
    sampled.assert_each_written_once()
    requested = sampled.one("select requested_by from backfill.run where id = %s", run)
    assert requested == "operator"


def test_roles_of_requests_at_once_are_kept_apart(served: Served) -> None:
    """Sessions are shared by requests of every role: none has another's rights or name."""
    asked = [
        (role, f"{role} {number}")
        for number in range(15)
        for role in ("viewer", "operator", "admin")
    ]

    def ask(role: str, name: str) -> int:
        body = {"name": name.replace(" ", "-"), "role": "viewer"}
        if role == "operator":
            return served.ask(role, "POST", "tasks/sample/pause", {"reason": name}).status_code
        return served.ask(role, "POST", "tokens", body).status_code

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda one: ask(*one), asked))
    seen = {(role, answer) for (role, _), answer in zip(asked, answers, strict=True)}
    assert seen == {("viewer", 403), ("operator", 200), ("admin", 201)}
