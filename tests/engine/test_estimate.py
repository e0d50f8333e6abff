"""What a run would cost and how long it would take, by what an earlier one did."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from tests.engine.paid import intend, intent, paid_run, said
from tests.plugins.engine import Engine, Row, outcome

SPEND = ("takes", "usd", "usd_a_row", "calls", "run_rows", "processes")


def estimate(engine: Engine, **given: Any) -> Row:
    """What the function says of the sample task."""
    more = "".join(f", p_{name} => %s" for name in given)
    return engine.one(f"select * from backfill.estimate_run('sample'{more})", *given.values())


def ended(
    engine: Engine, rows: int, operations: Iterable[str] = (), **more: Any
) -> tuple[int, int]:
    """A run that finished so many rows, with these calls for each; it, and its runner."""
    run, runner = paid_run(engine, rows)
    jobs = engine.claim(runner)["jobs"]
    calls = [intent(job["key"], operation=name) for job in jobs for name in operations]
    gone = intend(engine, runner, *calls)
    intend(engine, runner, said=[said(row["id"]) for row in gone])
    engine.finish(runner, [outcome(job, **more) for job in jobs])
    engine.leave(runner)
    assert engine.value("select status from backfill.run where id = %s", run) == "ended"
    return run, runner


def lasted(
    engine: Engine, runner: int, minutes: int, at: Iterable[int] = (), start: int = 0
) -> None:
    """Let a runner have worked for so many minutes from `start`, with rows in each of `at`."""
    day = "timestamptz '2026-01-01 00:00Z'"
    engine.rows(
        f"update backfill.runner set started_at = {day} + make_interval(mins => %s),"
        f" heartbeat_at = {day}, ended_at = {day} + make_interval(mins => %s) where id = %s",
        start, start + minutes, runner,
    )  # fmt: skip
    engine.rows("delete from backfill.runner_minute where runner_id = %s", runner)
    for minute in at:
        engine.rows(
            "insert into backfill.runner_minute (runner_id, minute, task, finished)"
            f" values (%s, {day} + make_interval(mins => %s), 'sample', 1)",
            runner, minute,
        )  # fmt: skip


def test_a_run_is_expected_to_go_as_the_last_one_did(engine: Engine) -> None:
    """25 rows took 25 + 25 calls of $0.001 and 50 minutes: 40 rows take 80 calls, $0.08, 80 min."""
    run, runner = ended(engine, 25, ["IndexFaces", "SearchFaces"])
    lasted(engine, runner, 50)
    engine.add(101, 140)
    found = estimate(engine)
    assert (found["pending"], found["exact"], found["run"], found["run_rows"]) == (
        40,
        True,
        run,
        25,
    )
    assert (found["usd"], found["usd_a_row"]) == (Decimal("0.08"), Decimal("0.002"))
    assert (found["takes"], found["processes"]) == (timedelta(minutes=80), 1)
    assert [(c["operation"], c["calls"], c["calls_a_row"], c["usd"]) for c in found["calls"]] == [
        ("IndexFaces", 40, 1, 0.04), ("SearchFaces", 40, 1, 0.04),
    ]  # fmt: skip


def test_rows_are_those_that_the_options_take(engine: Engine) -> None:
    """A condition, a limit and failed rows count as they do for a run; no row costs nothing."""
    ended(engine, 20, ["IndexFaces"], kind="failed")
    assert (estimate(engine)["pending"], estimate(engine)["usd"]) == (0, 0)
    assert estimate(engine)["usd_a_row"] == Decimal("0.001")
    assert estimate(engine, retry_failed=True)["usd"] == Decimal("0.02")
    assert estimate(engine, retry_failed=True, where="native_key <= 5")["usd"] == Decimal("0.005")
    limited = estimate(engine, retry_failed=True, limit=3)
    assert (limited["pending"], limited["exact"], limited["usd"]) == (3, True, Decimal("0.003"))


def test_without_a_run_to_go_by_nothing_is_expected(engine: Engine) -> None:
    """Runs of less than 20 rows, of another version, for new rows, or still at work don't tell."""
    ended(engine, 19, ["IndexFaces"])
    run, _ = ended(engine, 20, ["IndexFaces"])
    engine.add(101, 110)
    assert estimate(engine)["run"] == run
    for change in (
        "update backfill.runner set task_version = 2",
        "update backfill.run set source = 'watch', seats = 1, standing = true, lane = 0",
        "update backfill.run set status = 'running', ended_at = null, exit_reason = null",
    ):
        with engine.connection.transaction(force_rollback=True):
            engine.rows(f"{change} where {'run_id' if 'runner' in change else 'id'} = %s", run)
            found = estimate(engine)
            assert (found["pending"], found["run"]) == (10, None)
            assert [found[name] for name in SPEND] == [None] * len(SPEND)


