"""Budgets of a run: reserved before, settled afterwards, and never exceeded by its processes."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from psycopg import errors
from psycopg.types.json import Jsonb

from runner.database import migrate
from tests.cli.catalog import catalog
from tests.plugins.database import Database
from tests.plugins.engine import Connection, Engine, Row, outcome

TAKEN = """
select coalesce((select sum(m.used)
                   from backfill.run_meter m join backfill.runner w on w.id = m.runner_id
                  where w.run_id = %(run)s and m.meter = 'bytes'), 0)
     + coalesce((select sum(x.amount)
                   from backfill.reservation x join backfill.runner w on w.id = x.runner_id
                  where w.run_id = %(run)s and w.status = 'live' and x.meter = 'bytes'), 0) as taken
"""
"""What is used and reserved at one moment."""


def budgeted(engine: Engine, most: Any = 1000, *, items: int = 0) -> tuple[int, int]:
    """A run with a budget and a runner of it, with so many items enqueued."""
    if items:
        engine.add(1, items)
    run = int(
        engine.value(
            "select backfill.start('sample', %s, p_source => 'cli')", Jsonb({"max_bytes": most})
        )
    )
    runner = engine.join(run)
    if items:
        engine.sweep(run)
    return run, runner


def ask(
    engine: Engine,
    runner: int,
    amount: Any,
    at_least: Any = None,
    *,
    name: UUID | None = None,
    meter: str = "bytes",
    on: Connection | None = None,
) -> Row:
    """Try to reserve."""
    query = "select * from backfill.reserve(%s, %s, %s, %s::numeric, %s::numeric)"
    return engine.one(query, name or uuid4(), runner, meter, amount, at_least, on=on)


def reserved(engine: Engine, runner: int, amount: Any, at_least: Any = None) -> UUID:
    """Reserve; the reservation's name."""
    name = uuid4()
    assert ask(engine, runner, amount, at_least, name=name)["reserved"] is not None
    return name


def settle(engine: Engine, name: UUID, used: Any, *, on: Connection | None = None) -> None:
    """Say what was used."""
    engine.rows("select backfill.settle(%s, %s::numeric)", name, used, on=on)


def taken(engine: Engine, run: int, on: Connection | None = None) -> int:
    """What is used and reserved of a run's bytes."""
    (row,) = (on or engine.connection).execute(TAKEN.encode(), {"run": run}).fetchall()
    return int(row["taken"])


