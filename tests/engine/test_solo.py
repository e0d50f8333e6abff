"""Rows orphaned by a crash are tried in halves, and who kills its process alone is blamed."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import floor, log2

import pytest

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


def suspects(engine: Engine) -> list[int]:
    """With how many each job may be tried, by id."""
    return engine.column("select suspects from backfill.job order by id")


@dataclass
class Trial:
    """What became of the processes that tried a run's orphans, one process after the other."""

    sizes: list[int] = field(default_factory=list)
    """Rows in each claim."""
    crashed: list[list[str]] = field(default_factory=list)
    """Keys in each claim that killed its process, before any of them was finished."""


def try_all(engine: Engine, run: int, poison: set[str]) -> Trial:
    """Work until no row is ready; a claim with poison in it kills its process."""
    trial = Trial()
    runner = engine.join(run)
    while jobs := engine.claim(runner, alone=True)["jobs"]:
        trial.sizes.append(len(jobs))
        if poison.isdisjoint(job["key"] for job in jobs):
            engine.finish(runner, [outcome(job) for job in jobs])
        else:
            trial.crashed.append([job["key"] for job in jobs])
            crash(engine, runner)
            runner = engine.join(run)
    return trial


def test_orphans_are_ready_at_once_and_nobody_is_blamed(engine: Engine) -> None:
    """The jobs of a dead process cost no attempt, and each says what happened to it."""
    orphans(engine, 3)
    for job in engine.rows("select * from backfill.job"):
        assert (job["state"], job["solo"], job["failures"]) == ("ready", True, 0)
        assert job["error_class"] == "crashed"
        assert "gave no sign of life" in job["error_message"]
    assert engine.value("select count(*) from backfill.attempt_error") == 3


def test_orphans_are_handed_out_in_halves_to_who_is_alone(engine: Engine) -> None:
    """Who holds something is only told that orphans wait; who holds nothing gets half of them."""
    run = orphans(engine, 6)
    engine.add(7, 8)
    one, two = engine.join(run), engine.join(run)
    engine.sweep(engine.start())
    busy = engine.claim(one)
    assert (keys(busy), busy["solo"], busy["solo_waiting"]) == (["7", "8"], False, True)
    alone = engine.claim(two, alone=True)
    assert (keys(alone), alone["solo"]) == (["1", "2", "3"], True)
    third = engine.claim(engine.join(run), alone=True)
    assert keys(third) == ["4", "5", "6"]


def test_no_claim_takes_more_orphans_than_it_asked_for(engine: Engine) -> None:
    """A process with slow rows leaves the rest of the half to others."""
    run = orphans(engine, 8)
    assert keys(engine.claim(engine.join(run), 3, alone=True)) == ["1", "2", "3"]
    assert keys(engine.claim(engine.join(run), alone=True)) == ["4", "5", "6", "7"]


def test_orphans_of_others_are_taken_within_the_limit(engine: Engine) -> None:
    """A run takes of another run's orphans no more than its limit has left."""
    orphans(engine, 8)
    run = engine.start(limit=3)
    assert keys(engine.claim(engine.join(run), 2, alone=True)) == ["1", "2"]
    assert keys(engine.claim(engine.join(run), alone=True)) == ["3"]
    assert engine.claim(engine.join(run), alone=True)["status"] == "limit"


def test_each_process_s_orphans_are_halved_for_themselves(engine: Engine) -> None:
    """When a host goes down with several processes, each one's rows are a crowd of their own."""
    run, one = engine.at_work(12)
    two = engine.join(run)
    engine.claim(one, 8)
    engine.claim(two, 4)
    for runner in (one, two):
        engine.silent(runner, 100)
    assert [row["jobs"] for row in engine.rescue()] == [8, 4]
    assert suspects(engine) == [4] * 8 + [2] * 4


def test_rows_nearly_found_out_draw_no_fresh_ones_in(engine: Engine) -> None:
    """Orphans are tried together with those of equal halves only."""
    run = orphans(engine, 8)
    one, two = engine.join(run), engine.join(run)
    assert keys(engine.claim(one, 2, alone=True)) == ["1", "2"]
    assert keys(engine.claim(two, alone=True)) == ["3", "4", "5", "6"]
    crash(engine, two)
    engine.release(one)
    assert suspects(engine) == [4, 4, 2, 2, 2, 2, 4, 4]
    claims = [keys(engine.claim(engine.join(run), alone=True)) for _ in range(3)]
    assert claims == [["1", "2", "7", "8"], ["3", "4"], ["5", "6"]]


def test_a_position_in_the_queue_hides_no_orphan(engine: Engine) -> None:
    """Orphans are found wherever the process's position is."""
    run = orphans(engine, 1)
    runner = engine.join(run)
    claim = engine.claim(runner, after=10**6, alone=True)
    assert (keys(claim), claim["last_id"]) == (["1"], 10**6)


