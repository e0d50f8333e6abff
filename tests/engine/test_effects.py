"""Effects: written before the call, settled with the row's result, handed on after a crash."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.engine.paid import (
    PRICE,
    effect,
    finished,
    gone,
    intend,
    intent,
    paid_run,
    reason,
    said,
    say,
    spent,
    written,
)
from tests.plugins.engine import Engine, outcome


def test_a_call_is_on_record_before_it_is_made(engine: Engine) -> None:
    """Another session sees who is about to call what for which row, and for whom it is paid."""
    run, runner = paid_run(engine, 1)
    engine.claim(runner)
    name = written(engine, runner, 1, payer="user:7", region="eu-west-1")
    row = engine.one(
        "select * from backfill.effects where id = %s", name, on=engine.connect(autocommit=False)
    )
    assert (row["task"], row["key"], row["run"], row["runner"]) == ("sample", "1", run, runner)
    assert (row["provider"], row["operation"], row["subject"], row["reference"]) == (
        "rekognition", "IndexFaces", "people", "1",
    )  # fmt: skip
    assert (row["payer"], row["region"], row["attempt"]) == ("user:7", "eu-west-1", 1)
    assert (row["state"], row["usd"], row["reason"]) == (
        "intended",
        PRICE,
        "the call is being made",
    )


def test_a_result_settles_the_calls_of_its_row(engine: Engine) -> None:
    """State, cost and result commit together; the effect is no longer among the unsettled."""
    run, runner = paid_run(engine, 1)
    (job,) = engine.claim(runner)["jobs"]
    name = written(engine, runner, 1)
    assert spent(engine, run) == 0
    finished(engine, runner, job, effects=[said(name)])
    row = effect(engine, name)
    assert (row["state"], row["assumed"], row["ended_at"] is None) == ("settled", False, False)
    assert spent(engine, run) == PRICE
    assert engine.rows("select * from backfill.effects") == []


def test_a_result_that_is_refused_settles_nothing(engine: Engine) -> None:
    """Where the apply function raises, the call stays unsettled, with the row."""
    _, runner = paid_run(engine, 1)
    (job,) = engine.claim(runner)["jobs"]
    name = written(engine, runner, 1)
    with pytest.raises(psycopg.Error):
        finished(engine, runner, job, result={"text": "x", "version": "none"}, effects=[said(name)])
    assert effect(engine, name)["state"] == "intended"
    finished(engine, runner, job, "failed", effects=[said(name)])
    assert effect(engine, name)["state"] == "answered"
    assert reason(engine, name).startswith("it was charged; the row failed (test): retry it")


def test_what_became_of_a_call_comes_with_the_next(engine: Engine) -> None:
    """One statement notes the last answer and writes the next intent; refused costs nothing."""
    run, runner = paid_run(engine, 1)
    (job,) = engine.claim(runner)["jobs"]
    first = written(engine, runner, 1)
    (second,) = intend(engine, runner, intent(1, operation="SearchFaces"), said=[said(first)])
    assert effect(engine, first)["state"] == "answered"
    assert spent(engine, run) == PRICE
    refused = said(second["id"], "refused", note="ThrottlingException")
    finished(engine, runner, job, effects=[refused])
    row = effect(engine, second["id"])
    assert (row["state"], row["note"]) == ("refused", "ThrottlingException")
    assert effect(engine, first)["state"] == "settled"
    assert spent(engine, run) == PRICE


def test_each_is_counted_once_however_often_it_is_said(engine: Engine) -> None:
    """A lost reply has the statement sent again: one effect, one charge, one settlement."""
    run, runner = paid_run(engine, 1)
    (job,) = engine.claim(runner)["jobs"]
    same = intent(1)
    for _ in range(2):
        (row,) = intend(engine, runner, same)
        assert (row["verdict"], row["usd"]) == ("go", PRICE)
    for _ in range(2):
        say(engine, runner, said(row["id"]), said(row["id"]))
    finished(engine, runner, job, effects=[said(row["id"])])
    assert engine.finish(runner, [outcome(job, effects=[said(row["id"])])])["accepted"] == 0
    assert spent(engine, run) == PRICE
    assert engine.value("select count(*) from backfill.effect") == 1


def test_a_crash_hands_its_calls_to_the_next_attempt(engine: Engine) -> None:
    """The next attempt is told what may have been charged, oldest first; rows without are not."""
    _, dead = paid_run(engine, 2)
    engine.claim(dead)
    first = written(engine, dead, 1)
    (second,) = intend(engine, dead, intent(1, operation="SearchFaces"), said=[said(first)])
    gone(engine, dead)
    assert reason(engine, first) == (
        "it was charged; the row's result was not written; the row's next attempt is told of it"
    )
    assert reason(engine, second["id"]) == (
        "its process was gone before the answer; the row's next attempt is told of it"
    )
    alive = engine.join(engine.start())
    engine.sweep(engine.value("select max(id) from backfill.run"))
    jobs = engine.claim(alive, alone=True)["jobs"] + engine.claim(alive, alone=True)["jobs"]
    handed = {job["key"]: job["effects"] for job in jobs}
    assert handed["2"] is None
    assert [(e["id"], e["state"], e["operation"]) for e in handed["1"]] == [
        (str(first), "answered", "IndexFaces"), (str(second["id"]), "intended", "SearchFaces"),
    ]  # fmt: skip
    assert {key: handed["1"][0][key] for key in ("subject", "reference", "usd", "attempt")} == {
        "subject": "people", "reference": "1", "usd": 0.001, "attempt": 1,
    }  # fmt: skip
    assert reason(engine, second["id"]) == "a later attempt at the row was told of it"


@pytest.mark.parametrize(
    "found, state, cost", [("answered", "settled", PRICE), ("void", "void", Decimal(0))]
)
def test_the_next_attempt_says_what_it_found(
    engine: Engine, found: str, state: str, cost: Decimal
) -> None:
    """What the provider holds was charged, to the run that called; what it does not hold wasn't."""
    run, dead = paid_run(engine, 1)
    engine.claim(dead)
    name = written(engine, dead, 1)
    gone(engine, dead)
    later, alive = paid_run(engine)
    (job,) = engine.claim(alive, alone=True)["jobs"]
    finished(engine, alive, job, effects=[said(name, found)])
    assert effect(engine, name)["state"] == state
    assert [spent(engine, run), spent(engine, later)] == [cost, Decimal(0)]


