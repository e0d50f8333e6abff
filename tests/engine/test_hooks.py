"""What is written for webhooks of a run, when, and whom that keeps waiting: nobody."""

from __future__ import annotations

from tests.engine.hooking import beat, begin, deliveries, hook, take
from tests.plugins.engine import Engine, outcome


def test_a_run_is_told_of_from_its_start_to_its_end(engine: Engine) -> None:
    """Start, batches and end are messages with the run's counts, each when it is so."""
    hook(engine)
    run, runner = engine.at_work(30)
    (started,) = deliveries(engine)
    assert (started["moment"], started["run"], started["task"]) == ("before_run", run, "sample")
    assert started["body"]["type"] == "run.started"
    facts = started["body"]["data"]
    assert (facts["run"], facts["task"], facts["status"], facts["found"]) == (
        run, "sample", "running", 30,
    )  # fmt: skip

    jobs = engine.claim(runner, 20)["jobs"]
    beat(engine, runner)
    assert not deliveries(engine, moment="after_batch")
    engine.finish(runner, [outcome(job) for job in jobs])
    beat(engine, runner)
    (batch,) = deliveries(engine, moment="after_batch")
    assert batch["body"]["type"] == "batch.finished"
    assert (batch["body"]["data"]["ok"], batch["body"]["data"]["processed"]) == (20, 20)

    engine.leave(runner)
    (ended,) = deliveries(engine, moment="after_run")
    assert ended["body"]["type"] == "run.ended"
    facts = ended["body"]["data"]
    assert (facts["status"], facts["exit_reason"], facts["ok"]) == ("ended", "done", 20)
    assert facts["ended_at"].endswith("Z")
    assert not engine.rows("select from backfill.run_batch")


def test_what_was_not_told_of_batches_is_told_as_the_run_ends(engine: Engine) -> None:
    """A run that is over between two heartbeats has had its batches."""
    hook(engine)
    _, runner = engine.at_work(3)
    engine.finish(runner, [outcome(job) for job in engine.claim(runner)["jobs"]])
    engine.leave(runner)
    (batch,) = deliveries(engine, moment="after_batch")
    assert batch["body"]["data"]["ok"] == 3


def test_a_start_that_is_rolled_back_tells_nobody(engine: Engine) -> None:
    """A message is written where what it tells of commits."""
    hook(engine)
    other = engine.connect(autocommit=False)
    begin(engine, on=other)
    other.rollback()
    assert not deliveries(engine)


def test_batches_are_told_once_a_second_whatever_the_processes(engine: Engine) -> None:
    """Two processes' heartbeats within a second are one message, with the counts of both."""
    hook(engine)
    run, first = engine.at_work(20)
    second = engine.join(run, pid=2)
    for runner in (first, second):
        engine.finish(runner, [outcome(job) for job in engine.claim(runner, 10)["jobs"]])
    engine.value("select backfill.heartbeat(%s)", first)
    engine.value("select backfill.heartbeat(%s)", second)
    (batch,) = deliveries(engine, moment="after_batch")
    assert batch["body"]["data"]["ok"] == 20


def test_the_newest_batch_takes_the_place_of_one_that_waits(engine: Engine) -> None:
    """A server that is away doesn't make a heap of messages, and none it has seen is changed."""
    hook(engine)
    _, runner = engine.at_work(40)
    seen = []
    for _ in range(3):
        engine.finish(runner, [outcome(job) for job in engine.claim(runner, 10)["jobs"]])
        beat(engine, runner)
        seen += [row["id"] for row in deliveries(engine, moment="after_batch")]
    (batch,) = deliveries(engine, moment="after_batch")
    assert batch["body"]["data"]["ok"] == 30
    assert len(set(seen)) == 3

    being_sent = [row for row in take(engine) if '"batch.finished"' in row["body"]]
    engine.finish(runner, [outcome(job) for job in engine.claim(runner, 10)["jobs"]])
    beat(engine, runner)
    sent, waits = deliveries(engine, moment="after_batch")
    assert (sent["id"], sent["body"]["data"]["ok"]) == (being_sent[0]["id"], 30)
    assert waits["body"]["data"]["ok"] == 40


def test_telling_waits_for_nobody(engine: Engine) -> None:
    """While one process tells, or the run or the webhook is locked, other heartbeats pass."""
    hook(engine)
    run, runner = engine.at_work(10)
    engine.finish(runner, [outcome(job) for job in engine.claim(runner, 5)["jobs"]])
    beat(engine, runner)
    engine.finish(runner, [outcome(job) for job in engine.claim(runner, 5)["jobs"]])
    holder = engine.connect(autocommit=False)
    engine.rows("select from backfill.run_batch where run_id = %s for update", run, on=holder)
    engine.rows("select from backfill.run where id = %s for update", run, on=holder)
    engine.rows("select backfill.set_webhook('team', p_max_attempts => 3)", on=holder)
    other = engine.connect(conninfo=engine.database.direct)
    engine.rows("set lock_timeout = '2s'", on=other)
    engine.rows("update backfill.runner set note = null where false", on=other)
    assert engine.value("select backfill.heartbeat(%s)", runner, on=other) == "live"
    (batch,) = deliveries(engine, moment="after_batch")
    assert batch["body"]["data"]["ok"] == 5
    holder.rollback()


def test_only_what_was_asked_for_is_told(engine: Engine) -> None:
    """A webhook is told of its moments and its task, and of nothing while it is off."""
    engine.rows("select backfill.register_task('other', 1, 'Another.')")
    hook(engine, "ends", moments=["after_run"])
    hook(engine, "others", task="other")
    hook(engine, "off", enabled=False)
    _, runner = engine.at_work(2)
    engine.finish(runner, [outcome(job) for job in engine.claim(runner)["jobs"]])
    beat(engine, runner)
    engine.leave(runner)
    assert [(row["webhook"], row["moment"]) for row in deliveries(engine)] == [
        ("ends", "after_run")
    ]


def test_without_webhooks_nothing_is_written(engine: Engine) -> None:
    """Runs leave no trace of hooks where nobody is to be told."""
    _, runner = engine.at_work(2)
    engine.finish(runner, [outcome(job) for job in engine.claim(runner)["jobs"]])
    engine.value("select backfill.heartbeat(%s)", runner)
    engine.leave(runner)
    assert not deliveries(engine)
    assert not engine.rows("select from backfill.run_batch")
