"""Figures of a run: counted with the results that say them, and exactly once."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import errors

from tests.plugins.engine import Engine, Row, outcome


def figure(name: str, amount: object, label: str | None = "") -> Row:
    """An element of what a result says."""
    return {"name": name, "amount": amount, "label": label}


def stored(amount: float = 1, label: str = "") -> dict[str, Any]:
    """What an outcome says that stored so much."""
    return {"figures": [figure("stored", amount, label)]}


def figures(engine: Engine, run: int) -> dict[tuple[str, str], int]:
    """A run's figures by label and name."""
    rows = engine.rows("select * from backfill.run_figures where run = %s", run)
    assert {row["task"] for row in rows} <= {"sample"}
    return {(row["label"], row["name"]): row["amount"] for row in rows}


@pytest.mark.parametrize("kind", ["ok", "nothing_found", "skipped", "failed", "retry", "more"])
def test_every_outcome_may_say_figures(engine: Engine, kind: str) -> None:
    """What was done counts, whatever became of the row."""
    run, runner = engine.at_work(1)
    (job,) = engine.claim(runner)["jobs"]
    assert engine.finish(runner, [outcome(job, kind, **stored(3))])["accepted"] == 1
    assert figures(engine, run) == {("", "stored"): 3}


def test_figures_of_each_step_and_each_attempt_count(engine: Engine) -> None:
    """A row that is handed out three times says three times what it did."""
    run, runner = engine.at_work(1)
    for kind in ("more", "retry", "ok"):
        engine.due()
        (job,) = engine.claim(runner)["jobs"]
        engine.finish(runner, [outcome(job, kind, **stored())])
    assert figures(engine, run) == {("", "stored"): 3}


def test_figures_are_added_up_by_name_and_label(engine: Engine) -> None:
    """Over the rows of a group, over groups and over processes; another run has its own."""
    run, one = engine.at_work(5)
    two = engine.join(run)
    jobs = engine.claim(one, 3)["jobs"]
    others = engine.claim(two)["jobs"]
    engine.finish(one, [outcome(job, **stored(1, "host:a.test")) for job in jobs[:2]])
    both = [figure("stored", 1), figure("stored", 0.5, "host:a.test"), figure("stored", 2, None)]
    engine.finish(one, [outcome(jobs[2], figures=both)])
    engine.finish(two, [outcome(job, **stored(10, "host:b.test")) for job in others])
    assert figures(engine, run) == {
        ("", "stored"): 3, ("host:a.test", "stored"): 2.5, ("host:b.test", "stored"): 20,
    }  # fmt: skip
    second, _ = engine.at_work(1)
    assert figures(engine, second) == {}


def test_a_result_sent_twice_counts_once(engine: Engine) -> None:
    """After a lost reply the same group is sent again, and says nothing new."""
    run, runner = engine.at_work(2)
    results = [outcome(job, **stored()) for job in engine.claim(runner)["jobs"]]
    assert engine.finish(runner, results)["accepted"] == 2
    assert engine.finish(runner, results)["accepted"] == 0
    assert figures(engine, run) == {("", "stored"): 2}


def test_what_the_fence_refuses_does_not_count(engine: Engine) -> None:
    """Of a group that was taken away in part, only the rows that are still held are counted."""
    run, late = engine.at_work(2)
    lost, kept = engine.claim(late)["jobs"]
    engine.release(late, keep=[kept["id"]])
    other = engine.join(run)
    (again,) = engine.claim(other)["jobs"]
    engine.finish(other, [outcome(again, **stored(10))])
    results = [outcome(lost, **stored(100)), outcome(kept, **stored(1))]
    assert engine.finish(late, results)["accepted"] == 1
    assert figures(engine, run) == {("", "stored"): 11}


def test_a_process_presumed_dead_adds_nothing_and_what_it_had_added_stays(engine: Engine) -> None:
    """Its figures are those of what it committed; the row that was taken counts with who did it."""
    run, dead = engine.at_work(2)
    first, second = engine.claim(dead)["jobs"]
    engine.finish(dead, [outcome(first, **stored())])
    engine.silent(dead, 100)
    engine.rescue()
    alive = engine.join(run)
    (again,) = engine.claim(alive, alone=True)["jobs"]
    engine.finish(alive, [outcome(again, **stored())])
    engine.finish(dead, [outcome(second, **stored(100))])
    assert figures(engine, run) == {("", "stored"): 2}


def test_figures_commit_with_the_results_or_not_at_all(engine: Engine) -> None:
    """What the apply function refuses leaves no figures, and neither do its neighbours."""
    run, runner = engine.at_work(2)
    good, bad = engine.claim(runner)["jobs"]
    wrong = {"text": "x", "version": "not a number"}
    results = [outcome(good, **stored()), outcome(bad, result=wrong, **stored())]
    with pytest.raises(errors.InvalidTextRepresentation):
        engine.finish(runner, results)
    assert figures(engine, run) == {}
    session = engine.connect(autocommit=False)
    engine.finish(runner, [outcome(good, **stored())], on=session)
    session.rollback()
    assert figures(engine, run) == {}
    assert engine.states() == {"running": 2}


@pytest.mark.parametrize(
    "wrong",
    [figure("", 1), figure("x" * 61, 1), figure("stored", 1, "host:" + "x" * 300),
     figure("stored", None), figure("stored", "many")],
    ids=["no name", "long name", "long label", "no amount", "no number"],
)  # fmt: skip
def test_what_is_no_figure_is_refused(engine: Engine, wrong: Row) -> None:
    """The database keeps none that it could not show, and says so in the class of bad data."""
    run, runner = engine.at_work(1)
    (job,) = engine.claim(runner)["jobs"]
    with pytest.raises(errors.Error) as raised:
        engine.finish(runner, [outcome(job, figures=[wrong])])
    assert (raised.value.sqlstate or "")[:2] in ("22", "23")
    assert figures(engine, run) == {}
    assert engine.finish(runner, [outcome(job)])["ok"] == 1


def test_processes_do_not_wait_for_each_other_s_figures(engine: Engine) -> None:
    """While one process's figures are not committed, another adds to the same ones."""
    run, one = engine.at_work(2)
    two = engine.join(run)
    session = engine.connect(autocommit=False)
    (first,) = engine.claim(one, 1)["jobs"]
    (second,) = engine.claim(two, 1)["jobs"]
    engine.finish(one, [outcome(first, **stored())], on=session)
    engine.finish(two, [outcome(second, **stored())])
    assert figures(engine, run) == {("", "stored"): 1}
    session.commit()
    assert figures(engine, run) == {("", "stored"): 2}


def test_figures_go_with_their_run(engine: Engine) -> None:
    """What prune() takes, it takes with its figures."""
    _, runner = engine.at_work(1)
    (job,) = engine.claim(runner)["jobs"]
    engine.finish(runner, [outcome(job, **stored())])
    engine.leave(runner)
    assert engine.value("select count(*) from backfill.run_figure") == 1
    for table in ("run", "runner"):
        engine.rows(
            f"update backfill.{table} set started_at = started_at - interval '9 days',"
            " ended_at = ended_at - interval '9 days'"
        )
    engine.rows("select * from backfill.prune('7 days')")
    assert engine.value("select count(*) from backfill.run") == 0
    assert engine.value("select count(*) from backfill.run_figure") == 0