def test_prices_are_todays_through_their_tiers(engine: Engine) -> None:
    """999,990 calls are made this month: of 30 more 10 cost $0.001, 20 what was set since."""
    run, _ = ended(engine, 20, ["IndexFaces"])
    engine.add(101, 130)
    engine.rows("update backfill.spend_month set calls = 999990")
    engine.rows("select backfill.set_price('rekognition', 'IndexFaces', 0.0005, 1000000)")
    assert estimate(engine)["usd"] == Decimal("0.02")
    # a price that is taken away: what it cost then
    engine.rows("delete from backfill.price")
    assert (estimate(engine)["usd"], estimate(engine)["run"]) == (Decimal("0.03"), run)


def test_costs_that_results_say_are_expected_again(engine: Engine) -> None:
    """$0.5 with each of 20 results, and no call: $5 for ten rows more."""
    ended(engine, 20, spend=0.5)
    engine.add(101, 110)
    assert (estimate(engine)["usd"], estimate(engine)["calls"]) == (5, [])


def test_a_run_of_another_kind_is_not_gone_by(engine: Engine) -> None:
    """Who would pay a provider is told by runs that paid it, who would pay nobody by the others."""
    paid, _ = ended(engine, 20, ["IndexFaces"])
    free, _ = ended(engine, 20)
    assert estimate(engine)["run"] == free
    assert estimate(engine, provider="rekognition")["run"] == paid
    assert estimate(engine, provider="")["run"] == free
    assert estimate(engine, provider="else")["run"] is None


def test_time_without_any_row_is_left_out(engine: Engine) -> None:
    """A night's pause counts ten minutes; where minutes were pruned it can't be told from work."""
    run, runner = ended(engine, 20)
    lasted(engine, runner, 700, [*range(10), *range(680, 690)])
    query = "select * from backfill.run_time(%s)"
    assert engine.one(query, run)["working"] == timedelta(minutes=1 + 9 + 10 + 9)
    engine.rows("delete from backfill.runner_minute where minute < '2026-01-01 05:00Z'")
    assert engine.one(query, run)["working"] == timedelta(minutes=700)


def test_processes_of_a_run_are_those_at_work_on_average(engine: Engine) -> None:
    """One for an hour and another for half of it: 1.5; time without either is none of theirs."""
    run, runner = ended(engine, 20)
    lasted(engine, runner, 60)
    for start, minutes, status in ((0, 30, "left"), (300, 10, "left"), (400, 100, "lost")):
        other = engine.value(
            "insert into backfill.runner (run_id, task, task_version, status, host, pid, direct,"
            " ended_at) values (%s, 'sample', 1, %s, 'test', 2, false, now()) returning id",
            run, status,
        )  # fmt: skip
        lasted(engine, other, minutes, start=start)
    found = engine.one("select * from backfill.run_time(%s)", run)
    assert (found["working"], found["processes"]) == (timedelta(minutes=70), Decimal("1.4"))


def test_the_tightest_budget_is_named(engine: Engine) -> None:
    """$0.02 of $3 a month and of $2 in total are spent: $1.98 is left, in total."""
    assert estimate(engine)["left_usd"] is None
    ended(engine, 20, ["IndexFaces"])
    engine.rows("select backfill.set_budget('sample', 3)")
    engine.rows("select backfill.set_budget('sample', 2, 'total')")
    found = estimate(engine)
    assert (found["left_usd"], found["left_per"]) == (Decimal("1.98"), "total")
