"""What the kinds of guards measure: transactions, sessions, vacuums, WAL."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.engine.guarding import evaluate, reading, set_guard
from tests.engine.roles import login
from tests.plugins.engine import Engine
from tests.plugins.waiting import wait_until


def test_an_old_transaction_holds(engine: Engine) -> None:
    """For as long as it is open, idle or not; it is named."""
    set_guard(engine, "old", kind="oldest_transaction", hold_above=0.2)
    assert evaluate(engine, "old") == "clear"
    old = engine.connect(autocommit=False)
    pid = engine.value("select pg_backend_pid()", on=old)
    wait_until(lambda: evaluate(engine, "old") == "hold")
    seen = reading(engine, "old")
    assert seen["detail"] == f"process {pid} of {old.info.user}"
    assert seen["reason"].startswith("held by guard old: the age of the oldest transaction is 0.")
    old.rollback()
    assert evaluate(engine, "old") == "clear"


def test_transactions_of_other_databases_do_not_count(engine: Engine, server_url: str) -> None:
    """They keep vacuum from nothing here."""
    set_guard(engine, "old", kind="oldest_transaction", hold_above=0.000001)
    with psycopg.connect(server_url) as elsewhere:
        elsewhere.execute("select 1")
        assert evaluate(engine, "old") == "clear"


def test_sessions_at_work_are_counted(engine: Engine) -> None:
    """Those of applications, in any database; not this one, idle ones or those of backfills."""
    set_guard(engine, "busy", kind="active_sessions", hold_above=0)
    application, ours = engine.connect(), engine.connect()
    ours.execute("set application_name = 'backfill sample run 1'")
    working = [engine.meanwhile(c.execute, "select pg_sleep(20)") for c in (application, ours)]
    active = (
        "select pid from pg_stat_activity where state = 'active' and query ~ '^select pg_sleep'"
    )
    wait_until(lambda: len(engine.column(active)) == 2)
    assert evaluate(engine, "busy") == "hold"
    assert reading(engine, "busy")["value"] == 1
    for pid in engine.column(active):
        engine.rows("select pg_cancel_backend(%s)", pid)
    for one in working:
        assert isinstance(one.exception(), psycopg.errors.QueryCanceled)
    assert evaluate(engine, "busy") == "clear"


def test_a_vacuum_of_the_tasks_table_holds(engine: Engine) -> None:
    """While it is under way; a vacuum of another table holds nothing."""
    engine.add(1, 5000)
    engine.rows('update backfill.task set binding = \'{"table": "public.item"}\'')
    set_guard(engine, "mine", kind="vacuum", hold_above=0, task="sample")
    set_guard(engine, "yours", kind="vacuum", hold_above=0, subject="pg_catalog.pg_class")
    engine.rows("update item set input = 'b'")
    slow = engine.connect(conninfo=engine.database.direct)
    slow.execute("set vacuum_cost_delay = '100ms'")
    slow.execute("set vacuum_cost_limit = 1")
    vacuum = engine.meanwhile(slow.execute, "vacuum item")
    wait_until(lambda: evaluate(engine, "mine") == "hold")
    assert evaluate(engine, "yours") == "clear"
    seen = reading(engine, "mine")
    assert (seen["value"], seen["detail"]) == (1, "public.item")
    engine.rows("select pg_cancel_backend(%s)", slow.info.backend_pid)
    assert isinstance(vacuum.exception(), psycopg.errors.QueryCanceled)
    assert evaluate(engine, "mine") == "clear"


@pytest.mark.parametrize(
    "settings, error",
    [
        ({"task": "sample"}, "task sample names no table"),
        ({"subject": "gone.table"}, "there is no table gone.table"),
    ],
)
def test_a_table_that_is_not_there_is_told(
    engine: Engine, settings: dict[str, Any], error: str
) -> None:
    """A guard of it fails, and does not pass in silence."""
    set_guard(engine, "nothing", kind="vacuum", hold_above=0, **settings)
    assert evaluate(engine, "nothing") == "hold"
    assert reading(engine, "nothing")["error"] == error


def test_a_burst_of_wal_holds(engine: Engine) -> None:
    """What is written a second since the guard was measured before; at first it knows nothing."""
    set_guard(engine, "wal", kind="wal_rate", hold_above=2_000_000, every="1 second")
    assert evaluate(engine, "wal") == "clear"
    assert reading(engine, "wal")["value"] is None

    def measured() -> bool:
        engine.rows("select pg_logical_emit_message(false, 'test', repeat('x', 3000000))")
        return evaluate(engine, "wal") == "hold"

    wait_until(measured)
    assert "held by guard wal: WAL written is " in reading(engine, "wal")["reason"]
    wait_until(lambda: evaluate(engine, "wal") == "clear")


def test_time_in_which_nobody_looked_says_nothing_of_now(engine: Engine) -> None:
    """WAL of long ago is no rate; counting begins anew."""
    set_guard(engine, "wal", kind="wal_rate", hold_above=0.001, every="1 second")
    evaluate(engine, "wal")
    engine.rows("update backfill.guard_reading set wal_at = wal_at - interval '1 hour'")
    assert evaluate(engine, "wal") == "clear"
    assert reading(engine, "wal")["value"] is None


def test_no_replica_is_a_failure(engine: Engine) -> None:
    """A guard of replicas holds or passes, as it says, where there is none."""
    set_guard(engine, "lag", kind="replication_lag", hold_above=30)
    assert evaluate(engine, "lag") == "hold"
    assert reading(engine, "lag")["error"] == "no replica is connected"
    set_guard(engine, "lag", subject="east", on_failure="pass")
    assert evaluate(engine, "lag") == "clear"
    assert reading(engine, "lag")["error"] == "replica east is not connected"


def test_an_owner_who_may_not_look_says_so(engine: Engine) -> None:
    """Statistics show him nothing of others' sessions; that is a failure, and no zero."""
    set_guard(engine, "busy", kind="active_sessions", hold_above=3)
    with login(engine.database.url) as conninfo:
        owner = psycopg.conninfo.conninfo_to_dict(conninfo)["user"]
        engine.rows(f"""
            grant usage, create on schema backfill to {owner};
            grant select on backfill.guard to {owner};
            alter function backfill.measure_guard(text) owner to {owner}""")
        assert evaluate(engine, "busy") == "hold"
        error = reading(engine, "busy")["error"]
        assert "may not look at other sessions: grant pg_read_all_stats to it" in error
        engine.rows(f"grant pg_read_all_stats to {owner}")
        assert evaluate(engine, "busy") == "clear"