def test_what_nobody_says_a_word_about_counts_as_charged(engine: Engine) -> None:
    """A result settles it all the same, marked as assumed."""
    run, dead = paid_run(engine, 1)
    engine.claim(dead)
    name = written(engine, dead, 1)
    gone(engine, dead)
    _, alive = paid_run(engine)
    (job,) = engine.claim(alive, alone=True)["jobs"]
    finished(engine, alive, job)
    row = effect(engine, name)
    assert (row["state"], row["assumed"]) == ("settled", True)
    assert spent(engine, run) == PRICE


def test_a_row_that_needs_no_work_any_more_settles_nothing(engine: Engine) -> None:
    """Nobody has looked what the provider holds, so the view goes on saying so."""
    _, dead = paid_run(engine, 1)
    engine.claim(dead)
    name = written(engine, dead, 1)
    gone(engine, dead)
    _, alive = paid_run(engine)
    (job,) = engine.claim(alive, alone=True)["jobs"]
    finished(engine, alive, job, "skipped", error_class="not_needed")
    assert reason(engine, name) == (
        "nobody knows whether it was charged; the row is finished (skipped): settle it by hand"
    )


@pytest.mark.parametrize("kind", ["ok", "nothing_found", "more", "skipped"])
def test_a_row_that_is_done_with_is_settled(engine: Engine, kind: str) -> None:
    """Whatever its end, and each step of several."""
    _, runner = paid_run(engine, 1)
    (job,) = engine.claim(runner)["jobs"]
    name = written(engine, runner, 1)
    finished(engine, runner, job, kind, effects=[said(name)])
    assert effect(engine, name)["state"] == "settled"


def test_a_call_without_an_answer_is_handed_on_too(engine: Engine) -> None:
    """A timeout is a crash of the other side: charged or not, the next attempt has to ask."""
    run, runner = paid_run(engine, 1)
    (job,) = engine.claim(runner)["jobs"]
    name = written(engine, runner, 1)
    finished(engine, runner, job, "retry", effects=[said(name, "unknown", note="timed out")])
    row = effect(engine, name)
    assert (row["state"], row["note"]) == ("intended", "timed out")
    assert reason(engine, name) == "no answer came; the row's next attempt is told of it"
    engine.due()
    (again,) = engine.claim(runner)["jobs"]
    assert [e["id"] for e in again["effects"]] == [str(name)]
    assert spent(engine, run) == 0


