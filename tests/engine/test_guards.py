"""What guards do to claims: hold, slow, clear; when they are measured, and by whom."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from tests.engine.guarding import dial, due, evaluate, reading, set_guard, turn
from tests.plugins.engine import Engine

READ = """
select coalesce(sum(coalesce(seq_scan, 0) + coalesce(idx_scan, 0)), 0) as scans,
       coalesce(sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)), 0) as rows
  from pg_stat_xact_user_tables where relname in ('guard', 'guard_reading')
"""
"""How often this session read the tables of guards, and how many rows."""

# --- thresholds -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "slow, hold, clear, values, levels",
    [
        (10, 30, 5, [4, 10, 11, 30, 31, 29, 6, 5], "clear clear slow slow hold hold hold clear"),
        (10, 30, 5, [11, 6, 10, 5.1, 5], "slow slow slow slow clear"),
        (None, 30, 20, [25, 31, 25, 20, 25], "clear hold hold clear clear"),
        (None, 30, None, [30, 31, 30, 31], "clear hold clear hold"),
        (10, None, 2, [11, 1000, 3, 2], "slow slow slow clear"),
        (None, 0, None, [1, 0, 2, 0], "hold clear hold clear"),
        (-10, -5, -20, [-15, -9, -15, -4, -15, -20], "clear slow slow hold hold clear"),
    ],
)
def test_what_has_begun_goes_on_until_it_is_cleared(
    engine: Engine, slow: Any, hold: Any, clear: Any, values: list[float], levels: str
) -> None:
    """Above a threshold it begins; it ends at `clear_below`, and not just below the threshold."""
    level, seen = "clear", []
    for value in values:
        level = engine.value(
            "select backfill.guard_level(%s, %s::numeric, %s::numeric, %s::numeric, %s::numeric)",
            level, value, slow, hold, clear,
        )  # fmt: skip
        seen.append(level)
    assert seen == levels.split()


@pytest.mark.parametrize(
    "settings, broken",
    [
        ({"kind": "wal_rate"}, "guard_has_a_threshold"),
        ({"kind": "speed", "hold_above": 1}, "guard_kind_is_known"),
        ({"kind": "wal_rate", "hold_above": 1, "slow_above": 2}, "guard_slows_before_it_holds"),
        ({"kind": "wal_rate", "hold_above": 1, "clear_below": 2}, "guard_clears_below_its_thre"),
        ({"kind": "wal_rate", "hold_above": "NaN"}, "guard_thresholds_are_numbers"),
        ({"kind": "wal_rate", "hold_above": 1, "slow_by": 1}, "guard_slow_by_in_range"),
        ({"kind": "wal_rate", "hold_above": 1, "every": "10 ms"}, "guard_every_in_range"),
        ({"kind": "wal_rate", "hold_above": 1, "subject": "x"}, "guard_subject_is_of_use"),
        ({"kind": "wal_rate", "hold_above": 1, "sql": "select 1"}, "guard_sql_has_a_query"),
        ({"kind": "sql", "hold_above": 1}, "guard_sql_has_a_query"),
        ({"kind": "vacuum", "hold_above": 0}, "guard_vacuum_is_of_a_table"),
    ],
)
def test_a_guard_that_makes_no_sense_is_refused(
    engine: Engine, settings: dict[str, Any], broken: str
) -> None:
    """By a constraint whose name says what is wrong."""
    with pytest.raises(psycopg.errors.CheckViolation, match=broken):
        set_guard(engine, "odd", **settings)


# --- claims -----------------------------------------------------------------------------------


def test_a_guard_holds_claims_and_lets_them_go_on(engine: Engine) -> None:
    """Above its threshold no job is handed out, and the claim, the process's task and the view say
    why; below, the next claim has jobs.
    """
    _, runner = engine.at_work(3)
    dial(engine, hold_above=10, clear_below=5)
    assert turn(engine, 11) == "hold"
    claim = engine.claim(runner)
    words = "held by guard dial: its query's value is 11, above 10; until it is not above 5"
    assert (claim["status"], claim["reason"], claim["jobs"]) == ("held", words, [])
    assert engine.progress()["wait_reason"] == words
    assert reading(engine, "dial")["state"] == "hold"
    assert turn(engine, 6) == "hold"
    assert "is 6, was above 10" in engine.claim(runner)["reason"]
    assert turn(engine, 5) == "clear"
    assert engine.progress()["wait_reason"] is None
    claim = engine.claim(runner)
    assert (claim["status"], len(claim["jobs"]), claim["slow_by"]) == ("jobs", 3, 1)


def test_a_guard_slows_claims(engine: Engine) -> None:
    """They have jobs, and say how many times slower the next ones should come, and why."""
    _, runner = engine.at_work(3)
    dial(engine, slow_above=10, hold_above=20, slow_by=2.5)
    turn(engine, 15)
    claim = engine.claim(runner, 1)
    assert (claim["status"], claim["slow_by"], len(claim["jobs"])) == ("jobs", 2.5, 1)
    assert claim["reason"] == "slowed by guard dial: its query's value is 15, above 10"
    assert engine.progress()["wait_reason"] == claim["reason"]
    assert turn(engine, 25) == "hold"
    assert engine.claim(runner)["status"] == "held"


def test_a_guard_of_one_task_leaves_others_alone(engine: Engine) -> None:
    """It holds claims of its own task only; one of no task holds all."""
    engine.rows("select backfill.register_task('other', 1, 'Other.')")
    _, runner = engine.at_work(3)
    dial(engine, hold_above=10, task="other")
    turn(engine, 11)
    assert engine.claim(runner, 1)["status"] == "jobs"
    engine.rows("update backfill.guard set task = null")
    turn(engine, 11)
    assert engine.claim(runner, 1)["status"] == "held"


def test_of_several_guards_the_strictest_counts(engine: Engine) -> None:
    """One that holds outweighs those that slow; of these the slowest counts, and all are named."""
    _, runner = engine.at_work(3)
    given: dict[str, dict[str, Any]] = {
        "a": {"sql": "select 5", "slow_above": 1, "slow_by": 2},
        "b": {"sql": "select 6", "slow_above": 1, "slow_by": 8},
        "c": {"sql": "select 7", "hold_above": 1},
        "d": {"sql": "select 0", "hold_above": 1},
    }
    for name, settings in given.items():
        set_guard(engine, name, kind="sql", **settings)
        evaluate(engine, name)
    claim = engine.claim(runner)
    assert claim["status"] == "held"
    assert claim["reason"] == "held by guard c: its query's value is 7, above 1"
    engine.rows("select backfill.drop_guard('c')")
    claim = engine.claim(runner, 1)
    assert claim["slow_by"] == 8
    assert "guard a: " in claim["reason"]
    assert "guard b: " in claim["reason"]


# --- when it is measured ----------------------------------------------------------------------


def test_one_claim_of_all_gets_the_ticket(engine: Engine) -> None:
    """Of claims that find a guard due one is told to measure it, and the others go by what was
    measured before; until its interval is over there is no other ticket.
    """
    run, runner = engine.at_work(9)
    other = engine.join(run, pid=2)
    dial(engine, hold_above=10, every="1 hour")
    turn(engine, 0)
    due(engine, "dial")
    claim = engine.claim(runner)
    assert (claim["status"], claim["jobs"]) == ("guards", [])
    assert claim["due_guards"] == [{"guard": "dial", "timeout_ms": 2000}]
    assert engine.claim(other, 1)["status"] == "jobs"
    # its process may die with it: the interval goes on
    assert engine.claim(runner, 1)["status"] == "jobs"


def test_claims_at_the_same_moment_do_not_wait_for_each_other(engine: Engine) -> None:
    """While one claim takes the ticket, another goes by what was measured before."""
    run, runner = engine.at_work(9)
    other = engine.join(run, pid=2)
    dial(engine, hold_above=10)
    turn(engine, 0)
    due(engine, "dial")
    first = engine.connect(autocommit=False)
    assert engine.claim(runner, on=first)["status"] == "guards"
    assert engine.claim(other, 1)["status"] == "jobs"
    first.commit()


@pytest.mark.parametrize("choice, status", [("hold", "held"), ("pass", "jobs")])
def test_what_was_measured_long_ago_does_not_count(
    engine: Engine, choice: str, status: str
) -> None:
    """While somebody measures a guard that nobody has looked at for long, others hold or pass, as
    the guard says.
    """
    run, runner = engine.at_work(9)
    other = engine.join(run, pid=2)
    dial(engine, hold_above=10, on_failure=choice)
    turn(engine, 0)
    due(engine, "dial", 3600)
    first = engine.connect(autocommit=False)
    assert engine.claim(runner, on=first)["status"] == "guards"
    claim = engine.claim(other, 1)
    assert claim["status"] == status
    if choice == "hold":
        assert claim["reason"] == "held by guard dial until it is evaluated"
    first.commit()
    evaluate(engine, "dial")
    assert engine.claim(other, 1)["status"] == "jobs"


def test_a_guard_just_set_is_measured_at_once(engine: Engine) -> None:
    """Also one that was there: thresholds that were changed are judged by anew."""
    _, runner = engine.at_work(9)
    dial(engine, hold_above=10, clear_below=5)
    assert engine.claim(runner)["due_guards"][0]["guard"] == "dial"
    turn(engine, 11)
    set_guard(engine, "dial", hold_above=20)
    assert engine.claim(runner)["status"] == "guards"
    assert evaluate(engine, "dial") == "clear"
    kept = engine.one("select hold_above, clear_below, sql from backfill.guard")
    assert (kept["hold_above"], kept["clear_below"]) == (20, 5)
    assert kept["sql"] == "select value::numeric from saved.dial"


# --- failures ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query, error",
    [
        ("select no_such_column", 'column "no_such_column" does not exist'),
        ("select 1 / 0", "division by zero"),
        ("select 'many'::text", 'its query gave no number but "many"'),
        ("select 'NaN'::float8", 'its query gave no number but "NaN"'),
        ("select 1 where false", "its query gave no number but nothing"),
        ("select g from generate_series(1, 2) g", "more than one row returned by a subquery"),
        ("select", "subquery must return only one column"),
        ("delete from public.item returning 1", "syntax error"),
        ("select 1)); commit; select ((1", "EXECUTE of transaction commands is not implemented"),
    ],
)
@pytest.mark.parametrize("choice, state", [("hold", "hold"), ("pass", "clear")])
def test_what_cannot_be_measured_holds_or_passes(
    engine: Engine, query: str, error: str, choice: str, state: str
) -> None:
    """As the guard says, and the view says why."""
    set_guard(engine, "bad", kind="sql", sql=query, hold_above=1, on_failure=choice)
    assert evaluate(engine, "bad") == state
    seen = reading(engine, "bad")
    assert error in seen["error"]
    if state == "hold":
        assert seen["reason"].startswith("held by guard bad, which can't be evaluated: ")
    else:
        assert seen["reason"] is None


def test_a_failure_forgets_nothing(engine: Engine) -> None:
    """After one a guard goes on from the level that it had, as hysteresis wants."""
    dial(engine, hold_above=10, clear_below=5, on_failure="pass")
    assert turn(engine, 11) == "hold"
    assert turn(engine, "many") == "clear"
    assert turn(engine, 7) == "hold"


def test_a_query_that_takes_too_long_is_cut_off(engine: Engine) -> None:
    """By the timeout of whoever evaluates it; it is measured less often then."""
    set_guard(engine, "slow", kind="sql", sql="select pg_sleep(60)", hold_above=1, timeout="50 ms")
    on = engine.connect(autocommit=False)
    on.execute("set local statement_timeout = 50")
    assert evaluate(engine, "slow", on=on) == "hold"
    on.commit()
    assert reading(engine, "slow")["error"] == "no answer within 0.05 s"
    set_guard(engine, "lazy", kind="sql", sql="select pg_sleep(0.3)::text = ''", hold_above=1)
    evaluate(engine, "lazy")
    wait = engine.value(
        "select due_at - evaluated_at from backfill.guard_reading where guard = 'lazy'"
    )
    assert wait.total_seconds() >= 20 * 0.3


@pytest.mark.parametrize(
    "query",
    ["select public.sneaky()", "select 1)); update public.item set input = 'x'; select ((1"],
)
def test_a_query_writes_nothing(engine: Engine, query: str) -> None:
    """The database refuses whatever writes, and what it would have written is not there."""
    engine.add(1)
    engine.rows(
        "create function public.sneaky() returns integer language sql as"
        " $$ delete from public.item returning 1 $$"
    )
    set_guard(engine, "sneaky", kind="sql", sql=query, hold_above=1)
    assert evaluate(engine, "sneaky") == "hold"
    assert "in a read-only transaction" in reading(engine, "sneaky")["error"]
    assert engine.column("select input from item") == ["a"]


# --- the audit --------------------------------------------------------------------------------


def test_guards_leave_events(engine: Engine) -> None:
    """Setting, changing and dropping one; and where it begins to hold and where that is over."""
    dial(engine, hold_above=10, task="sample")
    for value in (0, 11, 12, 3, 4):
        turn(engine, value)
    engine.rows("update backfill.guard set hold_above = 2")
    turn(engine, 3)
    engine.rows("select backfill.drop_guard('dial')")
    events = engine.rows(
        "select action, task, detail from backfill.event"
        " where action like '%%hold%%' or action like '%%guard' order by id"
    )
    assert [event["action"] for event in events] == [
        "set_guard", "hold", "hold_over", "set_guard", "hold", "drop_guard",
    ]  # fmt: skip
    assert {event["task"] for event in events} == {"sample"}
    assert all(event["detail"]["guard"] == "dial" for event in events)
    assert "is 11, above 10" in events[1]["detail"]["reason"]
    assert events[2]["detail"]["value"] == 3
    assert events[3]["detail"]["hold_above"] == {"from": 10, "to": 2}


def test_refusals_say_what_there_is(engine: Engine) -> None:
    """A guard that is not there can't be changed or dropped, nor one be made another kind."""
    dial(engine, hold_above=10)
    for call, words in (
        ("set_guard('lag', p_hold_above => 1)", "there is no guard named 'lag'"),
        ("set_guard('dial', 'wal_rate')", "guard dial is of kind sql, which stays"),
        ("drop_guard('lag')", "there is no guard named 'lag'"),
    ):
        with pytest.raises(psycopg.Error, match=words) as caught:
            engine.rows(f"select backfill.{call}")
        assert caught.value.sqlstate == "BF010"
    assert engine.value("select backfill.evaluate_guard('gone')") is None


