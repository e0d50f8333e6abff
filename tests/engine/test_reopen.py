"""Finished jobs whose row stands in the needs view: done again for a reason, or else not."""

from __future__ import annotations

import pytest

from tests.plugins.engine import FINISHED, Engine, outcome


def finished(engine: Engine, kind: str, **more: object) -> None:
    """One item whose job ended so; only a job that is ok leaves the needs view."""
    _run, runner = engine.at_work(1)
    (job,) = engine.claim(runner)["jobs"]
    engine.finish(runner, [outcome(job, kind, **more)])
    engine.leave(runner)
    assert engine.job(1)["state"] == kind


def swept_again(engine: Engine, *, retry_failed: bool = False) -> int:
    """Jobs that a new run's sweep enqueues."""
    run = engine.start(retry_failed=retry_failed)
    enqueued = engine.sweep(run)
    engine.value("select backfill.cancel(%s)", run)
    return enqueued


@pytest.mark.parametrize("kind", FINISHED)
def test_a_finished_job_stays_finished(engine: Engine, kind: str) -> None:
    """Nothing found, skipped and failed are ends: the row in the view is not done again."""
    finished(engine, kind)
    assert swept_again(engine) == 0
    assert engine.states() == {kind: 1}


@pytest.mark.parametrize("kind", FINISHED)
def test_a_changed_input_reopens(engine: Engine, kind: str) -> None:
    """When the row's revision changed, the job is done again, with its attempts forgiven."""
    finished(engine, kind)
    engine.rows("update item set input = 'changed'")
    assert swept_again(engine) == 1
    job = engine.job(1)
    assert (job["state"], job["failures"], job["finished_at"]) == ("ready", 0, None)
    assert (job["error_class"], job["error_message"], job["runner_id"]) == (None, None, None)
    assert job["revision"] == engine.value("select revision from backfill.needs_sample")


@pytest.mark.parametrize("kind", FINISHED)
def test_a_raised_version_reopens(engine: Engine, kind: str) -> None:
    """When the task's version was raised, all that was finished under a lower one is done again."""
    finished(engine, kind)
    engine.rows("select backfill.register_task('sample', 2, 'Gives each item a text.')")
    assert swept_again(engine) == 1
    assert engine.job(1)["task_version"] == 2


def test_a_lost_result_reopens(engine: Engine) -> None:
    """When an ok job's result is gone from the row, it is computed again."""
    finished(engine, "ok")
    engine.rows("update item set result = null")
    assert swept_again(engine) == 1


def test_a_row_that_did_not_need_work_and_does_again_reopens(engine: Engine) -> None:
    """A job that was skipped since its row was done by other means is no reason to leave it."""
    finished(engine, "skipped", error_class="not_needed")
    assert swept_again(engine) == 1


def test_failed_is_reopened_only_where_the_run_says_so(engine: Engine) -> None:
    """retry_failed takes up what failed, and neither what was skipped nor what had nothing."""
    _, runner = engine.at_work(3)
    jobs = engine.claim(runner)["jobs"]
    kinds = ("failed", "skipped", "nothing_found")
    engine.finish(runner, [outcome(job, kind) for job, kind in zip(jobs, kinds, strict=True)])
    assert swept_again(engine) == 0
    assert swept_again(engine, retry_failed=True) == 1
    assert engine.states() == {"ready": 1, "skipped": 1, "nothing_found": 1}


def test_what_fails_in_a_run_is_not_taken_up_by_it_again(engine: Engine) -> None:
    """retry_failed means what had failed before the run began, or the run would never end."""
    run, runner = engine.at_work(1, retry_failed=True)
    (job,) = engine.claim(runner)["jobs"]
    engine.finish(runner, [outcome(job, "failed")])
    engine.rows("update backfill.sweep set began_at = null, ended_at = null")
    assert engine.sweep(run) == 0
    assert engine.states() == {"failed": 1}


def test_an_unfinished_job_is_left_alone(engine: Engine) -> None:
    """A sweep touches neither a job that is ready nor one that is running, changed or not."""
    _, runner = engine.at_work(2)
    engine.claim(runner, 1)
    before = engine.rows("select * from backfill.job order by id")
    engine.rows("update item set input = 'changed'")
    assert swept_again(engine) == 0
    assert engine.rows("select * from backfill.job order by id") == before


