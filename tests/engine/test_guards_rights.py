"""Who may set guards, and with whose rights their queries are evaluated."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg
import pytest

from runner.loop.process import Limits, Process
from tests import sample
from tests.engine.guarding import due, evaluate, reading, set_guard
from tests.engine.roles import login
from tests.plugins.engine import Connection, Engine
from tests.plugins.processes import result_of

REFUSED = psycopg.errors.InsufficientPrivilege


@dataclass
class Login:
    """A login of its own: its name, connection string and session."""

    name: str
    conninfo: str
    on: Connection


@pytest.fixture
def logins(engine: Engine) -> Iterator[dict[str, Login]]:
    """Two operators, a runner, who may read the table `secret`, and a reader."""
    engine.rows("create table secret as select 7 as pin")
    roles = {"alice": "operator", "bob": "operator", "worker": "runner", "reader": "reader"}
    with ExitStack() as stack:
        made = {}
        for who, role in roles.items():
            conninfo = stack.enter_context(login(engine.database.url, f"backfill_{role}"))
            on = engine.connect(conninfo=conninfo)
            made[who] = Login(on.info.user, conninfo, on)
        engine.rows(f"grant select on secret to {made['worker'].name}")
        yield made


PIN = "select pin from public.secret"


def test_operators_set_guards_and_runners_measure_them(
    engine: Engine, logins: dict[str, Login]
) -> None:
    """Each on record; readers look."""
    alice, worker, reader = (logins[who].on for who in ("alice", "worker", "reader"))
    set_guard(engine, "rate", kind="wal_rate", hold_above=10**12, on=alice)
    for on in (alice, worker):
        assert evaluate(engine, "rate", on=on) == "clear"
    assert engine.one("select state from backfill.guards", on=reader)["state"] == "clear"
    for on, calls in (
        (worker, ["set_guard('rate', p_hold_above => 1)", "drop_guard('rate')"]),
        (reader, ["set_guard('rate', p_hold_above => 1)", "drop_guard('rate')",
                  "evaluate_guard('rate')", "note_guard('rate', 1, null, null)",
                  "measure_guard('rate')"]),
        (alice, ["take_guards('sample')", "measure_wal(g) from backfill.guard g"]),
    ):  # fmt: skip
        for call in calls:
            with pytest.raises(REFUSED):
                engine.rows(f"select backfill.{call}", on=on)
    for on in (alice, worker, reader):
        with pytest.raises(REFUSED):
            engine.rows("update backfill.guard set hold_above = 1", on=on)
    engine.rows("select backfill.drop_guard('rate')", on=alice)
    who = engine.column("select who from backfill.event where action like '%%guard' order by id")
    assert who == [logins["alice"].name] * 2


def test_a_query_has_its_authors_rights(engine: Engine, logins: dict[str, Login]) -> None:
    """Evaluated in his own sessions it sees what he sees; in nobody else's it is evaluated."""
    set_guard(engine, "pin", kind="sql", sql=PIN, hold_above=1, on=logins["alice"].on)
    assert evaluate(engine, "pin", on=logins["alice"].on) == "hold"
    assert "permission denied for table secret" in reading(engine, "pin")["error"]
    for on in (logins["worker"].on, engine.connection):
        engine.rows("update backfill.guard_reading set evaluated_at = null")
        assert evaluate(engine, "pin", on=on) == "hold"
        error = reading(engine, "pin")["error"]
        assert error.startswith(
            f"its query is evaluated in sessions of {logins['alice'].name} only"
        )


def test_a_query_runs_as_who_its_author_may_be(engine: Engine, logins: dict[str, Login]) -> None:
    """A superuser names the processes' login; an operator can't name a role that he has not."""
    worker, alice = logins["worker"], logins["alice"]
    for name in (worker.name, engine.connection.info.user, "no_such_role"):
        with pytest.raises(REFUSED, match="may not have a query evaluated with the rights of"):
            set_guard(engine, "pin", kind="sql", sql=PIN, hold_above=1, run_as=name, on=alice.on)
    set_guard(engine, "pin", kind="sql", sql=PIN, hold_above=1, run_as=worker.name)
    assert evaluate(engine, "pin", on=worker.on) == "hold"
    assert reading(engine, "pin")["value"] == 7