def test_who_lost_a_row_pays_for_nothing_more(engine: Engine) -> None:
    """A process that is gone, or that holds the row no longer, is not allowed the call."""
    _, dead = paid_run(engine, 2)
    engine.claim(dead)
    gone(engine, dead)
    _, alive = paid_run(engine)
    engine.claim(alive, alone=True)
    for runner, key in ((dead, 1), (alive, 2), (alive, 999), (999_999, 1)):
        (row,) = intend(engine, runner, intent(key))
        assert (row["verdict"], row["reason"]) == ("lost", "its row was given to another process")
    assert engine.value("select count(*) from backfill.effect") == 0


def test_a_late_answer_is_heard(engine: Engine) -> None:
    """What a process that was taken for dead knows of its call counts, though its result doesn't:
    also where another attempt found nothing, since the call came after it had looked.
    """
    run, late = paid_run(engine, 1)
    (job,) = engine.claim(late)["jobs"]
    name = written(engine, late, 1)
    gone(engine, late)
    _, alive = paid_run(engine)
    (again,) = engine.claim(alive, alone=True)["jobs"]
    say(engine, alive, said(name, "void"))
    assert spent(engine, run) == 0
    assert engine.finish(late, [outcome(job, effects=[said(name)])])["accepted"] == 0
    assert effect(engine, name)["state"] == "answered"
    assert spent(engine, run) == PRICE
    finished(engine, alive, again)
    assert effect(engine, name)["state"] == "settled"
    assert spent(engine, run) == PRICE


def test_a_call_may_cost_other_than_expected(engine: Engine) -> None:
    """What the answer says it cost is what counts; to the last digit."""
    run, runner = paid_run(engine, 1)
    (job,) = engine.claim(runner)["jobs"]
    one = written(engine, runner, 1, usd="0.0000000123456789")
    two = written(engine, runner, 1, usd="0.5")
    finished(engine, runner, job, effects=[said(one), said(two, usd="0.1000000000000000001")])
    assert spent(engine, run) == Decimal("0.1000000123456789001")


def test_an_operator_settles_by_hand(engine: Engine) -> None:
    """As charged or not, with a note, on record; what is settled can't be settled again."""
    run, dead = paid_run(engine, 3)
    engine.claim(dead)
    names = [written(engine, dead, key) for key in (1, 2, 3)]
    say(engine, dead, said(names[2]))
    gone(engine, dead)
    query = "select backfill.settle_effect(%s, %s, 'looked it up')"
    for name, charged in zip(names, (True, False, False), strict=True):
        engine.rows(query, name, charged)
    assert [effect(engine, name)["state"] for name in names] == ["settled", "void", "void"]
    assert spent(engine, run) == PRICE
    assert engine.value("select sum(usd) from backfill.spend") == PRICE
    details = [event["detail"] for event in engine.events("settle_effect")]
    assert [d["charged"] for d in details] == [True, False, False]
    with pytest.raises(psycopg.Error, match="there is no unsettled effect") as raised:
        engine.rows(query, names[0], False)
    assert raised.value.sqlstate == "BF008"
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        engine.rows(query, uuid4(), None)


def test_pruning_keeps_what_is_unsettled_and_what_was_spent(engine: Engine) -> None:
    """Runs go, with the effects that are settled; open ones stay and can still be settled."""
    run, runner = paid_run(engine, 2)
    first, _ = engine.claim(runner)["jobs"]
    done, left = written(engine, runner, 1), written(engine, runner, 2)
    finished(engine, runner, first, effects=[said(done)])
    gone(engine, runner)
    engine.rows("update backfill.run set status = 'ended', ended_at = now(), exit_reason = 'lost'")
    engine.rows("select * from backfill.prune('0')")
    assert engine.column("select id from backfill.effect") == [left]
    assert engine.value("select count(*) from backfill.run where id = %s", run) == 0
    engine.rows("select backfill.settle_effect(%s, true)", left)
    assert engine.value("select sum(usd) from backfill.spend") == 2 * PRICE