def test_reopened_jobs_are_taken_off_the_counters(engine: Engine) -> None:
    """Done goes down by what is done again, whatever it had ended as."""
    _, runner = engine.at_work(4)
    jobs = engine.claim(runner)["jobs"]
    engine.finish(runner, [outcome(job, kind) for job, kind in zip(jobs, FINISHED, strict=True)])
    engine.rows("update item set input = 'changed'")
    assert swept_again(engine) == 4
    progress = engine.progress()
    assert [progress[kind] for kind in FINISHED] == [0, 0, 0, 0]
    assert (progress["done"], progress["ready"]) == (0, 4)


# --- races ------------------------------------------------------------------------------------


def test_a_job_that_finishes_during_the_sweep_is_not_reopened(engine: Engine) -> None:
    """A sweep that read the row before the result was committed, and the job after it, leaves
    the job finished.

    The view asks for a lock after it was read, and the finish commits while the sweep waits.
    """
    engine.rows("""
        create function hold(key bigint) returns boolean language plpgsql as $$
        begin
            perform pg_advisory_xact_lock_shared(1);
            return true;
        end $$;
        create or replace view backfill.needs_sample as
        select s.* from (
            select i.id::text as key, i.id as native_key, md5(i.input) as revision,
                   i.behaviour, i.input
              from item i where i.result is null offset 0) s
         where hold(s.native_key)
    """)
    _, runner = engine.at_work(2)
    (_, job) = engine.claim(runner)["jobs"]
    run = engine.start()
    engine.discover(run, 1)
    gate, sweeper = engine.connect(autocommit=False), engine.connect()
    engine.rows("select pg_advisory_xact_lock(1)", on=gate)
    sweep = engine.meanwhile(engine.discover, run, 1, on=sweeper)
    engine.blocked(sweeper)  # it has the row, as one that needs work, and not yet the job
    assert engine.finish(runner, [outcome(job)])["ok"] == 1
    gate.rollback()
    assert sweep.result() == {"state": "open", "enqueued": 0}
    assert engine.states() == {"running": 1, "ok": 1}
    assert engine.column("select writes from item order by id") == [0, 1]


def test_a_job_whose_finish_is_not_committed_is_not_reopened(engine: Engine) -> None:
    """A sweep sees a finish in an open transaction neither in the job nor in the row."""
    _, runner = engine.at_work(1)
    (job,) = engine.claim(runner)["jobs"]
    session = engine.connect(autocommit=False)
    engine.finish(runner, [outcome(job)], on=session)
    run = engine.start()
    assert engine.discover(run) == {"state": "open", "enqueued": 0}
    session.commit()
    assert engine.states() == {"ok": 1}


def test_a_job_that_was_redone_meanwhile_is_not_reopened_again(engine: Engine) -> None:
    """Between a sweep's look at a job and its write, the job may be retried and finished anew;
    that result stands.
    """
    finished(engine, "ok")
    engine.rows("update item set result = null")
    run = engine.start()
    # the sweep's look is over when it begins to write; it writes with this time of its look
    looked_at = engine.value("select clock_timestamp()")
    other = engine.start()
    runner = engine.join(other)
    engine.sweep(other)
    (job,) = engine.claim(runner)["jobs"]
    engine.finish(runner, [outcome(job)])
    reopened = engine.value(
        "select backfill.enqueue(%s, '{1}', '{x}', '{1}', '{x}', %s, '1', '1', true)",
        run,
        looked_at,
    )
    assert reopened == 0
    assert engine.states() == {"ok": 1}


def test_a_sweep_does_not_wait_for_a_job_that_somebody_holds(engine: Engine) -> None:
    """A finished job that another transaction has locked is passed over, and found next time."""
    finished(engine, "ok")
    engine.rows("update item set result = null")
    session = engine.connect(autocommit=False)
    engine.rows("select from backfill.job for update", on=session)
    assert swept_again(engine) == 0
    session.rollback()
    assert swept_again(engine) == 1
