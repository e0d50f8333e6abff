"""What an operator does: its effect, and its trace in the audit."""

from __future__ import annotations

import psycopg
import pytest

from tests.plugins.engine import Engine, Row, outcome


def trace(engine: Engine, action: str) -> Row:
    """The newest event of this action, without its number and time; who and via are checked."""
    event = engine.events(action)[-1]
    who = engine.one("select session_user::text as who, current_setting('application_name') as via")
    assert event["who"] == who["who"]
    assert event["via"] == (who["via"] or "unknown")
    return {name: event[name] for name in ("task", "run_id", "detail")}


# --- start, cancel ----------------------------------------------------------------------------


def test_start_counts_what_there_is_to_do(engine: Engine) -> None:
    """Found is the rows that a run would take: new, waiting and to be done again, no others."""
    _, runner = engine.at_work(5)
    jobs = engine.claim(runner, 4)["jobs"]
    kinds = ("ok", "failed", "skipped", "retry")
    engine.finish(runner, [outcome(job, kind) for job, kind in zip(jobs, kinds, strict=True)])
    engine.add(6)
    engine.rows("update item set result = null where id = 1")
    found = "select found from backfill.run where id = %s"
    assert engine.value(found, engine.start()) == 4  # 1 again, 4 retry, 5 waiting, 6 new
    assert engine.value(found, engine.start(retry_failed=True)) == 5
    assert engine.value(found, engine.start(limit=2)) == 4
    assert engine.value("select max(found) from backfill.runs where max_jobs = 2") == 2


def test_a_big_count_is_estimated(engine: Engine) -> None:
    """Beyond the cap the planner's estimate is taken, and said to be one."""
    engine.add(1, 500)
    engine.rows("analyze item")
    exact = engine.one("select * from backfill.count_pending('sample', null, false, 500)")
    assert exact == {"pending": 500, "exact": True, "unqueued": 500, "again": 0}
    about = engine.one("select * from backfill.count_pending('sample', null, false, 100)")
    assert about["exact"] is False
    assert 100 < about["pending"] <= 1000
    assert about["unqueued"] == about["pending"]


def test_the_first_count_of_a_big_table_is_no_fraction_of_it(engine: Engine) -> None:
    """Before there are any jobs, what is estimated is the view: a question of money hangs on it."""
    engine.add(1, 20_000)
    engine.rows("analyze item")
    about = engine.one("select * from backfill.count_pending('sample', null, false, 100)")
    assert about["exact"] is False
    assert 10_000 <= about["pending"] <= 20_000


def test_start_is_on_record(engine: Engine) -> None:
    """The audit says who started what, with which condition and limit."""
    run = engine.start(where=" native_key > 3 ", limit=5)
    assert trace(engine, "start") == {
        "task": "sample",
        "run_id": run,
        "detail": {
            "where": "native_key > 3", "limit": 5, "retry_failed": False, "source": "cli",
            "found": 0,
        },
    }  # fmt: skip
    assert engine.value("select requested_by = session_user from backfill.run")


@pytest.mark.parametrize(
    "call",
    [
        "select backfill.start('nosuch')",
        "select backfill.pause('nosuch')",
        "select backfill.resume('nosuch')",
        "select backfill.retry('nosuch')",
        "select * from backfill.count_pending('nosuch')",
    ],
)
def test_a_task_that_is_not_installed_is_an_error(engine: Engine, call: str) -> None:
    """The error names the task and those that are installed, and nothing is on record."""
    before = engine.rows("select * from backfill.event")
    with pytest.raises(psycopg.Error, match="no task named 'nosuch' is installed") as caught:
        engine.rows(call)
    assert caught.value.sqlstate == "BF001"
    assert caught.value.diag.message_hint == "installed: sample"
    assert engine.rows("select * from backfill.event") == before


def test_cancel_ends_a_run_when_its_processes_have_left(engine: Engine) -> None:
    """A cancelled run lets its processes finish what they hold, and ends with the last of them."""
    run, runner = engine.at_work(2)
    (job,) = engine.claim(runner, 1)["jobs"]
    assert engine.value("select backfill.cancel(%s)", run) == "cancelling"
    assert trace(engine, "cancel") == {"task": "sample", "run_id": run, "detail": {}}
    assert engine.finish(runner, [outcome(job)])["ok"] == 1
    engine.leave(runner, "done")
    assert engine.one("select status, exit_reason from backfill.run") == {
        "status": "ended", "exit_reason": "cancelled",
    }  # fmt: skip
    assert engine.value("select backfill.cancel(%s)", run) == "ended"
    assert len(engine.events("cancel")) == 1


