"""What happened last: the rows that finish() keeps, and the words for them and for events."""

from __future__ import annotations

import pytest

from tests.plugins.engine import Engine, Row, outcome

LABELS = """
create view backfill.activity_sample as
select i.id as native_key, case when i.id < 3 then 'F-10' || i.id end as label,
       case when i.id = 2 then 'Duplicate detected!' end as words, 'Already analyzed' as skipped
  from public.item i
"""


NOT_NEEDED = {"error_class": "not_needed", "error_message": "the row no longer needs work"}


def lines(engine: Engine, kind: str | None = None) -> list[str]:
    """The log's words, the oldest first, all or those of a kind."""
    return engine.column(
        "select words from backfill.activity where task = 'sample'"
        " and (%s::text is null or kind = %s) order by at, number",
        kind,
        kind,
    )


def done(engine: Engine, runner: int, *kinds: str, **more: object) -> list[Row]:
    """Claim and finish a group of rows with these outcomes; the jobs."""
    jobs = engine.claim(runner, len(kinds))["jobs"]
    engine.finish(
        runner, [outcome(job, kind, **more) for job, kind in zip(jobs, kinds, strict=True)]
    )
    return list(jobs)


def test_rows_are_told_in_a_sentence_each(engine: Engine) -> None:
    """By their key, with what came of them, and why."""
    _, runner = engine.at_work(6)
    jobs = engine.claim(runner)["jobs"]
    kinds = ("ok", "nothing_found", "skipped", "failed", "retry")
    engine.finish(runner, [outcome(job, kind) for job, kind in zip(jobs, kinds, strict=False)])
    engine.finish(runner, [outcome(jobs[5], "skipped", **NOT_NEEDED)])
    assert lines(engine, "row") == [
        "Processed 1 - OK",
        "Processed 2 - Nothing found: test",
        "Skipped 3 - test",
        "Failed 4 - test",
        "Skipped 6 - Already done",
    ]
    assert lines(engine, "retried") == ["To be tried again: 5 - test"]


def test_a_task_may_say_it_better(engine: Engine) -> None:
    """Its own view gives labels and words; what that leaves open is said as usual."""
    engine.rows(LABELS)
    _, runner = engine.at_work(4)
    results = [
        outcome(job, "skipped", **NOT_NEEDED) if job["key"] == "4" else outcome(job, "ok")
        for job in engine.claim(runner, 4)["jobs"]
    ]
    engine.finish(runner, results)
    assert sorted(lines(engine, "row")) == [
        "Processed 3 - OK",
        "Processed F-101 - OK",
        "Processed F-102 - Duplicate detected!",
        "Skipped 4 - Already analyzed",
    ]


def test_a_task_s_view_that_fails_costs_its_words_only(engine: Engine) -> None:
    """The log goes on as without it."""
    engine.rows(
        "create view backfill.activity_sample as select id as native_key,"
        " (1 / (id - id))::text as label, null::text as words, null::text as skipped"
        " from public.item"
    )
    _, runner = engine.at_work(1)
    done(engine, runner, "ok")
    assert lines(engine, "row") == ["Processed 1 - OK"]


def test_the_last_twenty_rows_of_a_process_are_kept(engine: Engine) -> None:
    """Over groups of any size, and every failed one beside them. Each has its number."""
    _, runner = engine.at_work(130)
    done(engine, runner, *["ok"] * 12)
    done(engine, runner, *["ok"] * 12)
    recent = "select seq, jsonb_array_length(rows) as kept from backfill.runner_recent"
    assert engine.one(recent) == {"seq": 24, "kept": 20}
    numbers = "select number, key from backfill.recent_rows('sample') order by number"
    assert engine.rows(numbers) == [{"number": n, "key": str(n)} for n in range(5, 25)]
    done(engine, runner, *["ok"] * 50, "failed", *["ok"] * 48, "retry")
    assert engine.one(recent) == {"seq": 124, "kept": 20}
    found = engine.rows("select number, key, outcome from backfill.recent_rows('sample')")
    assert sorted(row["number"] for row in found) == [75, *range(104, 125)]
    assert all(row["key"] == str(row["number"]) for row in found)
    failed = sorted((row["number"], row["outcome"]) for row in found if row["outcome"] != "ok")
    assert failed == [(75, "failed"), (124, "retried")]


def test_rows_of_a_process_that_died_are_told(engine: Engine) -> None:
    """Those that it held are numbered after those that it was done with."""
    _, runner = engine.at_work(5)
    done(engine, runner, "ok", "failed")
    engine.claim(runner, 3)
    engine.rows("update backfill.runner set heartbeat_at = now() - interval '1 day'")
    engine.rows("select backfill.rescue()")
    found = engine.rows(
        "select number, outcome, error_class from backfill.recent_rows('sample') order by number"
    )
    assert [tuple(row.values()) for row in found] == [
        (1, "ok", None), (2, "failed", "test"), *((n, "retried", "crashed") for n in (3, 4, 5)),
    ]  # fmt: skip


def test_only_what_is_not_known_comes(engine: Engine) -> None:
    """Who says up to where a process's rows are known gets the later ones."""
    run, one = engine.at_work(9)
    two = engine.join(run)
    done(engine, one, "ok", "ok", "ok")
    done(engine, two, "ok", "ok")
    query = "select runner, number from backfill.recent_rows('sample', %s::jsonb) order by 1, 2"
    found = engine.rows(query, f'{{"{one}": 2}}')
    assert [tuple(row.values()) for row in found] == [(one, 3), (two, 1), (two, 2)]
    assert engine.rows(query, f'{{"{one}": 3, "{two}": 2}}') == []


