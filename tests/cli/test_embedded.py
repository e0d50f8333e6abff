"""`backfill embedded`: a server that stays until it is stopped."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from runner.embedded import EmbeddedServer
from runner.errors import ExitCode
from tests.cli.conftest import Backfill
from tests.plugins.database import MakeServer

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(make_server: MakeServer, monkeypatch: pytest.MonkeyPatch) -> EmbeddedServer:
    """A server not yet started, whose folder BACKFILL_EMBEDDED_DIR names."""
    server = make_server(detached=True)
    monkeypatch.setenv("BACKFILL_EMBEDDED_DIR", str(server.data_dir))
    return server


def test_life_of_an_embedded_server(backfill: Backfill, server: EmbeddedServer) -> None:
    """It is started, found by its URL, and stopped; each command can be repeated."""
    assert backfill("embedded", "url").code == ExitCode.ERROR
    assert backfill("embedded", "status", "--json").json["running"] is False
    for _ in range(2):
        ended = backfill("embedded", "start")
        assert ended.code == ExitCode.DONE
    url = backfill("embedded", "url").out.strip()
    assert url == ended.out.strip()
    with psycopg.connect(url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    found = backfill("embedded", "status", "--json").json
    assert (found["running"], found["url"]) == (True, url)
    assert backfill("embedded", "stop").out == "stopped\n"
    assert backfill("embedded", "stop").out == "it was not running\n"


def test_url_is_for_the_shell(backfill: Backfill, server: EmbeddedServer) -> None:
    """`export DATABASE_URL="$(backfill embedded url)"` is all that the next command needs."""
    backfill("embedded", "start")
    command = f"{shlex.quote(sys.executable)} -m runner.cli"
    script = f'export DATABASE_URL="$({command} embedded url)" && exec {command} migrate --check'
    done = subprocess.run(
        ["sh", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == ExitCode.ERROR
    assert "run: backfill migrate" in done.stderr
    backfill("embedded", "stop")