def test_two_sessions_never_try_the_same_orphan(engine: Engine) -> None:
    """Two claims at once for who is alone get different orphans, without waiting."""
    run = orphans(engine, 4)
    one, two = engine.join(run), engine.join(run)
    session = engine.connect(autocommit=False)
    assert keys(engine.claim(one, alone=True, on=session)) == ["1", "2"]
    assert keys(engine.claim(two, alone=True)) == ["3", "4"]


@pytest.mark.parametrize("poison", ["1", "18", "40"])
def test_a_poison_row_among_forty_is_found_by_halving(engine: Engine, poison: str) -> None:
    """A row that kills whoever tries it is alone after 1 + log2 n crashes at most, and ends as
    'crashed' after max_attempts more; its neighbours end well, unblamed.
    """
    trial = try_all(engine, orphans(engine, 40), {poison})
    together = len(trial.crashed) - 3
    assert trial.crashed[together:] == [[poison]] * 3
    assert 1 + together <= 1 + floor(log2(40))
    assert engine.states() == {"ok": 39, "failed": 1}
    failed = engine.job(poison)
    assert (failed["error_class"], failed["failures"], failed["suspects"]) == ("crashed", 3, 1)
    neighbours = "select max(failures) as failures from backfill.job where state = 'ok'"
    assert engine.value(neighbours) == 0
    assert engine.progress()["failed"] == 1


def test_several_poison_rows_are_all_found(engine: Engine) -> None:
    """Rows that each kill their process fail one by one, neighbours of one another or not."""
    poison = {"3", "4", "5", "12"}
    trial = try_all(engine, orphans(engine, 16), poison)
    assert engine.states() == {"ok": 12, "failed": 4}
    assert set(engine.keys("failed")) == poison
    assert all(trial.crashed.count([key]) >= 3 for key in poison)
    assert engine.value("select max(failures) from backfill.job where state = 'ok'") == 0


def test_innocent_orphans_are_done_in_two_claims(engine: Engine) -> None:
    """After a process with forty rows was killed from outside, two claims take them all."""
    trial = try_all(engine, orphans(engine, 40), set())
    assert trial.sizes == [20, 20]
    assert engine.states() == {"ok": 40}


def test_no_row_is_blamed_that_never_was_alone(engine: Engine) -> None:
    """However often a process is killed from outside, only a row that it tried alone has failed."""
    run = orphans(engine, 7)
    alone: set[str] = set()
    for _ in range(12):
        runner = engine.join(run)
        claimed = keys(engine.claim(runner, alone=True))
        if len(claimed) == 1:
            alone.update(claimed)
        crash(engine, runner)
        blamed = set(engine.column("select key from backfill.job where failures > 0"))
        assert blamed <= alone
    assert engine.column("select key from backfill.job where failures > 0")


def test_the_last_of_a_half_is_not_blamed_at_once(engine: Engine) -> None:
    """A row whose neighbours were finished before the crash may have died of what they left; it is
    tried alone first.
    """
    run = orphans(engine, 4)
    runner = engine.join(run)
    first, _ = engine.claim(runner, alone=True)["jobs"]
    engine.finish(runner, [outcome(first)])
    crash(engine, runner)
    assert (engine.job(2)["failures"], engine.job(2)["suspects"]) == (0, 1)


def test_rows_held_together_by_a_lost_reply_are_not_blamed(engine: Engine) -> None:
    """A process that holds two claims, since it never heard of the first, tried no row alone."""
    run = orphans(engine, 2)
    runner = engine.join(run)
    assert keys(engine.claim(runner, alone=True)) == ["1"]
    assert keys(engine.claim(runner, alone=True)) == ["2"]
    crash(engine, runner)
    assert engine.column("select failures from backfill.job") == [0, 0]
    assert suspects(engine) == [1, 1]


@pytest.mark.parametrize("kind", ["retry", "more"])
def test_an_orphan_that_came_to_a_result_is_an_orphan_no_longer(engine: Engine, kind: str) -> None:
    """Once tried without a crash, a row is like any other: its retries too, its further steps."""
    run = orphans(engine, 4)
    runner = engine.join(run)
    for _ in range(2):
        jobs = engine.claim(runner, alone=True)["jobs"]
        engine.finish(runner, [outcome(job, kind) for job in jobs])
    assert engine.column("select solo from backfill.job") == [False] * 4
    assert suspects(engine) == [1] * 4
    engine.due()
    assert len(engine.claim(runner)["jobs"]) == 4


def test_an_orphan_handed_back_is_still_an_orphan(engine: Engine) -> None:
    """A process that stops before it tried its orphans leaves them orphans, for the next one."""
    run = orphans(engine, 4)
    one, two = engine.join(run), engine.join(run)
    engine.claim(one, alone=True)
    engine.release(one)
    engine.claim(one, alone=True)
    engine.leave(one)
    assert engine.column("select solo from backfill.job") == [True] * 4
    claim = engine.claim(two)
    assert (claim["status"], claim["solo_waiting"]) == ("none", True)
    assert keys(engine.claim(two, alone=True)) == ["1", "2"]


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
