"""`--limit` of a task that limits by a column: real processes, and what kills them."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from tests.plugins.processes import Command, SampleDatabase, StartRun
from tests.plugins.waiting import wait_until

LIMITED = "tests.loop.limited:task"
USERS = 6


def of_users(sampled: SampleDatabase, each: int, behaviour: str = "ok") -> None:
    """Add so many items of each user, one after the other in turn."""
    sampled.items(**{behaviour: each * USERS})
    sampled.do(
        f"update item set input = 'user' || mod(id, {USERS}) where behaviour = %s", behaviour
    )


def done(sampled: SampleDatabase) -> Counter[str]:
    """Items with a result by user; each was written once."""
    assert sampled.one("select coalesce(max(writes), 0) from item") <= 1
    return Counter(row["input"] for row in sampled.all("select input from item where writes = 1"))


def every(number: int) -> dict[str, int]:
    """So many items of each user."""
    return {f"user{user}": number for user in range(USERS)}


@pytest.mark.parametrize("workers", ["1", "4"])
def test_each_run_does_so_many_rows_of_each_user(
    sampled: SampleDatabase, run_sample: StartRun, workers: str
) -> None:
    """All processes together, run after run; the summary says how it goes on, until it is done."""
    of_users(sampled, 7)
    arguments = ("--limit", "5", "--workers", workers)
    first = run_sample(sampled, *arguments, tasks=LIMITED)
    assert first.ended() == 0, first.err
    assert "run 1, 30 rows to do" in first.err
    assert "sample: run 1 stopped at its limit" in first.out
    assert "go on with: backfill run sample" in first.out
    assert done(sampled) == every(5)
    last = run_sample(sampled, *arguments, "--json", tasks=LIMITED)
    assert last.ended() == 0, last.err
    assert (last.json["found"], last.json["processed"]) == (12, 12)
    assert last.json["exit_reason"] == "done"
    assert done(sampled) == every(7)


def test_processes_that_are_killed_take_nothing_of_the_limit_along(
    sampled: SampleDatabase, run_sample: StartRun
) -> None:
    """Children die at any moment, in a sweep too: in the end each user has its share, no more."""
    of_users(sampled, 40, "slow")
    sampled.do("update backfill.task set look_ahead = 20, batch_size = 5 where name = 'sample'")

    def past(share: int) -> bool:
        return sampled.done() >= share

    running = run_sample(sampled, "--limit", "20", "--workers", "3", "--json", tasks=LIMITED)
    for share in (10, 40, 70):
        running.until(partial(past, share))
        os.kill(running.children()[0], signal.SIGKILL)
    assert running.ended() == 0, running.err
    assert done(sampled) == every(20)
    assert sampled.one("select processes_lost from backfill.runs") >= 1
    assert running.json["exit_reason"] == "limit"


def test_a_command_that_is_killed_is_followed_by_the_next(
    sampled: SampleDatabase, run_sample: StartRun, let_go: Callable[[], None]
) -> None:
    """Its rows are ready again, and count as the first ones of the next run."""
    of_users(sampled, 4, "wait")
    killed = run_sample(sampled, "--limit", "2", tasks=LIMITED)
    killed.until(lambda: sampled.states().get("running", 0) >= 4)
    killed.send(signal.SIGKILL)
    killed.ended()
    wait_until(lambda: sampled.all("select * from backfill.rescue()"))
    sampled.do("select backfill.cancel(1)")
    let_go()
    following = run_sample(sampled, "--limit", "2", "--json", tasks=LIMITED)
    assert following.ended() == 0, following.err
    assert sampled.all("select distinct run_id, attempt from backfill.job where id <= 4") == [
        {"run_id": 2, "attempt": 2}
    ]
    assert done(sampled) == every(2)
    assert following.json["exit_reason"] == "limit"


def test_failed_rows_leave_their_place_until_they_are_taken_up(
    sampled: SampleDatabase, run_sample: StartRun
) -> None:
    """A user whose first rows failed for good gets the next; with --resume they count."""

    def run(*more: str) -> Command:
        command = run_sample(sampled, "--limit", "2", "--json", *more, tasks=LIMITED)
        command.ended()
        return command

    of_users(sampled, 2, "fail")
    sampled.items(ok=3 * USERS)
    sampled.do("update item set input = 'user' || mod(id, %s)", USERS)
    assert run().json["failed"] == 2 * USERS
    assert run().json["ok"] == 2 * USERS
    assert run("--resume").json["failed"] == 2 * USERS
    assert (run().json["ok"], done(sampled)) == (USERS, every(3))


def test_a_run_with_a_condition_beside_it(
    sampled: SampleDatabase, run_sample: StartRun, let_go: Callable[[], None]
) -> None:
    """Two runs at once, each in a lane of its own, do each row once."""
    of_users(sampled, 6, "wait")
    narrow = run_sample(sampled, "--where", "input = 'user0'", "--json")
    narrow.until(lambda: sampled.states().get("running", 0) == 6)
    limited = run_sample(sampled, "--limit", "2", "--json", tasks=LIMITED)
    limited.until(lambda: sampled.one("select count(*) from backfill.runner") == 2)
    let_go()
    assert (narrow.ended(), limited.ended()) == (0, 0), (narrow.err, limited.err)
    assert done(sampled) == {**every(2), "user0": 6}
    assert (narrow.json["processed"], limited.json["processed"]) == (6, 10)
