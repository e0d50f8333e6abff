"""Budgets in money that no number of processes exceeds."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from alembic import command

from runner.database import migrate
from tests.cli.catalog import catalog
from tests.engine.paid import (
    PRICE,
    effect,
    finished,
    gone,
    intend,
    intent,
    paid_run,
    said,
    say,
    spent,
    written,
)
from tests.plugins.engine import Engine, Row, outcome

SPENT_OUT = "the task's budget of $0.002 a month is used up"


def ask(engine: Engine, runner: int, key: object = 1, **more: Any) -> tuple[str, str | None]:
    """Try to write an intent; the verdict and the reason."""
    (row,) = intend(engine, runner, intent(key, **more))
    return row["verdict"], row["reason"]


def budget(engine: Engine, usd: Any, per: str = "month") -> None:
    """Set what the task may spend."""
    engine.rows("select backfill.set_budget('sample', %s::numeric, %s)", usd, per)


# --- budgets --------------------------------------------------------------------------------------


def spend_all(engine: Engine, runner: int, jobs: list[Row]) -> tuple[list[str], Decimal]:
    """Call for each of these rows until that is refused; the verdicts, and what was charged."""
    session = engine.connect()
    verdicts: list[str] = []
    word: list[Row] = []
    charged = Decimal(0)
    for number, job in enumerate(jobs):
        while True:
            (row,) = intend(engine, runner, intent(job["key"]), said=word, on=session)
            word = []
            if row["verdict"] != "wait":
                break
        verdicts.append(row["verdict"])
        if row["verdict"] == "go":
            refused = number % 5 == 0
            word = [said(row["id"], "refused" if refused else "answered")]
            charged += 0 if refused else row["usd"]
    intend(engine, runner, said=word, on=session)
    return verdicts, charged


def test_eight_processes_stop_within_one_call_of_the_limit(engine: Engine) -> None:
    """Calls that are refused give their money back; none is allowed beyond the limit."""
    run, first = paid_run(engine, 400, max_cost=0.2)
    runners = [first, *(engine.join(run) for _ in range(7))]
    held = [engine.claim(runner, 50)["jobs"] for runner in runners]
    parts = [
        engine.meanwhile(spend_all, engine, runner, jobs)
        for runner, jobs in zip(runners, held, strict=True)
    ]
    done = [part.result() for part in parts]
    assert sum(charged for _, charged in done) == spent(engine, run) == Decimal("0.2")
    assert any("spent" in verdicts for verdicts, _ in done)
    assert engine.claim(first)["status"] == "budget"
    assert len(engine.events("budget")) == 1


def test_what_a_dead_process_may_have_spent_stays_counted(engine: Engine) -> None:
    """No crash makes room in a budget; that it was not charged does."""
    run, dead = paid_run(engine, 2, max_cost="0.002")
    engine.claim(dead)
    names = [written(engine, dead, 1) for _ in range(2)]
    alive = engine.join(run)
    gone(engine, dead)
    engine.claim(alive, 1, alone=True)
    assert ask(engine, alive) == ("spent", "the run's budget of cost is used up")
    say(engine, alive, said(names[0], "void"))
    assert ask(engine, alive)[0] == "go"
    say(engine, alive, said(names[1]))
    assert ask(engine, alive) == ("wait", "budget: calls that others make hold what is left")


def test_a_call_without_an_answer_is_not_waited_for(engine: Engine) -> None:
    """Nobody will say soon what became of it, so it counts as spent."""
    _, runner = paid_run(engine, 1, max_cost="0.001")
    engine.claim(runner)
    name = written(engine, runner, 1)
    assert ask(engine, runner)[0] == "wait"
    say(engine, runner, said(name, "unknown"))
    assert ask(engine, runner)[0] == "spent"


def test_calls_that_cost_nothing_need_no_budget(engine: Engine) -> None:
    """They are written all the same, after the budget is used up too."""
    _, runner = paid_run(engine, 1, max_cost="0.0005")
    engine.claim(runner)
    assert ask(engine, runner)[0] == "spent"
    assert ask(engine, runner, usd="0")[0] == "go"


def test_a_limit_that_is_none_is_an_error_that_names_the_option(engine: Engine) -> None:
    """As with any other budget; the view of budgets does not fail for it."""
    run, runner = paid_run(engine, 1, max_cost="a dollar")
    engine.claim(runner)
    with pytest.raises(psycopg.Error, match=f"run {run}: its option max_cost") as raised:
        ask(engine, runner)
    assert raised.value.sqlstate == "BF007"
    assert engine.rows("select * from backfill.budgets") == []


def test_a_task_s_budget_holds_across_runs(engine: Engine) -> None:
    """What earlier runs spent is gone; the claims of all its runs say why, and so does progress."""
    budget(engine, "0.002")
    _, one = paid_run(engine, 3)
    job, _, _ = engine.claim(one)["jobs"]
    finished(engine, one, job, effects=[said(written(engine, one, 1))])
    engine.leave(one)
    _, two = paid_run(engine)
    _, three = paid_run(engine)
    engine.claim(two, 1)
    written(engine, two, 2)
    assert ask(engine, two, 2)[0] == "wait"
    say(engine, two, said(engine.value("select id from backfill.effects where key = '2'")))
    assert ask(engine, two, 2) == ("spent", SPENT_OUT)
    for runner in (two, three):
        claim = engine.claim(runner)
        assert (claim["status"], claim["reason"]) == ("budget", SPENT_OUT)
    assert engine.progress()["wait_reason"] == f"budget: {SPENT_OUT}"
    (event,) = engine.events("budget")
    assert event["detail"]["per"] == "month"


def spent_out(engine: Engine, per: str = "month") -> tuple[int, UUID]:
    """A task whose budget of two calls is used up: a runner, and one of the calls."""
    budget(engine, "0.002", per)
    _, runner = paid_run(engine, 2)
    engine.claim(runner, 1)
    names = [written(engine, runner, 1) for _ in range(2)]
    say(engine, runner, *(said(name) for name in names))
    assert ask(engine, runner)[0] == "spent"
    assert engine.claim(runner)["status"] == "budget"
    return runner, names[0]


def raised(engine: Engine, _: UUID) -> None:
    """The operator gives more."""
    budget(engine, "0.003")


def taken_away(engine: Engine, _: UUID) -> None:
    """The operator takes the limit away."""
    budget(engine, None)


def given_back(engine: Engine, name: UUID) -> None:
    """A call turns out not to have been charged."""
    engine.rows("select backfill.settle_effect(%s, false)", name)


def next_month(engine: Engine, _: UUID) -> None:
    """It was all spent last month."""
    engine.rows("update backfill.spend_month set month = (month - interval '1 month')::date")


@pytest.mark.parametrize("how", [raised, taken_away, given_back, next_month])
def test_a_task_goes_on_once_there_is_money(
    engine: Engine, how: Callable[[Engine, UUID], None]
) -> None:
    """At the next claim, without anybody having to lift anything."""
    runner, name = spent_out(engine)
    how(engine, name)
    assert engine.claim(runner)["status"] == "jobs"
    assert ask(engine, runner)[0] == "go"


def test_a_budget_in_total_does_not_begin_anew(engine: Engine) -> None:
    """Next month is no way out of it."""
    runner, name = spent_out(engine, "total")
    next_month(engine, name)
    claim = engine.claim(runner)
    assert claim["reason"] == "the task's budget of $0.002 in total is used up"


def test_the_tightest_budget_decides(engine: Engine) -> None:
    """Run, month and total are looked at together; the view has each with what is left of it."""
    budget(engine, "1")
    budget(engine, "0.001", "total")
    run, runner = paid_run(engine, 1, max_cost="0.5")
    engine.claim(runner)
    name = written(engine, runner, 1)
    assert ask(engine, runner)[0] == "wait"
    say(engine, runner, said(name))
    assert ask(engine, runner) == ("spent", "the task's budget of $0.001 in total is used up")
    rows = engine.rows("select per, run, used, left_usd from backfill.budgets order by per")
    assert [tuple(row.values()) for row in rows] == [
        ("month", None, PRICE, Decimal("0.999")),
        ("run", run, PRICE, Decimal("0.499")),
        ("total", None, PRICE, Decimal(0)),
    ]
    assert engine.value("select spent_out from backfill.run where id = %s", run) is None


@pytest.mark.parametrize("whose", ["run", "task"])
def test_the_last_of_the_money_is_given_to_one_of_two(engine: Engine, whose: str) -> None:
    """An intent that is not committed yet is waited for: by other processes of a run with a budget,
    and by other runs of a task with one.
    """
    if whose == "run":
        run, one = paid_run(engine, 2, max_cost="0.001")
        two = engine.join(run)
    else:
        budget(engine, "0.001")
        _, one = paid_run(engine, 2)
        _, two = paid_run(engine)
    engine.claim(one, 1)
    engine.claim(two, 1)
    first, second = engine.connect(autocommit=False), engine.connect()
    (row,) = intend(engine, one, intent(1), on=first)
    answer = engine.meanwhile(intend, engine, two, intent(2), on=second)
    engine.blocked(second)
    first.commit()
    assert row["verdict"] == "go"
    assert [r["verdict"] for r in answer.result()] == ["wait"]


def test_without_a_budget_nobody_waits_for_anybody(engine: Engine) -> None:
    """An intent that is not committed holds up no other process."""
    _, one = paid_run(engine, 2)
    _, two = paid_run(engine)
    engine.claim(one, 1)
    engine.claim(two, 1)
    (row,) = intend(engine, one, intent(1), on=engine.connect(autocommit=False))
    assert (row["verdict"], ask(engine, two, 2)[0]) == ("go", "go")


def test_whose_run_spent_its_own_budget_is_told_so(engine: Engine) -> None:
    """Progress says why rows are left."""
    _, runner = paid_run(engine, 2, max_cost="0.0001")
    (job,) = engine.claim(runner, 1)["jobs"]
    assert ask(engine, runner)[0] == "spent"
    finished(engine, runner, job, "retry", counts=False)
    engine.leave(runner, "budget")
    assert engine.progress()["wait_reason"] == "budget: the last run used up its own (max_cost)"


def test_setting_a_budget_is_on_record(engine: Engine) -> None:
    """Who set how much for which period; a period that there is not is refused."""
    budget(engine, "5")
    budget(engine, None)
    assert [event["detail"] for event in engine.events("set_budget")] == [
        {"per": "month", "usd": 5}, {"per": "month", "usd": None},
    ]  # fmt: skip
    with pytest.raises(psycopg.errors.CheckViolation):
        budget(engine, "5", "week")
    with pytest.raises(psycopg.Error, match="no task named 'none'"):
        engine.rows("select backfill.set_budget('none', 5)")


def test_what_the_dead_hold_is_freed_though_nothing_is_left(engine: Engine) -> None:
    """A budget that calls without an end use up hands out their rows, one at a time and no others,
    until one of them says that nothing was charged.
    """
    budget(engine, "0.002")
    run, dead = paid_run(engine, 3)
    calls = [written(engine, dead, job["key"]) for job in engine.claim(dead, 2)["jobs"]]
    alive = engine.join(run)
    (third,) = engine.claim(alive)["jobs"]
    gone(engine, dead)
    assert ask(engine, alive, 3)[0] == "spent"
    finished(engine, alive, third, "retry")
    engine.due()
    assert engine.claim(alive)["status"] == "budget"
    claim = engine.claim(alive, alone=True)
    assert (claim["solo"], [job["key"] for job in claim["jobs"]]) == (True, ["1"])
    assert claim["jobs"][0]["effects"][0]["id"] == str(calls[0])
    other = engine.claim(engine.join(run), alone=True)
    assert [job["key"] for job in other["jobs"]] == ["2"]
    assert engine.claim(engine.join(run), alone=True)["status"] == "budget"
    finished(engine, alive, claim["jobs"][0], effects=[said(calls[0], "void")])
    assert [job["key"] for job in engine.claim(alive)["jobs"]] == ["3"]
    assert ask(engine, alive, 3)[0] == "go"


# --- the revision ---------------------------------------------------------------------------------


def move(url: str, step: Callable[..., Any], revision: str) -> list[str]:
    """Go up or down to a revision of the engine; the catalog there."""
    migrate._online(url, migrate._config([], {}), partial(step, revision=revision))
    return catalog(url)


def test_work_goes_on_without_this_revision_and_with_it_again(engine: Engine) -> None:
    """With effects in every state and a budget that is used up in the tables."""
    runner, name = spent_out(engine)
    say(engine, runner, said(uuid4()))
    engine.rows("select backfill.settle_effect(%s, false)", name)
    written(engine, runner, 1)
    engine.leave(runner)
    url = engine.database.url
    there = catalog(url)
    move(url, command.downgrade, "engine_0005")
    assert engine.value("select to_regclass('backfill.effect')") is None
    assert engine.value("select spend_usd from backfill.runs") == 0
    engine.due()
    left = engine.join(engine.start())
    jobs = engine.claim(left)["jobs"]
    assert engine.finish(left, [outcome(job) for job in jobs])["ok"] == 2
    engine.leave(left)
    assert move(url, command.upgrade, "engine@head") == there
    run, again = paid_run(engine, 1)
    (job,) = engine.claim(again)["jobs"]
    new = written(engine, again, job["key"])
    finished(engine, again, job, effects=[said(new)])
    assert (effect(engine, new)["state"], spent(engine, run)) == ("settled", PRICE)