def test_cancel_ends_a_run_without_processes_at_once(engine: Engine) -> None:
    """A run that nobody works for is over when it is cancelled, and cannot be joined any more."""
    run = engine.start()
    assert engine.value("select backfill.cancel(%s)", run) == "ended"
    assert trace(engine, "end")["detail"] == {"exit_reason": "cancelled"}
    with pytest.raises(psycopg.Error, match=rf"run {run} has ended \(cancelled\)") as caught:
        engine.join(run)
    assert caught.value.sqlstate == "BF004"


def test_a_run_that_is_not_there_is_an_error(engine: Engine) -> None:
    """Cancelling or joining it says so."""
    for call in ("select backfill.cancel(4711)", "select backfill.join_run(4711, 1, 'h', 1, true)"):
        with pytest.raises(psycopg.Error, match="there is no run 4711") as caught:
            engine.rows(call)
        assert caught.value.sqlstate == "BF002"


def test_cancel_waits_for_a_process_that_joins(engine: Engine) -> None:
    """A process that joins while the run is cancelled is counted as one that has to leave."""
    run = engine.start()
    session, canceller = engine.connect(autocommit=False), engine.connect()
    runner = engine.join(run, on=session)
    waiting = engine.meanwhile(engine.value, "select backfill.cancel(%s)", run, on=canceller)
    engine.blocked(canceller)
    session.commit()
    assert waiting.result() == "cancelling"
    assert engine.claim(runner)["status"] == "cancelled"


# --- pause, resume, pacing --------------------------------------------------------------------


def test_pause_and_resume_are_on_record(engine: Engine) -> None:
    """The task says since when, by whom and why it is paused; so does the audit, then as before."""
    engine.rows("select backfill.pause('sample', 'nightly load')")
    task = engine.one("select paused_at is not null as paused, paused_reason from backfill.task")
    assert task == {"paused": True, "paused_reason": "nightly load"}
    assert engine.value("select paused_by = session_user from backfill.task")
    assert trace(engine, "pause")["detail"] == {"reason": "nightly load"}
    engine.rows("select backfill.resume('sample')")
    assert engine.one("select paused_at, paused_by, paused_reason from backfill.task") == {
        "paused_at": None, "paused_by": None, "paused_reason": None,
    }  # fmt: skip
    assert trace(engine, "resume")["detail"] == {}


def test_a_pause_lets_work_in_hand_be_finished(engine: Engine) -> None:
    """Between a pause and the next claim a process finishes what it holds."""
    _, runner = engine.at_work(2)
    (job,) = engine.claim(runner, 1)["jobs"]
    engine.rows("select backfill.pause('sample')")
    assert engine.finish(runner, [outcome(job)])["ok"] == 1
    assert engine.claim(runner)["reason"] == f"paused by {engine.connection.info.user}"


def test_a_change_of_limits_is_on_record(engine: Engine) -> None:
    """A plain update of a task's pacing leaves an event with what was and is; none if equal."""
    before = len(engine.events("set"))
    engine.rows("update backfill.task set batch_size = 50, delay_ms = 0")
    assert trace(engine, "set") == {
        "task": "sample", "run_id": None, "detail": {"batch_size": {"from": 20, "to": 50}},
    }  # fmt: skip
    engine.rows("update backfill.task set batch_size = 50")
    assert len(engine.events("set")) == before + 1


# --- retry ------------------------------------------------------------------------------------


def failed(engine: Engine, *causes: str) -> int:
    """Jobs that failed for these causes, in order of their keys."""
    _, runner = engine.at_work(len(causes))
    jobs = engine.claim(runner)["jobs"]
    engine.finish(
        runner,
        [
            outcome(job, "failed", error_class=cause)
            for job, cause in zip(jobs, causes, strict=True)
        ],
    )
    return runner


def test_retry_makes_failed_jobs_ready_with_attempts_forgiven(engine: Engine) -> None:
    """Retried jobs are due at once, have all their attempts again, and count as failed no more."""
    runner = failed(engine, "a", "b")
    assert engine.value("select backfill.retry('sample')") == 2
    job = engine.job(1)
    assert (job["state"], job["failures"], job["attempt"], job["run_id"]) == ("ready", 0, 1, None)
    assert engine.progress()["failed"] == 0
    assert trace(engine, "retry")["detail"] == {"reopened": 2}
    assert len(engine.claim(runner)["jobs"]) == 2


