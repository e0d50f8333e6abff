"""Finishing: the fence, all or nothing, and what a failed attempt costs."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.plugins.engine import Engine, Row, outcome

NOTHING = {"accepted": 0, "ok": 0, "nothing_found": 0, "skipped": 0, "failed": 0, "retried": 0}


def everything(engine: Engine) -> list[list[Row]]:
    """All that a finish could write: jobs, the target's rows, counters, errors, rates."""
    tables = (
        "backfill.job", "public.item", "backfill.runner", "backfill.attempt_error",
        "backfill.runner_minute", "backfill.tally",
    )  # fmt: skip
    return [engine.rows(f"select * from {table} t order by t::text") for table in tables]


def claimed(engine: Engine, items: int = 3) -> tuple[int, list[Row]]:
    """A runner and the jobs it holds."""
    _, runner = engine.at_work(items)
    return runner, engine.claim(runner)["jobs"]


# --- the fence --------------------------------------------------------------------------------


def test_results_and_states_commit_together(engine: Engine) -> None:
    """A finished job's result is in the application's row, its counters in the runner's."""
    runner, jobs = claimed(engine)
    done = engine.finish(runner, [outcome(job, ms=5, spend=0.25) for job in jobs])
    assert done == NOTHING | {"accepted": 3, "ok": 3}
    assert engine.column("select result from item order by id") == ["result of a"] * 3
    assert engine.column("select writes from item") == [1, 1, 1]
    counters = engine.one("select ok, busy_ms, spend_usd::float8 from backfill.runner")
    assert counters == {"ok": 3, "busy_ms": 15, "spend_usd": 0.75}
    assert engine.one("select finished, failed, busy_ms from backfill.runner_minute") == {
        "finished": 3, "failed": 0, "busy_ms": 15,
    }  # fmt: skip


def test_another_runner_finishes_nothing(engine: Engine) -> None:
    """A result that comes under another runner's id writes neither job nor target."""
    run, runner = engine.at_work(1)
    other = engine.join(run)
    (job,) = engine.claim(runner)["jobs"]
    before = everything(engine)
    assert engine.finish(other, [outcome(job)]) == NOTHING
    assert everything(engine) == before


def test_another_attempt_finishes_nothing(engine: Engine) -> None:
    """A result of an attempt that was given back writes nothing over the same runner's next one."""
    runner, (job,) = claimed(engine, 1)
    engine.release(runner)
    (again,) = engine.claim(runner)["jobs"]
    assert (again["id"], again["attempt"]) == (job["id"], 2)
    before = everything(engine)
    assert engine.finish(runner, [outcome(job, "failed")]) == NOTHING
    assert everything(engine) == before


def test_a_second_finish_finishes_nothing(engine: Engine) -> None:
    """The same results sent twice, as after a lost reply, are applied and counted once."""
    runner, jobs = claimed(engine)
    results = [outcome(job) for job in jobs]
    assert engine.finish(runner, results)["accepted"] == 3
    before = everything(engine)
    assert engine.finish(runner, results) == NOTHING
    assert everything(engine) == before


def test_a_lost_runner_finishes_nothing(engine: Engine) -> None:
    """A process that was presumed dead and comes back writes nothing, be its job free or taken."""
    run, runner = engine.at_work(1)
    (job,) = engine.claim(runner)["jobs"]
    engine.silent(runner, 100)
    assert engine.rescue() == [{"runner_id": runner, "jobs": 1}]
    before = everything(engine)
    assert engine.finish(runner, [outcome(job)]) == NOTHING
    assert everything(engine) == before
    other = engine.join(run)
    (taken,) = engine.claim(other, alone=True)["jobs"]
    before = everything(engine)
    assert engine.finish(runner, [outcome(job)]) == NOTHING
    assert engine.finish(runner, [outcome(taken)]) == NOTHING
    assert everything(engine) == before
    assert engine.finish(other, [outcome(taken)])["ok"] == 1


def test_a_late_result_leaves_its_neighbours_alone(engine: Engine) -> None:
    """Of a group, what is still the runner's is finished and the rest dropped, counted so."""
    runner, jobs = claimed(engine)
    engine.release(runner, keep=[job["id"] for job in jobs[1:]])
    done = engine.finish(runner, [outcome(job) for job in jobs])
    assert done == NOTHING | {"accepted": 2, "ok": 2}
    assert engine.column("select result is null from item order by id") == [True, False, False]
    assert engine.job(1)["state"] == "ready"


