"""An operator's word, typed in psql, holds on every process."""

from __future__ import annotations

from itertools import pairwise

from tests.plugins.processes import SampleDatabase, StartRun


def test_pause_resume_and_cancel_hold_on_every_process(
    sampled: SampleDatabase, run_sample: StartRun
) -> None:
    """From the moment that a pause commits no process claims; resume and cancel hold as well."""
    sampled.items(slow=20_000)
    command = run_sample(sampled, "--workers", "4", "--batch-size", "10")
    working = "select count(distinct runner_id) from backfill.job where state = 'running'"
    command.until(lambda: sampled.one(working) == 4)

    sampled.do("select backfill.pause('sample', 'maintenance of the application')")
    paused = sampled.one("select clock_timestamp()")
    command.until(lambda: "running" not in sampled.states())
    # a claim that had passed the check before the pause was committed is the last one
    claims = sampled.all(
        "select runner_id, count(*) as jobs from backfill.job where claimed_at > %s"
        " group by runner_id",
        paused,
    )
    assert all(claim["jobs"] <= 10 for claim in claims)
    notes = "select count(*) from backfill.runner where note like 'paused by %%: maintenance%%'"
    command.until(lambda: sampled.one(notes) == 4)
    settled = sampled.one("select clock_timestamp()")
    last = "select max(claimed_at) < %s from backfill.job"
    command.says("paused by postgres: maintenance of the application")

    assert sampled.one(last, settled)
    done = sampled.done()
    sampled.do("select backfill.resume('sample')")
    command.until(lambda: sampled.one(working) == 4)
    assert sampled.done() >= done

    run = sampled.one("select max(id) from backfill.run")
    assert sampled.one("select backfill.cancel(%s)", run) == "cancelling"
    assert command.ended() == 6
    assert sampled.states().keys() == {"ok", "ready"}
    assert set(sampled.writes()) == {0, 1}
    assert sampled.one("select sum(failures) from backfill.job") == 0
    assert f"run {run} was cancelled" in command.out
    assert sampled.one("select exit_reason from backfill.run") == "cancelled"


def test_a_paused_task_is_not_started(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """Starting while paused changes nothing, names who paused it and why, and exits with 4."""
    sampled.items(ok=5)
    sampled.do("select backfill.pause('sample', 'on holiday')")
    command = run_sample(sampled)
    assert command.ended() == 4
    assert command.err == (
        "backfill: sample is paused by postgres: on holiday; "
        "let it go on with: backfill resume sample\n"
    )
    assert sampled.one("select count(*) from backfill.run") == 0


def test_exit_on_pause(sampled: SampleDatabase, run_sample: StartRun) -> None:
    """With --exit-on-pause a paused run finishes what it holds and leaves with 4."""
    sampled.items(slow=5000)
    command = run_sample(sampled, "--exit-on-pause", "--workers", "2")
    command.until(lambda: sampled.done() > 0)
    sampled.do("select backfill.pause('sample')")
    assert command.ended() == 4
    assert "stopped: the task is paused" in command.out
    assert "let it go on with: backfill resume sample" in command.out
    assert sampled.states().keys() == {"ok", "ready"}


def test_new_pacing_holds_from_the_next_claim_on(
    sampled: SampleDatabase, run_sample: StartRun
) -> None:
    """Updating the task's row steers a process that is at work."""
    sampled.items(slow=2000)
    command = run_sample(sampled)
    command.until(lambda: sampled.done() > 0)
    sampled.do("update backfill.task set batch_size = 1, delay_ms = 100")
    changed = sampled.one("select clock_timestamp()")
    # after those that were under way at the change
    claims = (
        "select claimed_at from backfill.job where claimed_at > %s + interval '1 second'"
        " order by claimed_at"
    )
    command.until(lambda: len(sampled.all(claims, changed)) >= 6)
    times = [row["claimed_at"] for row in sampled.all(claims, changed)]
    assert all((b - a).total_seconds() >= 0.1 for a, b in pairwise(times))


def test_version_that_is_raised_stops_older_processes(
    sampled: SampleDatabase, run_sample: StartRun
) -> None:
    """A process of an older version gets no jobs and says what to do; what it did stays done."""
    sampled.items(slow=5000)
    command = run_sample(sampled)
    command.until(lambda: sampled.done() > 0)
    sampled.do("select backfill.register_task('sample', 2, 'Gives each item a text.')")
    assert command.ended() == 1
    assert command.err.splitlines()[-1] == (
        "backfill: task sample is at version 2 in the database and at 1 in this process; "
        "install the same version everywhere, then: backfill migrate"
    )
    assert "was stopped by an error" in command.out
    assert "running" not in sampled.states()
    again = run_sample(sampled)
    assert again.ended() == 1
    assert "newer than version 1 of this program; upgrade pgbackfill here" in again.err
