"""Claiming: who gets which job, and how a process's position in the queue works."""

from __future__ import annotations

from tests.plugins.engine import Engine, Row, outcome


def keys(claim: Row) -> list[str]:
    """Keys of the jobs that were claimed."""
    return [job["key"] for job in claim["jobs"]]


def test_two_sessions_never_get_the_same_job(engine: Engine) -> None:
    """A claim passes over what another session's open transaction took, without waiting for it."""
    run, one = engine.at_work(6)
    two = engine.join(run)
    first, second = engine.connect(autocommit=False), engine.connect(autocommit=False)
    assert keys(engine.claim(one, 2, on=first)) == ["1", "2"]
    assert keys(engine.claim(two, 2, on=second)) == ["3", "4"]
    assert keys(engine.claim(one, 9, on=first)) == ["5", "6"]
    assert engine.claim(two, 9, on=second)["status"] == "none"
    first.rollback()
    second.commit()
    assert engine.keys("running") == ["3", "4"]
    assert keys(engine.claim(one)) == ["1", "2", "5", "6"]


def test_a_claim_brings_the_row_as_it_is_now(engine: Engine) -> None:
    """The inputs and the revision are read at the claim, not when the job was enqueued."""
    _, runner = engine.at_work(1)
    engine.rows("update item set input = 'changed'")
    (job,) = engine.claim(runner)["jobs"]
    assert job["input"]["input"] == "changed"
    assert job["revision"] == job["input"]["revision"] != engine.job(1)["revision"]
    engine.finish(runner, [outcome(job)])
    assert engine.job(1)["revision"] == job["revision"]
    assert engine.value("select result from item") == "result of changed"


def test_a_row_that_needs_work_no_longer_comes_without_input(engine: Engine) -> None:
    """A row that was done by other means since it was enqueued is claimed without inputs."""
    _, runner = engine.at_work(2)
    engine.rows("delete from item where id = 1")
    assert [job["input"] is None for job in engine.claim(runner)["jobs"]] == [True, False]


def test_due_retries_come_before_fresh_jobs(engine: Engine) -> None:
    """A claim takes retries that are due, the longest due first, and then fresh jobs in order."""
    _, runner = engine.at_work(6)
    jobs = engine.claim(runner, 3)["jobs"]
    engine.finish(runner, [outcome(job, "retry") for job in jobs])
    engine.rows(
        "update backfill.job set run_after = clock_timestamp() - make_interval(secs => id)"
        " where run_after is not null and key <> '2'"
    )
    engine.rows(
        "update backfill.job set run_after = clock_timestamp() + interval '1 hour' where key = '2'"
    )
    taken = engine.claim(runner, 3)
    assert sorted(keys(taken)) == ["1", "3", "4"]
    assert keys(engine.claim(runner, 9)) == ["5", "6"]


def test_a_claim_goes_on_where_the_last_one_ended(engine: Engine) -> None:
    """last_id and last_due bound the next claim from below; what stands behind is left there."""
    _, runner = engine.at_work(6)
    first = engine.claim(runner, 3)
    assert first["last_id"] == first["jobs"][-1]["id"]
    engine.release(runner)
    # handed back: due, no longer fresh
    again = engine.claim(runner, 1, after=first["last_id"], due_after=first["last_due"])
    assert keys(again) == ["1"]
    assert again["last_due"] is not None
    on = engine.claim(runner, 9, after=again["last_id"], due_after=again["last_due"])
    assert keys(on) == ["2", "3", "4", "5", "6"]


def test_a_position_survives_a_claim_that_finds_nothing(engine: Engine) -> None:
    """A claim that finds nothing hands back the position that it was given."""
    _, runner = engine.at_work(3)
    first = engine.claim(runner)
    nothing = engine.claim(runner, after=first["last_id"], due_after=first["last_due"])
    assert (nothing["status"], nothing["reason"]) == ("none", "nothing is ready")
    assert nothing["last_id"] == first["last_id"]