def test_a_tasks_guards_go_with_it(engine: Engine) -> None:
    """Removing a task removes them; those of no task stay."""
    engine.rows("select backfill.register_task('other', 1, 'Other.')")
    dial(engine, hold_above=10, task="other")
    set_guard(engine, "rate", kind="wal_rate", hold_above=10)
    engine.rows("select backfill.unregister_task('other')")
    assert engine.column("select name from backfill.guards") == ["rate"]


# --- what it costs ----------------------------------------------------------------------------


def test_without_guards_a_claim_looks_into_an_empty_table(engine: Engine) -> None:
    """One look that finds nothing, and nothing else."""
    _, runner = engine.at_work(3)
    on = engine.connect(autocommit=False)
    before = engine.one(READ, on=on)
    engine.claim(runner, on=on)
    after = engine.one(READ, on=on)
    assert [after[name] - before[name] for name in ("scans", "rows")] == [1, 0]


def test_an_old_transaction_does_not_make_claims_slower(engine: Engine) -> None:
    """However many versions of a reading it keeps, the newest is found in a few pages."""

    def pages() -> int:
        # in one transaction, and so on one session: the first call reads the catalogue, too
        with engine.connection.transaction():
            engine.rows("select backfill.guard_now('sample')")
            plan = engine.value(
                "explain (analyze, buffers, format json) select backfill.guard_now('sample')"
            )
        found = plan if isinstance(plan, list) else json.loads(plan)
        return int(found[0]["Plan"]["Shared Hit Blocks"])

    dial(engine, hold_above=10)
    turn(engine, 1)
    before = pages()
    old = engine.connect(autocommit=False)
    old.execute("set transaction isolation level repeatable read")
    old.execute("select count(*) from backfill.guard_reading")
    engine.rows(
        "do $$ begin for i in 1..1500 loop"
        " update backfill.guard_reading set value = i; commit; end loop; end $$"
    )
    size = engine.value("select pg_relation_size('backfill.guard_reading') / 8192")
    after = pages()
    old.rollback()
    assert size > 10
    assert after <= before + 3