def spend_at_random(engine: Engine, run: int, runner: int, seed: int) -> tuple[int, int]:
    """Reserve and settle until the budget is used up; what was used, and the most ever taken."""
    session, chance = engine.connect(), random.Random(seed)
    used = highest = 0
    while True:
        name, amount = uuid4(), chance.randint(1, 60)
        at_least = chance.choice([None, 1, max(amount // 2, 1)])
        row = ask(engine, runner, amount, at_least, name=name, on=session)
        highest = max(highest, taken(engine, run, session))
        if row["spent_out"]:
            return used, highest
        if row["reserved"] is not None:
            part = chance.randint(0, int(row["reserved"]))
            settle(engine, name, part, on=session)
            used += part


def test_eight_sessions_together_never_exceed_a_budget(engine: Engine) -> None:
    """What is used and what is reserved is never more than the budget, at any moment."""
    run, first = budgeted(engine, 5000)
    runners = [first, *(engine.join(run) for _ in range(7))]
    parts = [
        engine.meanwhile(spend_at_random, engine, run, runner, seed)
        for seed, runner in enumerate(runners)
    ]
    done = [part.result() for part in parts]
    assert max(highest for _, highest in done) <= 5000
    assert sum(used for used, _ in done) == taken(engine, run)
    # whoever asked for 60 may have been the first to get too little
    assert 5000 - 60 < taken(engine, run) <= 5000


def test_of_two_who_ask_at_once_the_second_sees_what_the_first_got(engine: Engine) -> None:
    """A reservation that is not committed yet is waited for."""
    run, one = budgeted(engine, 100)
    two = engine.join(run)
    first, second = engine.connect(autocommit=False), engine.connect()
    assert ask(engine, one, 60, on=first)["reserved"] == 60
    answer = engine.meanwhile(ask, engine, two, 60, 1, on=second)
    engine.blocked(second)
    first.commit()
    assert answer.result()["reserved"] == 40


def test_what_is_settled_while_another_asks_is_seen(engine: Engine) -> None:
    """A reservation that becomes use between two looks of another process is in one of them."""
    run, one = budgeted(engine, 100)
    two = engine.join(run)
    name = reserved(engine, one, 80)
    settling, asking = engine.connect(autocommit=False), engine.connect()
    settling.execute("lock table backfill.reservation in access exclusive mode")
    answer = engine.meanwhile(ask, engine, two, 80, on=asking)
    engine.blocked(asking)
    settle(engine, name, 80, on=settling)
    settling.commit()
    assert answer.result()["reserved"] is None
    assert taken(engine, run) == 80


def test_a_dead_process_s_reservation_is_free_and_its_use_is_not(engine: Engine) -> None:
    """What it was about to use is there for others; what it used stays used."""
    run, dead = budgeted(engine, 100)
    settle(engine, reserved(engine, dead, 30), 30)
    reserved(engine, dead, 70)
    alive = engine.join(run)
    assert ask(engine, alive, 10) == {"reserved": None, "spent_out": False}
    engine.silent(dead, 100)
    engine.rescue()
    assert ask(engine, alive, 71) == {"reserved": None, "spent_out": True}
    assert ask(engine, alive, 70)["reserved"] == 70
    assert taken(engine, run) == 100


def test_what_a_process_used_after_it_was_presumed_dead_counts(engine: Engine) -> None:
    """It was spent all the same."""
    run, dead = budgeted(engine, 100)
    name = reserved(engine, dead, 60)
    engine.silent(dead, 100)
    engine.rescue()
    settle(engine, name, 60)
    assert taken(engine, run) == 60
    assert ask(engine, engine.join(run), 50) == {"reserved": None, "spent_out": True}


@pytest.mark.parametrize("gone", ["lost", "left"])
def test_a_process_that_is_gone_reserves_nothing(engine: Engine, gone: str) -> None:
    """Nobody would count it, so it has to join again first; it is not told that all is spent."""
    run, runner = budgeted(engine, 100)
    engine.join(run)
    if gone == "left":
        engine.leave(runner)
    else:
        engine.silent(runner, 100)
        engine.rescue()
    assert ask(engine, runner, 10) == {"reserved": None, "spent_out": False}
    assert ask(engine, 999_999, 10) == {"reserved": None, "spent_out": False}


def test_a_statement_sent_twice_counts_once(engine: Engine) -> None:
    """After a lost reply the same is reserved once, and used once."""
    run, runner = budgeted(engine, 100)
    name = uuid4()
    for _ in range(2):
        assert ask(engine, runner, 60, name=name)["reserved"] == 60
    assert taken(engine, run) == 60
    for _ in range(2):
        settle(engine, name, 40)
    assert taken(engine, run) == 40


def test_a_reservation_may_be_of_what_is_left(engine: Engine) -> None:
    """Where the rest is at least what is needed, it is given; otherwise nothing is."""
    _, runner = budgeted(engine, 100)
    settle(engine, reserved(engine, runner, 70), 70)
    assert ask(engine, runner, 50, 31)["reserved"] is None
    assert ask(engine, runner, 50, 30)["reserved"] == 30


def test_less_and_more_than_was_reserved_may_be_used(engine: Engine) -> None:
    """What is not used is free again; what went beyond counts, and stops the run."""
    run, runner = budgeted(engine, 100)
    settle(engine, reserved(engine, runner, 100), 10)
    assert taken(engine, run) == 10
    settle(engine, reserved(engine, runner, 90), 120)
    assert taken(engine, run) == 130
    assert ask(engine, runner, 1) == {"reserved": None, "spent_out": True}


def test_nothing_used_leaves_nothing_behind(engine: Engine) -> None:
    """A reservation that came to nothing is gone without a trace."""
    run, runner = budgeted(engine, 100)
    settle(engine, reserved(engine, runner, 100), 0)
    assert taken(engine, run) == 0
    assert engine.value("select count(*) from backfill.run_meter") == 0


def test_a_run_whose_budget_is_used_up_hands_out_nothing(engine: Engine) -> None:
    """Every process of the run hears so at its next claim; what is held may be finished; the audit
    has it once.
    """
    run, one = budgeted(engine, 100, items=5)
    two = engine.join(run)
    (held,) = engine.claim(one, 1)["jobs"]
    settle(engine, reserved(engine, one, 95), 95)
    for _ in range(2):
        assert ask(engine, one, 10)["spent_out"]
    for runner in (one, two):
        claim = engine.claim(runner)
        assert (claim["status"], claim["jobs"]) == ("budget", [])
        assert claim["reason"] == "the run's budget (max_bytes) is used up"
    engine.finish(one, [outcome(held, "retry", counts=False)])
    assert engine.job(held["key"])["failures"] == 0
    (event,) = engine.events("budget")
    assert (event["run_id"], event["detail"]) == (run, {"meter": "bytes", "most": 100, "used": 95})
    for runner in (one, two):
        engine.leave(runner, "budget")
    ended = engine.one("select status, exit_reason from backfill.runs where run = %s", run)
    assert ended == {"status": "ended", "exit_reason": "budget"}


def test_the_next_run_has_a_budget_of_its_own(engine: Engine) -> None:
    """It gets the rows that are left, with no attempt held against them."""
    _, runner = budgeted(engine, 10, items=2)
    jobs = engine.claim(runner)["jobs"]
    assert ask(engine, runner, 50)["spent_out"]
    engine.finish(runner, [outcome(job, "retry", counts=False) for job in jobs])
    engine.leave(runner, "budget")
    engine.due()
    _, later = budgeted(engine, 1000)
    assert [job["key"] for job in engine.claim(later)["jobs"]] == ["1", "2"]
    assert ask(engine, later, 50)["reserved"] == 50
    assert engine.column("select failures from backfill.job") == [0, 0]


def test_what_others_hold_may_be_had_later(engine: Engine) -> None:
    """Too little for now is not too little for good."""
    run, one = budgeted(engine, 100)
    two = engine.join(run)
    name = reserved(engine, one, 90)
    assert ask(engine, two, 20) == {"reserved": None, "spent_out": False}
    settle(engine, name, 50)
    assert ask(engine, two, 20)["reserved"] == 20


def test_a_budget_smaller_than_one_amount_is_used_up_at_once(engine: Engine) -> None:
    """No row can ever be done with it, and the run says so rather than wait."""
    _, runner = budgeted(engine, 99)
    assert ask(engine, runner, 100) == {"reserved": None, "spent_out": True}


@pytest.mark.parametrize("options", ["{}", '{"max_bytes": null}', '{"max_pictures": 1}'])
def test_without_a_budget_nothing_is_limited(engine: Engine, options: str) -> None:
    """A run without the option gets what it asks for; nothing is written, nor is the run locked."""
    run = int(
        engine.value("select backfill.start('sample', %s::jsonb, p_source => 'cli')", options)
    )
    runner = engine.join(run)
    session = engine.connect(autocommit=False)
    engine.rows("select from backfill.run where id = %s for update", run, on=session)
    assert ask(engine, runner, 10**15) == {"reserved": 10**15, "spent_out": False}
    assert engine.value("select count(*) from backfill.reservation") == 0


def test_each_meter_has_its_own_budget(engine: Engine) -> None:
    """Calls don't use up bytes; either one stops the run."""
    options = Jsonb({"max_bytes": "1000", "max_calls": 2})
    run = int(engine.value("select backfill.start('sample', %s, p_source => 'cli')", options))
    runner = engine.join(run)
    assert ask(engine, runner, 2, meter="calls")["reserved"] == 2
    assert ask(engine, runner, 1000)["reserved"] == 1000
    assert ask(engine, runner, 3, meter="calls")["spent_out"]
    assert engine.claim(runner)["reason"] == "the run's budget (max_calls) is used up"


@pytest.mark.parametrize("most", ["abc", "", "NaN", "Infinity", -5, "-5", 0, True, {"a": 1}])
def test_a_budget_that_is_none_is_an_error_that_names_the_option(engine: Engine, most: Any) -> None:
    """Whoever typed it in psql hears which option of which run, and what it should be."""
    run, runner = budgeted(engine, most)
    with pytest.raises(errors.Error, match=f"run {run}: its option max_bytes") as raised:
        ask(engine, runner, 10)
    assert raised.value.sqlstate == "BF007"
    assert "a number above 0" in str(raised.value)


@pytest.mark.parametrize("amount", [0, -1, "NaN", "Infinity"])
def test_amounts_that_are_none_are_refused(engine: Engine, amount: Any) -> None:
    """They are an error of who asks, and neither use up the budget nor lift it."""
    run, runner = budgeted(engine, 100)
    for most, least in ((amount, None), (10, amount)):
        with pytest.raises(errors.InvalidParameterValue, match="can't be reserved"):
            ask(engine, runner, most, least)
    assert engine.value("select spent_out from backfill.run where id = %s", run) is None


@pytest.mark.parametrize("used", ["NaN", "Infinity"])
def test_a_use_that_is_no_number_is_refused(engine: Engine, used: str) -> None:
    """Nothing that a process says can lift a budget; what it had reserved stays reserved."""
    run, runner = budgeted(engine, 100)
    name = reserved(engine, runner, 60)
    with pytest.raises(errors.CheckViolation):
        settle(engine, name, used)
    assert taken(engine, run) == 60


def test_budgets_go_with_their_run(engine: Engine) -> None:
    """A task that is removed leaves none behind."""
    _, runner = budgeted(engine, 100)
    settle(engine, reserved(engine, runner, 10), 10)
    reserved(engine, runner, 10)
    engine.rows("select backfill.unregister_task('sample')")
    for table in ("run_meter", "reservation"):
        assert engine.value(f"select count(*) from backfill.{table}") == 0


# --- the revision ---------------------------------------------------------------------------------


def move(url: str, step: Callable[..., Any], revision: str) -> list[str]:
    """Go up or down to a revision of the engine; the catalog there."""
    migrate._online(url, migrate._config([], {}), partial(step, revision=revision))
    return catalog(url)


def test_each_revision_of_the_engine_goes_back_to_the_one_before(database: Database) -> None:
    """Down from the newest, one at a time, each leaves what it found; and so does up again.

    Not compared is the first, whose rights are the defaults and are spelled out after the second.
    """
    script = ScriptDirectory.from_config(migrate._config([], {}))
    revisions = [found.revision for found in script.walk_revisions()][::-1]
    assert revisions[:5] == [f"engine_000{n}" for n in range(1, 6)]
    there = [move(database.url, command.upgrade, revision) for revision in revisions]
    for place in range(len(revisions) - 2, 0, -1):
        assert move(database.url, command.downgrade, revisions[place]) == there[place]
    assert move(database.url, command.upgrade, revisions[-1]) == there[-1]


def work_off(engine: Engine, run: int, **more: Any) -> None:
    """Do all that is left of a run."""
    runner = engine.join(run)
    engine.sweep(run)
    jobs = engine.claim(runner)["jobs"]
    assert jobs
    assert engine.finish(runner, [outcome(job, **more) for job in jobs])["ok"] == len(jobs)
    engine.leave(runner)


def test_work_goes_on_without_this_revision_and_with_it_again(engine: Engine) -> None:
    """With runs that ended at a budget, reservations and figures in the tables."""
    run, runner = budgeted(engine, 100, items=3)
    (job,) = engine.claim(runner, 1)["jobs"]
    figures = [{"name": "bytes", "amount": 95, "label": ""}]
    engine.finish(runner, [outcome(job, figures=figures)])
    settle(engine, reserved(engine, runner, 90), 90)
    reserved(engine, runner, 5)
    assert ask(engine, runner, 20)["spent_out"]
    engine.leave(runner, "budget")

    url = engine.database.url
    move(url, command.downgrade, "engine_0004")
    assert engine.value("select exit_reason from backfill.run where id = %s", run) == "limit"
    assert engine.value("select to_regclass('backfill.run_meter')") is None
    work_off(engine, engine.start(), figures=figures)
    assert engine.states() == {"ok": 3}

    move(url, command.upgrade, "engine@head")
    engine.add(4, 5)
    again, last = budgeted(engine, 50)
    assert ask(engine, last, 50)["reserved"] == 50
    work_off(engine, again, figures=figures)
    assert engine.states() == {"ok": 5}
    assert engine.value("select amount from backfill.run_figures where run = %s", again) == 190
