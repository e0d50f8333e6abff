"""A row that kills its process is the only one blamed for it."""

from __future__ import annotations

from tests.plugins.engine import Engine, Row, outcome


def crash(engine: Engine, runner: int) -> None:
    """Let this runner's process have died, and be found."""
    engine.silent(runner, 100)
    assert [row["runner_id"] for row in engine.rescue()] == [runner]


def orphans(engine: Engine, count: int) -> int:
    """A run with so many jobs that a crash orphaned."""
    run, runner = engine.at_work(count)
    engine.claim(runner)
    crash(engine, runner)
    return run


def keys(claim: Row) -> list[str]:
    """Keys of the jobs that were claimed."""
    return [job["key"] for job in claim["jobs"]]


def test_orphans_are_ready_at_once_and_nobody_is_blamed(engine: Engine) -> None:
    """The jobs of a dead process cost no attempt, and each says what happened to it."""
    orphans(engine, 3)
    for job in engine.rows("select * from backfill.job"):
        assert (job["state"], job["solo"], job["failures"]) == ("ready", True, 0)
        assert job["error_class"] == "crashed"
        assert "gave no sign of life" in job["error_message"]
    assert engine.value("select count(*) from backfill.attempt_error") == 3


def test_orphans_are_handed_out_one_at_a_time_to_who_is_alone(engine: Engine) -> None:
    """Who holds something is only told that orphans wait; who holds nothing gets one."""
    run = orphans(engine, 3)
    engine.add(4, 5)
    one, two = engine.join(run), engine.join(run)
    engine.sweep(engine.start())
    busy = engine.claim(one)
    assert (keys(busy), busy["solo"], busy["solo_waiting"]) == (["4", "5"], False, True)
    alone = engine.claim(two, alone=True)
    assert (keys(alone), alone["solo"]) == (["1"], True)
    third = engine.claim(engine.join(run), alone=True)
    assert keys(third) == ["2"]


def test_a_position_in_the_queue_hides_no_orphan(engine: Engine) -> None:
    """Orphans are found wherever the process's position is."""
    run = orphans(engine, 1)
    runner = engine.join(run)
    claim = engine.claim(runner, after=10**6, alone=True)
    assert (keys(claim), claim["last_id"]) == (["1"], 10**6)


def test_two_sessions_never_try_the_same_orphan(engine: Engine) -> None:
    """Two claims at once for who is alone get different orphans, without waiting."""
    run = orphans(engine, 2)
    one, two = engine.join(run), engine.join(run)
    session = engine.connect(autocommit=False)
    assert keys(engine.claim(one, alone=True, on=session)) == ["1"]
    assert keys(engine.claim(two, alone=True)) == ["2"]


def test_a_poison_row_is_failed_after_max_attempts_alone(engine: Engine) -> None:
    """A row that kills whoever tries it ends as 'crashed'; its neighbours end well, unblamed."""
    run = orphans(engine, 4)
    poison = "3"
    lives = 0
    while engine.states().get("ready"):
        runner = engine.join(run)
        lives += 1
        while job := next(iter(engine.claim(runner, alone=True)["jobs"]), None):
            if job["key"] == poison:
                crash(engine, runner)
                break
            engine.finish(runner, [outcome(job)])
    assert lives == 4  # three that it killed, one that found nothing more
    assert engine.states() == {"ok": 3, "failed": 1}
    failed = engine.job(poison)
    assert (failed["error_class"], failed["failures"]) == ("crashed", 3)
    neighbours = engine.column("select failures from backfill.job where state = 'ok'")
    assert neighbours == [0, 0, 0]
    assert engine.progress()["failed"] == 1


def test_an_orphan_that_is_finished_alone_is_an_orphan_no_longer(engine: Engine) -> None:
    """Once tried alone without a crash, a row is like any other, its retries too."""
    run = orphans(engine, 2)
    runner = engine.join(run)
    for _ in range(2):
        (job,) = engine.claim(runner, alone=True)["jobs"]
        engine.finish(runner, [outcome(job, "retry")])
    assert engine.column("select solo from backfill.job") == [False, False]
    engine.due()
    assert len(engine.claim(runner)["jobs"]) == 2


def test_an_orphan_handed_back_is_still_tried_alone(engine: Engine) -> None:
    """A process that stops before it tried its orphan leaves it an orphan, for the next one."""
    run = orphans(engine, 2)
    one, two = engine.join(run), engine.join(run)
    engine.claim(one, alone=True)
    engine.release(one)
    engine.claim(one, alone=True)
    engine.leave(one)
    assert engine.column("select solo from backfill.job") == [True, True]
    claim = engine.claim(two)
    assert (claim["status"], claim["solo_waiting"]) == ("none", True)
    assert keys(engine.claim(two, alone=True)) == ["1"]


def test_earlier_failures_count_towards_a_crash(engine: Engine) -> None:
    """A row that failed twice and then kills its process alone has had its three attempts."""
    run, runner = engine.at_work(1)
    for _ in range(2):
        (job,) = engine.claim(runner)["jobs"]
        engine.finish(runner, [outcome(job, "retry")])
        engine.due()
    engine.claim(runner)
    crash(engine, runner)
    assert engine.job(1)["state"] == "ready"
    runner = engine.join(run)
    engine.claim(runner, alone=True)
    crash(engine, runner)
    assert (engine.job(1)["state"], engine.job(1)["attempt"]) == ("failed", 4)


def test_a_run_waits_for_its_orphans(engine: Engine) -> None:
    """The outlook tells of orphans, so that no process leaves while one is to be tried."""
    run = orphans(engine, 2)
    runner = engine.join(run)
    assert engine.value("select solo from backfill.outlook(%s)", runner) == 2