def test_a_role_that_was_taken_on_counts(engine: Engine, logins: dict[str, Login]) -> None:
    """Whoever acts under another role has a query evaluated with no other rights than its."""
    on = engine.connect(conninfo=engine.database.direct)
    engine.rows(f"set role {logins['alice'].name}", on=on)
    with pytest.raises(REFUSED, match="with the rights of"):
        set_guard(engine, "pin", kind="sql", sql=PIN, hold_above=1,
                  run_as=logins["worker"].name, on=on)  # fmt: skip
    set_guard(engine, "pin", kind="sql", sql=PIN, hold_above=1, on=on)
    assert evaluate(engine, "pin", on=on) == "hold"
    assert reading(engine, "pin")["run_as"] == logins["alice"].name
    assert "its query is evaluated in sessions of" in reading(engine, "pin")["error"]


def test_whoever_changes_a_query_becomes_its_author(
    engine: Engine, logins: dict[str, Login]
) -> None:
    """Thresholds are changed by any operator; another's query is never put in the place of one
    with more rights.
    """
    set_guard(engine, "pin", kind="sql", sql="select 1", hold_above=1,
              run_as=logins["worker"].name)  # fmt: skip
    bob = logins["bob"]
    set_guard(engine, "pin", hold_above=2, on=bob.on)
    assert reading(engine, "pin")["run_as"] == logins["worker"].name
    set_guard(engine, "pin", sql=PIN, on=bob.on)
    assert reading(engine, "pin")["run_as"] == bob.name
    with pytest.raises(REFUSED):
        set_guard(engine, "pin", run_as=logins["worker"].name, on=bob.on)


def test_only_sessions_that_may_get_the_ticket(engine: Engine, logins: dict[str, Login]) -> None:
    """A query is left to its login; where none of that works the others note it after a while."""
    run, runner = engine.at_work(9)
    worker = logins["worker"]
    own = engine.join(run, pid=2, on=worker.on)
    set_guard(engine, "q", kind="sql", sql="select 0", hold_above=1, run_as=worker.name)
    evaluate(engine, "q", on=worker.on)
    due(engine, "q", 1)
    assert engine.claim(runner, 1)["status"] == "jobs"
    assert engine.claim(own, 1, on=worker.on)["status"] == "guards"
    assert evaluate(engine, "q") == "clear", "measured just now by its own login"
    due(engine, "q", 11)
    engine.rows("update backfill.guard_reading set evaluated_at = now() - interval '15 seconds'")
    assert engine.claim(runner, 1)["status"] == "guards"
    assert evaluate(engine, "q") == "hold"
    assert "and none works for it" in engine.claim(runner, 1)["reason"]
    assert evaluate(engine, "q", on=worker.on) == "clear"


def test_a_plain_runner_works_under_guards(engine: Engine, logins: dict[str, Login]) -> None:
    """A process whose login is a member of backfill_runner and nothing else measures them all."""
    sample.add(engine.connection, 1, 30)
    worker = logins["worker"]
    set_guard(engine, "busy", kind="active_sessions", hold_above=1000)
    set_guard(engine, "old", kind="oldest_transaction", hold_above=1000)
    set_guard(engine, "wal", kind="wal_rate", hold_above=10**15)
    set_guard(engine, "pin", kind="sql", sql=PIN, hold_above=1000, run_as=worker.name)
    run = engine.start(on=worker.on)
    limits = Limits(threads=2)
    process = Process(worker.conninfo, sample.task, run, result_of, limits, threading.Event())
    assert process.work() == "done"
    assert engine.states() == {"ok": 30}
    states = engine.rows("select state, error from backfill.guards")
    assert states == [{"state": "clear", "error": None}] * 4
