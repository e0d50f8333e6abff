"""Conditions of runs that a token started: swept where the process's own code has the same one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from runner.loop.process import Limits, Process
from runner.options import complete, own_condition
from tests import sample
from tests.engine.access import acting
from tests.engine.roles import login
from tests.plugins.engine import Connection, Engine

EVEN = "native_key % 2 = 0"


@pytest.fixture
def logins(engine: Engine) -> Iterator[dict[str, str]]:
    """Connection strings of the web server's login and of a worker's."""
    with ExitStack() as stack:
        yield {
            word: stack.enter_context(login(engine.database.url, f"backfill_{word}"))
            for word in ("server", "runner")
        }


@pytest.fixture
def worker(engine: Engine, logins: dict[str, str]) -> Connection:
    """A session of the worker's."""
    return engine.connect(conninfo=logins["runner"])


def asked(engine: Engine, logins: dict[str, str], where: str) -> int:
    """A run with this condition, started for a token."""
    on = engine.connect(conninfo=logins["server"])
    with acting(on, "backfill_operator", "ann"):
        return engine.start(where=where, on=on)


def discover(engine: Engine, run: int, vouched: str | None, on: Connection) -> int:
    """How many rows are enqueued by a process that vouches for this condition."""
    query = "select * from backfill.discover(%s, 1000, %s)"
    return int(engine.one(query, run, vouched, on=on)["enqueued"])


def test_what_the_process_vouches_for_is_swept(
    engine: Engine, logins: dict[str, str], worker: Connection
) -> None:
    """The same condition, word by word, is the process's own."""
    engine.add(1, 10)
    run = asked(engine, logins, EVEN)
    engine.join(run, on=worker)
    assert discover(engine, run, EVEN, worker) == 5


@pytest.mark.parametrize(
    "where, vouched",
    [
        (EVEN, None),
        ("true", None),
        (EVEN, ""),
        (EVEN, EVEN.upper()),
        (f"{EVEN} or true", EVEN),
        (EVEN, f"{EVEN} or true"),
    ],
)
def test_nothing_else_is_evaluated(
    engine: Engine, logins: dict[str, str], worker: Connection, where: str, vouched: str | None
) -> None:
    """Not even what is true, nor for the login that the server has, nor for a superuser."""
    engine.add(1, 10)
    run = asked(engine, logins, where)
    for on in (worker, engine.connection):
        engine.join(run, on=on)
        with pytest.raises(psycopg.Error) as caught:
            discover(engine, run, vouched, on)
        assert caught.value.sqlstate == "BF005"
    assert engine.states() == {}


def test_a_login_of_the_tokens_name_does_not_matter(
    engine: Engine, logins: dict[str, str], worker: Connection
) -> None:
    """A run of a token that is named like the worker's login is not that login's."""
    engine.add(1, 10)
    on = engine.connect(conninfo=logins["server"])
    with acting(on, "backfill_operator", worker.info.user):
        run = engine.start(where=EVEN, on=on)
    with pytest.raises(psycopg.Error) as caught:
        discover(engine, run, None, worker)
    assert caught.value.sqlstate == "BF005"


def test_without_a_token_only_its_author_sweeps(
    engine: Engine, logins: dict[str, str], worker: Connection
) -> None:
    """What a process vouches for makes no difference to a database user's own condition."""
    engine.add(1, 10)
    run = engine.start(where=EVEN)
    with pytest.raises(psycopg.Error) as caught:
        discover(engine, run, EVEN, worker)
    assert caught.value.sqlstate == "BF005"
    assert discover(engine, run, None, engine.connection) == 5


def test_a_process_vouches_for_what_options_stand_for(
    engine: Engine, logins: dict[str, str], tmp_path: Path
) -> None:
    """A run that a token started with an option of the task's is done by a worker's process, and
    takes the rows that the option is about.
    """
    engine.add(1, 10)
    task = replace(sample.task, condition=lambda settings: f"native_key <= {settings['upto']}")
    given = complete(task, {"folder": str(tmp_path), "upto": 3}, limit=None, where=None)
    assert given.where == own_condition(task, given.settings) == "native_key <= 3"
    on = engine.connect(conninfo=logins["server"])
    with acting(on, "backfill_operator", "ann"):
        (row,) = engine.rows(
            "select backfill.start('sample', %s, %s) as run",
            psycopg.types.json.Jsonb(given.settings),
            given.where,
            on=on,
        )
    with task.open(given.settings) as compute:
        process = Process(
            logins["runner"], task, row["run"], compute, Limits(threads=1), threading.Event()
        )
        assert process.work() == "done"
    assert engine.states() == {"ok": 3}
