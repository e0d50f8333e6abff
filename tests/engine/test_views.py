"""What a DBA looks at: exact numbers, and a reason in words why nothing moves."""

from __future__ import annotations

import pytest

from tests.plugins.engine import FINISHED, Engine, outcome

NUMBERS = (
    "total", "done", "ok", "nothing_found", "skipped", "failed", "ready", "running", "remaining",
    "per_minute", "processes",
)  # fmt: skip


def looks(engine: Engine, done: int, remaining: int, *, exact: bool = True) -> None:
    """Progress says so many are done and so many remain."""
    row = engine.progress()
    found = {name: row[name] for name in ("done", "remaining", "total", "total_exact")}
    assert found == {
        "done": done, "remaining": remaining, "total": done + remaining, "total_exact": exact,
    }  # fmt: skip


def end_others(engine: Engine) -> None:
    """End all runs, as if their processes had left."""
    engine.rows(
        "select backfill.leave(id, 'interrupted') from backfill.runner where status = 'live'"
    )
    engine.rows("select backfill.cancel(id) from backfill.run where status <> 'ended'")


# --- progress: numbers ------------------------------------------------------------------------


def test_progress_of_a_task_that_never_ran(engine: Engine) -> None:
    """Before the first run every number is 0 and none is null; there is no share of nothing."""
    row = engine.progress()
    assert [row[name] for name in NUMBERS] == [0] * len(NUMBERS)
    assert (row["state"], row["total_exact"], row["percent"], row["eta"]) == (
        "idle", True, None, None,
    )  # fmt: skip
    assert row["wait_reason"] == "not run yet"


def test_of_very_many_waiting_rows_progress_says_about_how_many(engine: Engine) -> None:
    """Up to 10,000 are counted; beyond that a total that stays while rows are done is estimated."""
    fill = (
        "insert into backfill.job (task, key, task_version)"
        " select 'sample', n::text, 1 from generate_series(%s::integer, %s::integer) n"
    )
    engine.rows(fill, 1, 10_000)
    looks(engine, 0, 10_000)
    engine.rows(fill, 10_001, 12_000)
    engine.rows("analyze backfill.job")
    runner = engine.join(engine.start())
    jobs = engine.claim(runner, 1000)["jobs"]
    engine.finish(runner, [outcome(job) for job in jobs[:500]])
    row = engine.progress()
    assert (row["total_exact"], row["done"], row["running"]) == (False, 500, 500)
    assert row["ready"] == pytest.approx(11_000, rel=0.05)
    assert row["total"] == row["done"] + row["remaining"] == 500 + 500 + row["ready"]
    engine.claim(runner, 1000)
    looks(engine, 500, 11_500)


def test_progress_of_a_run_from_beginning_to_end(engine: Engine) -> None:
    """done, remaining and total are exact at each step of a run, swept in chunks."""
    engine.add(1, 10)
    run = engine.start()
    runner = engine.join(run)
    engine.discover(run, 4)
    looks(engine, 0, 10)
    jobs = engine.claim(runner, 3)["jobs"]
    looks(engine, 0, 10)
    assert (engine.progress()["ready"], engine.progress()["running"]) == (1, 3)
    kinds = ("ok", "failed", "retry")
    engine.finish(runner, [outcome(job, kind) for job, kind in zip(jobs, kinds, strict=True)])
    looks(engine, 2, 8)
    engine.discover(run, 4)
    looks(engine, 2, 8)
    engine.sweep(run)
    looks(engine, 2, 8)
    engine.due()
    engine.finish(runner, [outcome(job) for job in engine.claim(runner)["jobs"]])
    looks(engine, 10, 0)
    row = engine.progress()
    assert [row[kind] for kind in FINISHED] == [9, 0, 0, 1]
    assert row["percent"] == 100


def test_progress_of_a_run_that_was_interrupted(engine: Engine) -> None:
    """What waited when a run ended is counted once in the next: neither as found anew nor twice."""
    engine.add(1, 10)
    first = engine.start()
    runner = engine.join(first)
    engine.discover(first, 6)
    jobs = engine.claim(runner, 3)["jobs"]
    engine.finish(runner, [outcome(job) for job in jobs[:2]])
    end_others(engine)
    looks(engine, 2, 8)
    assert engine.progress()["wait_reason"] == "no process is running"
    engine.add(11, 12)
    second = engine.start()
    runner = engine.join(second)
    for _ in range(5):  # the rest of the first sweep, and one of its own
        engine.discover(second, 4)
        looks(engine, 2, 10)
    while jobs := engine.claim(runner)["jobs"]:
        engine.finish(runner, [outcome(job) for job in jobs])
    looks(engine, 12, 0)