def test_what_came_to_stand_behind_is_found_from_the_start(engine: Engine) -> None:
    """A job behind a process's position is not seen from there, and is from the start again."""
    _, runner = engine.at_work(2)
    (first, second) = engine.claim(runner)["jobs"]
    engine.finish(runner, [outcome(first, "retry"), outcome(second, "retry")])
    engine.due()
    due = engine.claim(runner, 1)
    behind = engine.value("select min(run_after) from backfill.job where state = 'ready'")
    beyond = engine.value("select %s + interval '1 second'", behind)
    assert engine.claim(runner, after=due["last_id"], due_after=beyond)["status"] == "none"
    assert engine.claim(runner, due_after=behind)["status"] == "jobs"


def test_many_due_at_the_same_instant_are_all_taken(engine: Engine) -> None:
    """A position within jobs that are due at one instant leaves none of them out."""
    _, runner = engine.at_work(5)
    engine.claim(runner)
    engine.release(runner)
    engine.rows("update backfill.job set run_after = '2000-01-01'")
    position: Row = {"last_id": 0, "last_due": None}
    found = []
    for _ in range(3):
        position = engine.claim(
            runner, 2, after=position["last_id"], due_after=position["last_due"]
        )
        found += keys(position)
    assert sorted(found) == ["1", "2", "3", "4", "5"]


def test_stock_is_what_lies_ahead(engine: Engine) -> None:
    """Stock says how many jobs are enqueued beyond the process's position, without counting."""
    _, runner = engine.at_work(10)
    first = engine.claim(runner, 4)
    assert (first["stock"], first["look_ahead"]) == (6, 5000)
    assert engine.claim(runner, 6, after=first["last_id"])["stock"] == 0


# --- reasons not to hand out jobs -------------------------------------------------------------


def test_a_paused_task_hands_out_nothing(engine: Engine) -> None:
    """From the pause on no claim gets a job, and hears who paused it and why."""
    _, runner = engine.at_work(1)
    engine.rows("select backfill.pause('sample', 'disk is full')")
    claim = engine.claim(runner)
    assert (claim["status"], claim["jobs"]) == ("paused", [])
    assert claim["reason"] == f"paused by {engine.connection.info.user}: disk is full"
    engine.rows("select backfill.resume('sample')")
    assert engine.claim(runner)["status"] == "jobs"


def test_a_cancelled_run_hands_out_nothing(engine: Engine) -> None:
    """A runner of a cancelled run is told so; one of another run goes on."""
    run, runner = engine.at_work(1)
    other = engine.join(engine.start())
    assert engine.value("select backfill.cancel(%s)", run) == "cancelling"
    claim = engine.claim(runner)
    assert (claim["status"], claim["reason"]) == ("cancelled", f"run {run} was cancelled")
    assert engine.claim(other)["status"] == "jobs"


def test_a_process_of_another_version_gets_nothing(engine: Engine) -> None:
    """Where the code's version differs from the database's, no row is computed by mistake."""
    run, _ = engine.at_work(1)
    old = engine.join(run, version=1)
    engine.rows("select backfill.register_task('sample', 2, 'Gives each item a text.')")
    claim = engine.claim(old)
    assert claim["status"] == "version"
    assert claim["reason"] == (
        "task sample is at version 2 in the database and at 1 in this process"
    )
    assert engine.claim(engine.join(run, version=2))["status"] == "jobs"


def test_a_runner_that_left_gets_nothing(engine: Engine) -> None:
    """A claim for a runner that left, was lost or never was is told that it is lost."""
    run, runner = engine.at_work(1)
    engine.join(run)
    engine.leave(runner)
    assert engine.claim(runner)["status"] == "lost"
    assert engine.claim(4711)["status"] == "lost"


def test_limits_and_pacing_come_from_the_run_or_else_the_task(engine: Engine) -> None:
    """A claim tells the batch size and the delay to go on with, changed ones at once."""
    _, runner = engine.at_work(4)
    claim = engine.claim(runner, 1)
    assert (claim["batch_size"], claim["delay_ms"]) == (20, 0)
    engine.rows("update backfill.task set batch_size = 7, delay_ms = 50")
    claim = engine.claim(runner, 1)
    assert (claim["batch_size"], claim["delay_ms"]) == (7, 50)
    engine.rows("update backfill.run set batch_size = 3, delay_ms = 9")
    claim = engine.claim(runner, 1)
    assert (claim["batch_size"], claim["delay_ms"]) == (3, 9)