def test_steps_leave_no_line(engine: Engine) -> None:
    """A row in several steps has one when it is done."""
    _, runner = engine.at_work(1)
    done(engine, runner, "more")
    assert lines(engine, "row") == []
    assert engine.rows("select * from backfill.runner_recent") == []
    engine.due()
    done(engine, runner, "ok")
    assert lines(engine, "row") == ["Processed 1 - OK"]


def test_a_result_that_came_late_leaves_no_line(engine: Engine) -> None:
    """What is dropped was not done."""
    _, runner = engine.at_work(1)
    (job,) = engine.claim(runner)["jobs"]
    engine.release(runner)
    assert engine.finish(runner, [outcome(job)])["accepted"] == 0
    assert lines(engine, "row") == []


def test_long_texts_are_cut(engine: Engine) -> None:
    """A page shows no more of an error than a line."""
    _, runner = engine.at_work(1)
    done(engine, runner, "failed", error_message="x" * 5000)
    (line,) = lines(engine, "row")
    assert line == "Failed 1 - " + "x" * 200


def test_processes_that_are_long_gone_are_forgotten(engine: Engine) -> None:
    """The last rows of some twenty processes are kept, and those of whoever is at work."""
    run, old = engine.at_work(40)
    done(engine, old, "ok")
    engine.join(run)
    for _ in range(30):
        runner = engine.join(run)
        done(engine, runner, "ok")
        engine.leave(runner)
    kept = engine.column("select runner_id from backfill.runner_recent order by runner_id")
    assert kept[0] == old
    assert kept[-1] == runner
    assert 20 <= len(kept) <= 22


def test_events_are_told_in_a_sentence_each(engine: Engine) -> None:
    """What operators and the program did, with who and why."""
    run, runner = engine.at_work(2)
    done(engine, runner, "failed")
    engine.rows("select backfill.pause('sample', 'lunch')")
    engine.rows("select backfill.resume('sample')")
    engine.rows("select backfill.retry('sample', 'test')")
    engine.rows("update backfill.task set batch_size = 7 where name = 'sample'")
    engine.rows("select backfill.set_budget('sample', 25)")
    done(engine, runner, "ok", "ok")
    engine.leave(runner)
    assert [line for line in lines(engine, "control") if "backoff" not in line][1:] == [
        f"Run {run} started by postgres",
        "Paused by postgres: lunch",
        "Resumed by postgres",
        "1 failed rows to be tried again (test), says postgres",
        "batch_size is now 7, says postgres",
        "Set budget month, by postgres",
    ]
    assert lines(engine, "info") == ["Found 2 rows to process"]
    end = "Backfill completed successfully! 1 failed, which can be retried"
    assert lines(engine, "done") == [end]
    assert lines(engine)[-1] == end


@pytest.mark.parametrize(
    "kinds, words",
    [
        (("ok", "skipped"), "Backfill completed successfully!"),
        (("failed", "failed"), "Backfill completed: no row came through, 2 failed"),
    ],
)
def test_a_run_of_failures_was_no_success(
    engine: Engine, kinds: tuple[str, ...], words: str
) -> None:
    """Success is told of rows that came through."""
    _, runner = engine.at_work(2)
    done(engine, runner, *kinds)
    engine.leave(runner)
    assert lines(engine, "done") == [words]


@pytest.mark.parametrize(
    "reason, words",
    [
        ("limit", "Run {} stopped at its limit"),
        ("max_duration", "Run {} stopped: its time is over"),
        ("budget", "Run {} stopped: its budget is used up"),
        ("paused", "Run {} stopped: the task is paused"),
        ("interrupted", "Run {} was interrupted"),
        ("error", "Run {} was stopped by an error"),
    ],
)
def test_a_run_s_end_says_why(engine: Engine, reason: str, words: str) -> None:
    """Only one that is done has completed."""
    run, runner = engine.at_work(1)
    engine.leave(runner, reason)
    assert lines(engine)[-1] == words.format(run)


def test_a_run_that_is_lost_or_cancelled_says_so(engine: Engine) -> None:
    """And so do the processes that died."""
    run, runner = engine.at_work(1)
    engine.claim(runner)
    engine.silent(runner, 3600)
    engine.rescue()
    engine.rows("update backfill.runner set ended_at = now() - interval '1 hour'")
    engine.rescue()
    assert lines(engine, "control")[-2:] == [
        "Process 1 on test is gone; 1 rows that it held are tried again",
        f"Run {run} ended: all its processes died; their rows are ready again",
    ]
    other = engine.start()
    engine.rows("select backfill.cancel(%s)", other)
    assert f"Run {other} cancelled by postgres" in lines(engine, "control")


def test_rows_are_called_by_the_table_s_name(engine: Engine) -> None:
    """As the application calls them, where the task says where they are."""
    engine.rows(
        'update backfill.task set binding = \'{"table": "shop.payment_submissions"}\''
        " where name = 'sample'"
    )
    engine.at_work(3, limit=2)
    assert lines(engine, "info") == [
        "Found 3 payment submissions to process, of which this run takes 2"
    ]