def test_progress_of_work_that_is_done_again(engine: Engine) -> None:
    """Rows to be done again are not done, from the count on; the total stays the rows' number."""
    engine.add(1, 6)
    run = engine.start()
    runner = engine.join(run)
    engine.sweep(run)
    engine.finish(runner, [outcome(job) for job in engine.claim(runner)["jobs"]])
    end_others(engine)
    engine.rows("select backfill.register_task('sample', 2, 'Gives each item a text.')")
    again = engine.start()
    runner = engine.join(again, version=2)
    engine.discover(again, 2)
    looks(engine, 0, 6)
    engine.discover(again, 3)
    looks(engine, 0, 6)
    jobs = engine.claim(runner)["jobs"]
    assert len(jobs) == 5
    result = {"text": "result of a", "version": 2}
    engine.finish(runner, [outcome(job, result=result) for job in jobs])
    looks(engine, 5, 1)
    engine.sweep(again)
    looks(engine, 5, 1)


def test_progress_does_not_count_what_no_run_would_take(engine: Engine) -> None:
    """Rows that failed stand in the needs view, and are done all the same."""
    engine.add(1, 6)
    run = engine.start()
    runner = engine.join(run)
    engine.discover(run, 4)
    engine.finish(runner, [outcome(job, "failed") for job in engine.claim(runner)["jobs"]])
    end_others(engine)
    second = engine.start()
    engine.discover(second, 3)
    looks(engine, 4, 2)
    engine.sweep(second)
    looks(engine, 4, 2)
    third = engine.start(retry_failed=True)
    engine.discover(third, 1)
    looks(engine, 0, 6)


def test_progress_says_when_it_is_not_exact(engine: Engine) -> None:
    """An estimated count makes the total inexact until the sweep has been over the view."""
    engine.add(1, 10)
    run = engine.start()
    engine.rows("update backfill.run set found = 99, found_new = 99, found_exact = false")
    engine.discover(run, 4)
    looks(engine, 0, 99, exact=False)
    engine.sweep(run)
    looks(engine, 0, 10)


def test_progress_is_one_row_a_task(engine: Engine) -> None:
    """Tasks don't show up in each other's numbers."""
    engine.rows("select backfill.register_task('other', 1, 'Another.')")
    engine.at_work(3)
    rows = engine.rows("select task, total, processes from backfill.progress order by task")
    assert rows == [
        {"task": "other", "total": 0, "processes": 0},
        {"task": "sample", "total": 3, "processes": 1},
    ]


# --- progress: reasons ------------------------------------------------------------------------


def reason(engine: Engine) -> str | None:
    """Why nothing moves."""
    row = engine.progress()
    text = row["wait_reason"]
    return None if text is None else str(text)


def test_wait_reason_while_it_moves(engine: Engine) -> None:
    """None while a process is at work, whatever another one waits for."""
    run, runner = engine.at_work(1)
    assert reason(engine) is None
    other = engine.join(run)
    engine.value("select backfill.heartbeat(%s, 'waiting for 3 retries')", other)
    assert reason(engine) is None
    engine.value("select backfill.heartbeat(%s, 'waiting for 1 rows')", runner)
    assert reason(engine) == "waiting for 1 rows"
    assert engine.progress()["state"] == "running"


def test_wait_reason_of_a_pause(engine: Engine) -> None:
    """A pause is told before all else, with who and why."""
    engine.at_work(1)
    engine.rows("select backfill.pause('sample', 'disk is full')")
    assert reason(engine) == f"paused by {engine.connection.info.user}: disk is full"
    assert engine.progress()["state"] == "paused"


def test_wait_reason_without_processes(engine: Engine) -> None:
    """With work left or a run begun it says that nobody works; without, that there is nothing."""
    run, runner = engine.at_work(1)
    other = engine.join(run)
    engine.leave(other)
    engine.leave(runner, "interrupted")
    assert reason(engine) == "no process is running"
    engine.start()
    assert reason(engine) == "no process works for the run that was started"


def test_wait_reason_of_processes_that_are_silent(engine: Engine) -> None:
    """Processes that gave no sign of life for ten seconds are not said to be at work."""
    run, runner = engine.at_work(1)
    engine.silent(runner, 20)
    assert reason(engine) == ("no sign of life from its process for 20 s; see backfill.stalled")
    other = engine.join(run)
    engine.silent(other, 12)
    assert reason(engine) == "no sign of life from 2 processes for 12 s; see backfill.stalled"
    engine.value("select backfill.heartbeat(%s, 'waiting for retries')", other)
    assert reason(engine) == "waiting for retries"
    engine.value("select backfill.heartbeat(%s)", runner)
    assert reason(engine) is None


# --- the others -------------------------------------------------------------------------------


def test_running_shows_who_holds_what(engine: Engine) -> None:
    """Each job that is held, its attempt, process and run; not what waits or is done."""
    run, runner = engine.at_work(3)
    engine.claim(runner, 2)
    rows = engine.rows("select * from backfill.running order by key")
    assert [(row["key"], row["attempt"], row["alone"]) for row in rows] == [
        ("1", 1, False), ("2", 1, False),
    ]  # fmt: skip
    assert {(row["task"], row["host"], row["pid"], row["run"], row["runner"]) for row in rows} == {
        ("sample", "test", 1, run, runner)
    }
    assert all(row["held_for"] >= row["last_heartbeat"] * 0 for row in rows)