def test_retry_takes_one_cause_or_these_keys(engine: Engine) -> None:
    """Only jobs of the given cause, and only of the given keys, are taken up again."""
    failed(engine, "a", "b", "b", "b")
    assert engine.value("select backfill.retry('sample', 'a')") == 1
    assert engine.value("select backfill.retry('sample', 'b', '{2,3,99}')") == 2
    assert engine.value("select backfill.retry('sample', 'a')") == 0
    assert engine.keys("failed") == ["4"]
    assert [event["detail"] for event in engine.events("retry")] == [
        {"error_class": "a", "reopened": 1},
        {"error_class": "b", "keys": 3, "reopened": 2},
        {"error_class": "a", "reopened": 0},
    ]


def test_two_retries_at_once_reopen_each_job_once(engine: Engine) -> None:
    """The second waits for the first and finds nothing left; the counters stay right."""
    failed(engine, "a", "a", "a")
    first, second = engine.connect(autocommit=False), engine.connect()
    assert engine.value("select backfill.retry('sample')", on=first) == 3
    waiting = engine.meanwhile(engine.value, "select backfill.retry('sample')", on=second)
    engine.blocked(second)
    first.commit()
    assert waiting.result() == 0
    assert engine.progress()["failed"] == 0


# --- the audit, the tasks ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "update backfill.event set who = 'somebody else'",
        "delete from backfill.event",
        "truncate backfill.event",
    ],
)
def test_the_audit_is_append_only(engine: Engine, statement: str) -> None:
    """Not even the owner changes or removes an event by mistake."""
    before = engine.rows("select * from backfill.event")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        engine.rows(statement)
    assert engine.rows("select * from backfill.event") == before


def test_registering_again_keeps_a_dbas_settings(engine: Engine) -> None:
    """A task registered anew raises its version, never lowers it, and keeps limits and pacing."""
    engine.rows("update backfill.task set batch_size = 5, max_attempts = 9")
    for version in (3, 2):
        engine.rows(
            "select backfill.register_task('sample', %s, 'Better.', 100, 10, '{\"a\": \"b\"}')",
            version,
        )
    task = "select version, summary, batch_size, delay_ms, max_attempts, binding from backfill.task"
    assert engine.one(task) == {
        "version": 3, "summary": "Better.", "batch_size": 5, "delay_ms": 0, "max_attempts": 9,
        "binding": {"a": "b"},
    }  # fmt: skip


def test_unregistering_removes_all_but_the_audit(engine: Engine) -> None:
    """A task's jobs, runs and counters go with it; what was done to it stays on record."""
    failed(engine, "a")
    events = engine.value("select count(*) from backfill.event")
    engine.rows("select backfill.unregister_task('sample')")
    for table in (
        "task",
        "job",
        "run",
        "runner",
        "sweep",
        "tally",
        "attempt_error",
        "runner_minute",
    ):
        assert engine.value(f"select count(*) from backfill.{table}") == 0, table
    assert engine.value("select count(*) from backfill.event") == events + 1


# --- pruning ----------------------------------------------------------------------------------


def test_pruning_keeps_the_numbers(engine: Engine) -> None:
    """Old runs and errors go, and what a task's progress says stays as it was."""
    runner = failed(engine, "a", "b")
    engine.leave(runner)
    before = engine.progress()
    engine.rows("update backfill.run set ended_at = now() - interval '31 days'")
    engine.rows("update backfill.attempt_error set at = now() - interval '31 days'")
    pruned = engine.one("select * from backfill.prune()")
    assert (pruned["runs"], pruned["errors"]) == (1, 2)
    assert engine.value("select count(*) from backfill.runner") == 0
    unchanged = ("done", "ok", "failed", "total", "remaining")
    assert {n: engine.progress()[n] for n in unchanged} == {n: before[n] for n in unchanged}


def test_pruning_keeps_what_leads_to_jobs_that_are_held(engine: Engine) -> None:
    """A run with a process that nobody found dead yet stays, or its jobs would run for ever."""
    run, runner = engine.at_work(1)
    engine.claim(runner)
    engine.rows("select backfill.end_run(%s, 'error')", run)
    engine.rows("update backfill.run set ended_at = now() - interval '31 days'")
    engine.silent(runner, 31 * 86400)
    assert engine.value("select runs from backfill.prune()") == 0
    assert len(engine.rescue()) == 1
    assert engine.value("select runs from backfill.prune()") == 1
    assert engine.states() == {"ready": 1}
