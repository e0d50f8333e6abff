"""Jobs in several steps, and tasks that are told of rows that failed."""

from __future__ import annotations

import pytest
from psycopg import errors

from tests.plugins.engine import Engine, Row, outcome

HALF = {"text": "half", "version": 1}

FAIL_HOOK = """
create table told (key text, class text, message text);
create function backfill.fail_sample(failed jsonb) returns void language sql as $$
    insert into public.told
    select f.key, f.error_class, f.error_message
      from jsonb_to_recordset(failed) as f (key text, error_class text, error_message text)
$$;
"""

RAISING_HOOK = """
create function backfill.fail_sample(failed jsonb) returns void language plpgsql as $$
begin
    raise exception 'no room';
end $$;
"""


def step(job: Row) -> Row:
    """The first half of a job's result."""
    return outcome(job, "more", result=HALF, error_class=None, error_message=None)


def test_a_step_is_applied_and_the_job_is_ready_at_once(engine: Engine) -> None:
    """What a step writes is committed, the job is claimed again, and its row is read anew."""
    _, runner = engine.at_work(1)
    (job,) = engine.claim(runner)["jobs"]
    done = engine.finish(runner, [step(job)])
    assert (done["accepted"], done["ok"], done["retried"], done["failed"]) == (1, 0, 0, 0)
    assert engine.column("select result from item") == ["half"]
    assert (engine.job(1)["state"], engine.job(1)["steps"]) == ("ready", 1)
    engine.rows("update item set input = 'b'")
    (again,) = engine.claim(runner)["jobs"]
    assert again["attempt"] == 2
    assert again["input"]["input"] == "b"
    assert engine.finish(runner, [outcome(again)])["ok"] == 1
    assert engine.column("select result from item") == ["result of b"]
    assert (engine.job(1)["state"], engine.job(1)["steps"]) == ("ok", 0)


def test_a_step_may_ask_for_a_wait(engine: Engine) -> None:
    """The next step is due when the wait is over, by the database's clock."""
    _, runner = engine.at_work(1)
    (job,) = engine.claim(runner)["jobs"]
    engine.finish(runner, [step(job) | {"after": 60}])
    assert engine.claim(runner)["status"] == "none"
    wait = "select run_after - clock_timestamp() between '50 s' and '60 s' from backfill.job"
    assert engine.value(wait)
    engine.due()
    assert len(engine.claim(runner)["jobs"]) == 1


def test_steps_are_no_failures_and_count_once(engine: Engine) -> None:
    """Steps cost no attempts, one job of the limit, and are no finished rows in the figures."""
    _, runner = engine.at_work(2, limit=1)
    for _ in range(5):
        (job,) = engine.claim(runner)["jobs"]
        engine.finish(runner, [step(job)])
    assert engine.job(1)["failures"] == 0
    (job,) = engine.claim(runner)["jobs"]
    engine.finish(runner, [outcome(job)])
    assert engine.claim(runner)["status"] == "limit"
    assert engine.one("select ok, failed, retried from backfill.runner") == {
        "ok": 1, "failed": 0, "retried": 0,
    }  # fmt: skip
    assert engine.one("select sum(finished)::int as finished from backfill.runner_minute") == {
        "finished": 1,
    }  # fmt: skip


def test_a_failure_between_steps_repeats_its_own_step_only(engine: Engine) -> None:
    """A retry after a step keeps what the step wrote and counts one failure."""
    _, runner = engine.at_work(1)
    (job,) = engine.claim(runner)["jobs"]
    engine.finish(runner, [step(job)])
    (job,) = engine.claim(runner)["jobs"]
    engine.finish(runner, [outcome(job, "retry")])
    assert engine.column("select result from item") == ["half"]
    assert (engine.job(1)["failures"], engine.job(1)["steps"]) == (1, 1)


def test_steps_come_to_an_end(engine: Engine) -> None:
    """A computation that always wants more is refused its 1,001st step."""
    _, runner = engine.at_work(1)
    engine.rows("update backfill.job set steps = 1000")
    (job,) = engine.claim(runner)["jobs"]
    with pytest.raises(errors.CheckViolation, match="job_comes_to_an_end"):
        engine.finish(runner, [step(job)])


def test_a_task_is_told_of_rows_that_failed(engine: Engine) -> None:
    """fail_<task> gets what failed for good, and nothing that is tried again."""
    engine.rows(FAIL_HOOK)
    _, runner = engine.at_work(3)
    one, two, three = engine.claim(runner)["jobs"]
    engine.finish(
        runner,
        [
            outcome(one, "failed", error_class="gone", error_message="it is gone"),
            outcome(two, "retry"),
            outcome(three),
        ],
    )
    assert engine.rows("select * from told") == [
        {"key": "1", "class": "gone", "message": "it is gone"}
    ]


def test_a_task_is_told_of_rows_that_kill_their_process(engine: Engine) -> None:
    """A row that rescue() fails is told of like any other."""
    engine.rows(FAIL_HOOK)
    engine.rows("update backfill.task set max_attempts = 1 where name = 'sample'")
    run, runner = engine.at_work(1)
    engine.claim(runner)
    engine.silent(runner, 100)
    engine.rescue()
    again = engine.join(run)
    assert engine.claim(again, alone=True)["solo"]
    engine.silent(again, 100)
    engine.rescue()
    assert engine.column("select class from told") == ["crashed"]
    assert engine.column("select failed from backfill.runner order by id") == [0, 1]


def test_a_failure_is_kept_though_the_task_can_not_be_told(engine: Engine) -> None:
    """What fail_<task> raises becomes an event; the job has failed all the same."""
    engine.rows(RAISING_HOOK)
    _, runner = engine.at_work(1)
    (job,) = engine.claim(runner)["jobs"]
    assert engine.finish(runner, [outcome(job, "failed")])["failed"] == 1
    assert engine.job(1)["state"] == "failed"
    (event,) = engine.events("fail_hook_raised")
    assert event["detail"]["error"] == "no room"