@pytest.mark.parametrize(
    "change",
    ["state = 'sold'", "usd = -1", "usd = 'NaN'", "ended_at = now()", "assumed = true",
     "provider = ''"],
)  # fmt: skip
def test_a_state_that_can_not_be_is_refused(engine: Engine, change: str) -> None:
    """By the database itself."""
    _, runner = paid_run(engine, 1)
    engine.claim(runner)
    written(engine, runner, 1)
    with pytest.raises(psycopg.errors.CheckViolation):
        engine.rows(f"update backfill.effect set {change}")


def test_a_claim_reads_what_is_unsettled_and_not_what_is_settled(engine: Engine) -> None:
    """Whatever was paid before, a claim looks into the small index alone."""
    _, runner = paid_run(engine, 2)
    engine.rows(
        "insert into backfill.effect (id, state, task, key, attempt, run_id, runner_id, provider,"
        " operation, usd, ended_at)"
        " select gen_random_uuid(), 'settled', 'sample', g::text, 1, 1, 1, 'p', 'o', 1, now()"
        " from generate_series(1, 20000) g"
    )
    engine.rows("analyze backfill.effect")
    plan: list[Any] = engine.column(
        "explain select from backfill.effect e where e.task = 'sample'"
        " and e.state in ('intended', 'answered')"
    )
    assert "effect_unsettled" in "\n".join(plan)
    assert [job["effects"] for job in engine.claim(runner)["jobs"]] == [None, None]


# --- beside each other ----------------------------------------------------------------------------


def test_an_intent_that_is_sent_again_while_the_first_is_under_way(engine: Engine) -> None:
    """A connection that was cut may have left the first at work: both are the same call."""
    _, runner = paid_run(engine, 1)
    engine.claim(runner)
    same = intent(1)
    holder, sessions = engine.connect(autocommit=False), [engine.connect(), engine.connect()]
    engine.rows("lock table backfill.effect in share mode", on=holder)
    sent = [engine.meanwhile(intend, engine, runner, same, on=session) for session in sessions]
    for session in sessions:
        engine.blocked(session)
    holder.commit()
    assert [row["verdict"] for one in sent for row in one.result()] == ["go", "go"]
    assert engine.value("select count(*) from backfill.effect") == 1


def test_a_finish_and_an_operator_don_t_wait_for_each_other(engine: Engine) -> None:
    """A finish has locked all that it settles before it counts what any of it cost."""
    run, dead = paid_run(engine, 1)
    engine.claim(dead)
    old = written(engine, dead, 1)
    gone(engine, dead)
    _, alive = paid_run(engine)
    (job,) = engine.claim(alive, alone=True)["jobs"]
    new = written(engine, alive, 1)
    operator, session = engine.connect(autocommit=False), engine.connect()
    engine.rows("select from backfill.effect where id = %s for update", old, on=operator)
    result = [outcome(job, effects=[said(new)])]
    finishing = engine.meanwhile(engine.finish, alive, result, on=session)
    engine.blocked(session)
    engine.rows("select backfill.settle_effect(%s, true)", old, on=operator)
    operator.commit()
    assert finishing.result()["ok"] == 1
    assert (spent(engine, run), effect(engine, old)["assumed"]) == (PRICE, False)
    assert engine.value("select sum(usd) from backfill.spend") == 2 * PRICE


def test_a_run_that_is_pruned_meanwhile_fails_no_row(engine: Engine) -> None:
    """Of what its calls cost, the run's own sum is gone with it and the rest is counted."""
    run, dead = paid_run(engine, 1)
    engine.claim(dead)
    old = written(engine, dead, 1)
    gone(engine, dead)
    engine.rows("select backfill.end_run(%s, 'lost')", run)
    _, alive = paid_run(engine)
    (job,) = engine.claim(alive, alone=True)["jobs"]
    pruning, session = engine.connect(autocommit=False), engine.connect()
    engine.rows("select backfill.prune('0')", on=pruning)
    finishing = engine.meanwhile(engine.finish, alive, [outcome(job)], on=session)
    engine.blocked(session)
    pruning.commit()
    assert finishing.result()["ok"] == 1
    assert effect(engine, old)["state"] == "settled"
    assert engine.value("select sum(usd) from backfill.spend") == PRICE