def test_a_runner_that_never_was_finishes_nothing(engine: Engine) -> None:
    """A runner whose run was removed is told that nothing is its own, not an error."""
    _, (job,) = claimed(engine, 1)
    assert engine.finish(4711, [outcome(job)]) == NOTHING


def test_the_same_job_twice_in_a_group_counts_once(engine: Engine) -> None:
    """A group that names a job twice finishes it once."""
    runner, (job,) = claimed(engine, 1)
    assert engine.finish(runner, [outcome(job), outcome(job)])["accepted"] == 1
    assert engine.column("select writes from item") == [1]


# --- all or nothing ---------------------------------------------------------------------------


def test_a_group_with_a_result_that_apply_refuses_leaves_nothing(engine: Engine) -> None:
    """Where the apply function raises, no job of the group is finished and nothing is counted."""
    runner, jobs = claimed(engine)
    before = everything(engine)
    results: list[dict[str, Any]] = [outcome(job) for job in jobs]
    results[1]["result"] = {"text": "x", "version": "not a number"}
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        engine.finish(runner, results)
    assert everything(engine) == before
    assert engine.finish(runner, [results[0], results[2]])["ok"] == 2


def test_a_group_with_an_impossible_outcome_leaves_nothing(engine: Engine) -> None:
    """Where one outcome is none, the whole group is refused, results that were applied included."""
    runner, jobs = claimed(engine)
    before = everything(engine)
    results = [outcome(job) for job in jobs]
    results[2]["outcome"] = "splendid"
    with pytest.raises(psycopg.errors.CheckViolation):
        engine.finish(runner, results)
    assert everything(engine) == before


def test_only_results_of_finished_jobs_are_applied(engine: Engine) -> None:
    """A failed, skipped or retried job's result never reaches the application."""
    runner, jobs = claimed(engine, 4)
    result = {"text": "no", "version": 1}
    kinds = ("failed", "skipped", "retry", "nothing_found")
    engine.finish(
        runner, [outcome(job, kind, result=result) for job, kind in zip(jobs, kinds, strict=True)]
    )
    # nothing_found may have something to write: that nothing was found
    assert engine.column("select result from item order by id") == [None, None, None, "no"]


def test_a_row_locked_by_somebody_is_waited_for_briefly(engine: Engine) -> None:
    """A target row in somebody's long transaction gives an error to try again, not a hang."""
    runner, (job,) = claimed(engine, 1)
    holder = engine.connect(autocommit=False)
    engine.rows("select from item where id = 1 for update", on=holder)
    with pytest.raises(psycopg.errors.LockNotAvailable):
        engine.finish(runner, [outcome(job)])
    assert engine.job(1)["state"] == "running"
    holder.rollback()
    assert engine.finish(runner, [outcome(job)])["ok"] == 1


# --- failed attempts --------------------------------------------------------------------------


def test_a_job_is_failed_after_max_attempts(engine: Engine) -> None:
    """Retries that count are tried max_attempts times, each attempt on record."""
    runner, (job,) = claimed(engine, 1)
    for attempt in (1, 2, 3):
        done = engine.finish(runner, [outcome(job, "retry", error_message=f"attempt {attempt}")])
        assert (done["retried"], done["failed"]) == ((1, 0) if attempt < 3 else (0, 1))
        engine.due()
        jobs = engine.claim(runner)["jobs"]
        assert len(jobs) == (1 if attempt < 3 else 0)
        job = jobs[0] if jobs else job
    failed = engine.job(1)
    assert (failed["state"], failed["attempt"], failed["failures"]) == ("failed", 3, 3)
    assert failed["error_message"] == "attempt 3"
    errors = engine.rows("select attempt, retry_at is null as last from backfill.attempt_error")
    assert errors == [
        {"attempt": 1, "last": False}, {"attempt": 2, "last": False}, {"attempt": 3, "last": True},
    ]  # fmt: skip


def test_a_failure_for_good_is_not_tried_again(engine: Engine) -> None:
    """A job that failed for good at its first attempt stays failed."""
    runner, (job,) = claimed(engine, 1)
    assert engine.finish(runner, [outcome(job, "failed")])["failed"] == 1
    assert engine.job(1)["failures"] == 1
    engine.due()
    assert engine.claim(runner)["status"] == "none"