@pytest.mark.parametrize(
    "silent, direct, words",
    [
        (5, True, None),
        (11, True, "silent; its jobs are given back when its session is gone"),
        (11, False, "silent; behind a pooler, so its jobs are given back after 00:01:00"),
        (61, True, "silent for longer than its"),
    ],
)
def test_stalled_says_what_will_become_of_the_jobs(
    engine: Engine, silent: int, direct: bool, words: str | None
) -> None:
    """A process is stalled after ten seconds; the reason tells what its jobs wait for."""
    run, runner = engine.at_work(2)
    engine.claim(runner)
    engine.rows("update backfill.runner set direct = %s where id = %s", direct, runner)
    engine.silent(runner, silent)
    rows = engine.rows("select * from backfill.stalled")
    if words is None:
        assert rows == []
        return
    (row,) = rows
    assert (row["runner"], row["run"], row["jobs_held"]) == (runner, run, 2)
    assert row["reason"].startswith(words)
    assert row["silent_for"].total_seconds() >= silent


def test_failures_and_their_causes(engine: Engine) -> None:
    """Each failed row with its reason, and the causes counted with an example."""
    run, runner = engine.at_work(4)
    jobs = engine.claim(runner)["jobs"]
    causes = ("timeout", "timeout", "gone")
    engine.finish(
        runner,
        [
            *(
                outcome(job, "failed", error_class=cause, error_message=f"{cause} at {job['key']}")
                for job, cause in zip(jobs, causes, strict=False)
            ),
            outcome(jobs[3], "skipped"),
        ],
    )
    rows = engine.rows(
        "select key, error_message, attempts, run from backfill.failures order by key"
    )
    assert rows == [
        {"key": "1", "error_message": "timeout at 1", "attempts": 1, "run": run},
        {"key": "2", "error_message": "timeout at 2", "attempts": 1, "run": run},
        {"key": "3", "error_message": "gone at 3", "attempts": 1, "run": run},
    ]
    causes_found = engine.rows(
        "select error_class, rows, example_key, example_message from backfill.failure_causes"
        " order by rows desc"
    )
    assert causes_found == [
        {
            "error_class": "timeout", "rows": 2, "example_key": "1",
            "example_message": "timeout at 1",
        },
        {"error_class": "gone", "rows": 1, "example_key": "3", "example_message": "gone at 3"},
    ]  # fmt: skip


def test_throughput_is_of_the_minutes_gone_by(engine: Engine) -> None:
    """Rates come from what was finished in each minute; without any they are 0, not null."""
    rates = (
        "select last_minute, per_minute::float8, last_hour, failed_last_hour, avg_ms::float8"
        "  from backfill.throughput"
    )
    assert engine.one(rates) == {
        "last_minute": 0, "per_minute": 0.0, "last_hour": 0, "failed_last_hour": 0, "avg_ms": None,
    }  # fmt: skip
    _, runner = engine.at_work(0)
    engine.rows(
        "insert into backfill.runner_minute (runner_id, minute, task, finished, failed, busy_ms)"
        " select %s, date_trunc('minute', clock_timestamp()) - make_interval(mins => m), 'sample',"
        " 60, 1, 600 from generate_series(1, 30) m",
        runner,
    )
    engine.rows("update backfill.runner set started_at = now() - interval '1 hour'")
    row = engine.one(rates)
    assert (row["last_minute"], row["last_hour"], row["failed_last_hour"]) == (60, 30 * 60, 30)
    # four or five whole minutes of 60 are in the last five, which are not over yet
    assert 45 <= row["per_minute"] <= 60.1
    assert row["avg_ms"] == 10


def test_eta_is_what_remains_at_this_rate(engine: Engine) -> None:
    """With a process at work and a rate there is a time left; with none there is not."""
    _, runner = engine.at_work(120)
    engine.rows("update backfill.runner set started_at = now() - interval '1 minute'")
    engine.finish(runner, [outcome(job) for job in engine.claim(runner, 60)["jobs"]])
    row = engine.progress()
    expected = 60 * row["remaining"] / float(row["per_minute"])
    assert abs(row["eta"].total_seconds() - expected) < 2
    engine.leave(runner)
    assert engine.progress()["eta"] is None


def test_runs_are_the_sums_of_their_processes(engine: Engine) -> None:
    """A run's numbers add up over its processes, those that left and those that died too."""
    run, one = engine.at_work(6)
    two, three = engine.join(run), engine.join(run)
    for runner, kind in ((one, "ok"), (two, "nothing_found"), (three, "retry")):
        jobs = engine.claim(runner, 2)["jobs"]
        engine.finish(runner, [outcome(job, kind, ms=10, spend=0.5) for job in jobs])
    engine.leave(two)
    engine.silent(three, 100)
    engine.rescue()
    row = engine.one("select * from backfill.runs")
    assert (row["run"], row["status"], row["found"], row["processed"]) == (run, "running", 6, 4)
    assert (row["ok"], row["nothing_found"], row["retried"]) == (2, 2, 2)
    assert (row["processes"], row["processes_lost"], row["busy_ms"]) == (1, 1, 60)
    assert row["spend_usd"] == 3
