"""A run's limit is one number for all its processes."""

from __future__ import annotations

from collections import Counter

from tests.plugins.engine import Engine, Row, outcome


def taken(engine: Engine, run: int) -> int:
    """How much of the run's limit is taken."""
    return int(engine.value("select taken from backfill.run where id = %s", run))


def work_off(engine: Engine, runner: int, want: int) -> list[Row]:
    """Claim and finish on a session of its own until nothing is to be had; the jobs."""
    session = engine.connect()
    done: list[Row] = []
    while jobs := engine.claim(runner, want, on=session)["jobs"]:
        engine.finish(runner, [outcome(job) for job in jobs], on=session)
        done += jobs
    return done


def test_many_sessions_together_never_exceed_the_limit(engine: Engine) -> None:
    """Six sessions that claim as fast as they can get exactly the limit, each job once."""
    run, first = engine.at_work(400, limit=251)
    runners = [first, *(engine.join(run) for _ in range(5))]
    parts = [
        engine.meanwhile(work_off, engine, runner, 3 + number)
        for number, runner in enumerate(runners)
    ]
    done = Counter(job["id"] for part in parts for job in part.result())
    assert sum(done.values()) == len(done) == 251
    assert taken(engine, run) == 251
    assert engine.value("select count(*) from item where writes = 1") == 251
    claim = engine.claim(first)
    assert (claim["status"], claim["reason"]) == ("limit", "the run's limit of 251 is taken")


def test_a_claim_that_waited_for_the_last_of_the_limit_is_told_so(engine: Engine) -> None:
    """Of two claims for the last one, the second hears of the limit, not that nothing is ready."""
    run, one = engine.at_work(5, limit=1)
    two = engine.join(run)
    first, second = engine.connect(autocommit=False), engine.connect()
    assert len(engine.claim(one, on=first)["jobs"]) == 1
    waiting = engine.meanwhile(engine.claim, two, on=second)
    engine.blocked(second)
    first.commit()
    assert waiting.result()["status"] == "limit"


def test_what_is_left_of_the_limit_bounds_a_claim(engine: Engine) -> None:
    """A claim for more than what is left gets what is left."""
    run, runner = engine.at_work(10, limit=7)
    assert len(engine.claim(runner, 5)["jobs"]) == 5
    assert len(engine.claim(runner, 5)["jobs"]) == 2
    assert taken(engine, run) == 7


def test_a_retry_of_a_job_of_ones_own_does_not_count_again(engine: Engine) -> None:
    """With the limit taken, a run still gets its own retries, and nothing else."""
    run, runner = engine.at_work(5, limit=2)
    jobs = engine.claim(runner)["jobs"]
    engine.finish(runner, [outcome(job, "retry") for job in jobs])
    engine.due()
    again = engine.claim(runner)["jobs"]
    assert [job["key"] for job in again] == ["1", "2"]
    assert taken(engine, run) == 2
    assert engine.claim(runner)["status"] == "limit"


def test_a_job_handed_back_does_not_count_again(engine: Engine) -> None:
    """A job that was handed back and is taken by the same run anew counts once."""
    run, runner = engine.at_work(5, limit=2)
    engine.claim(runner)
    engine.release(runner)
    other = engine.join(run)
    assert len(engine.claim(other)["jobs"]) == 2
    assert taken(engine, run) == 2


def test_an_orphan_of_ones_own_does_not_count_again(engine: Engine) -> None:
    """With the limit taken, a run's orphans are tried alone, and those of other runs are not."""
    foreign, elsewhere = engine.at_work(2)
    engine.claim(elsewhere, 1)
    engine.silent(elsewhere, 100)
    engine.rescue()
    run = engine.start(limit=1)
    runner = engine.join(run)
    (own,) = engine.claim(runner, 1)["jobs"]
    engine.silent(runner, 100)
    engine.rescue()
    after = engine.join(run)
    claim = engine.claim(after, alone=True)
    assert (claim["solo"], [job["id"] for job in claim["jobs"]]) == (True, [own["id"]])
    assert taken(engine, run) == 1
    claim = engine.claim(after, alone=True)
    assert (claim["status"], claim["solo_waiting"]) == ("limit", False)
    assert engine.claim(engine.join(foreign), alone=True)["solo"]


def test_a_job_of_another_run_counts(engine: Engine) -> None:
    """A retry that another run left behind counts against the limit of the run that takes it."""
    first, runner = engine.at_work(3)
    (job,) = engine.claim(runner, 1)["jobs"]
    engine.finish(runner, [outcome(job, "retry")])
    engine.leave(runner)
    engine.due()
    second = engine.start(limit=2)
    later = engine.join(second)
    assert [job["key"] for job in engine.claim(later)["jobs"]] == ["1", "2"]
    assert (taken(engine, first), taken(engine, second)) == (0, 2)


def test_the_outlook_of_a_full_run_is_its_own_jobs(engine: Engine) -> None:
    """A run with its limit taken waits for its own retries and not for those of others."""
    _, elsewhere = engine.at_work(3)
    (job,) = engine.claim(elsewhere, 1)["jobs"]
    engine.finish(elsewhere, [outcome(job, "retry")])
    run = engine.start(limit=1)
    runner = engine.join(run)
    (own,) = engine.claim(runner, 1)["jobs"]
    outlook = "select retries, running, solo from backfill.outlook(%s)"
    assert engine.one(outlook, runner) == {"retries": 0, "running": 0, "solo": 0}
    engine.finish(runner, [outcome(own, "retry")])
    assert engine.one(outlook, runner)["retries"] == 1