def test_an_attempt_that_does_not_count_costs_nothing(engine: Engine) -> None:
    """A throttled attempt may come as often as it likes; the attempts that count are all left."""
    runner, (job,) = claimed(engine, 1)
    for _ in range(5):
        done = engine.finish(runner, [outcome(job, "retry", counts=False)])
        assert (done["retried"], done["failed"]) == (1, 0)
        engine.due()
        (job,) = engine.claim(runner)["jobs"]
    assert engine.job(1)["failures"] == 0
    assert engine.job(1)["attempt"] == 6


def test_an_attempt_that_does_not_count_never_fails_a_job(engine: Engine) -> None:
    """Not even where the operator lowered max_attempts to what is spent already."""
    runner, (job,) = claimed(engine, 1)
    engine.finish(runner, [outcome(job, "retry")])
    engine.rows("update backfill.task set max_attempts = 1")
    engine.due()
    (job,) = engine.claim(runner)["jobs"]
    assert engine.finish(runner, [outcome(job, "retry", counts=False)])["retried"] == 1
    assert engine.job(1)["state"] == "ready"


def test_an_attempt_counts_unless_it_says_otherwise(engine: Engine) -> None:
    """A result that does not say whether it counts does."""
    engine.rows("update backfill.task set max_attempts = 1")
    runner, (job,) = claimed(engine, 1)
    result = outcome(job, "retry")
    del result["counts"]
    assert engine.finish(runner, [result])["failed"] == 1


def test_a_success_forgets_the_error(engine: Engine) -> None:
    """A job that succeeds after a retry shows no error any more; the attempt stays on record."""
    runner, (job,) = claimed(engine, 1)
    engine.finish(runner, [outcome(job, "retry")])
    assert engine.job(1)["error_class"] == "test"
    engine.due()
    (job,) = engine.claim(runner)["jobs"]
    engine.finish(runner, [outcome(job)])
    done = engine.job(1)
    assert (done["state"], done["error_class"], done["error_message"]) == ("ok", None, None)
    assert engine.value("select count(*) from backfill.attempt_error") == 1


# --- backoff ----------------------------------------------------------------------------------


def delays(engine: Engine, failures: int, after: float | None = None) -> list[float]:
    """Seconds of many delays after so many failures, with a base of 2 s and at most 600."""
    return engine.column(
        "select extract(epoch from backfill.retry_delay('2 s', '10 min', %s, %s))::float8"
        " from generate_series(1, 500)",
        failures,
        after,
    )


@pytest.mark.parametrize("failures", [1, 2, 3, 8])
def test_backoff_doubles_with_jitter_within_bounds(engine: Engine, failures: int) -> None:
    """The n-th wait is between half of and all of base times two to the power of n - 1."""
    full = 2.0 * 2 ** (failures - 1)
    found = delays(engine, failures)
    assert min(found) >= full / 2
    assert max(found) <= full
    # spread over the whole upper half: 500 draws leave a tenth of it empty once in 1e22
    assert min(found) < full * 0.55
    assert max(found) > full * 0.95


@pytest.mark.parametrize("failures", [10, 31, 100, 2_000_000_000])
def test_backoff_never_exceeds_its_maximum(engine: Engine, failures: int) -> None:
    """However many failures there were, the wait is at most backoff_max, and no overflow."""
    found = delays(engine, failures)
    assert min(found) >= 300
    assert max(found) <= 600


def test_retry_after_is_respected(engine: Engine) -> None:
    """The server's own Retry-After is waited for, however long; a shorter one changes nothing."""
    assert set(delays(engine, 1, after=1000)) == {1000.0}
    assert 1 <= min(delays(engine, 1, after=0.5)) < 1.1


def test_a_retry_is_not_due_before_its_time(engine: Engine) -> None:
    """A job to be retried after an hour is nobody's until then."""
    runner, (job,) = claimed(engine, 1)
    engine.finish(runner, [outcome(job, "retry", after=3600)])
    assert engine.claim(runner)["status"] == "none"
    wait = engine.value(
        "select extract(epoch from run_after - clock_timestamp())::float8 from backfill.job"
    )
    assert 3590 < wait <= 3600
    engine.due()
    assert engine.claim(runner)["status"] == "jobs"
