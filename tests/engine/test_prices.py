"""What a paid call costs, and what was spent."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.engine.paid import (
    PRICE,
    finished,
    intend,
    intent,
    paid_run,
    said,
    say,
    spent,
    written,
)
from tests.engine.roles import login
from tests.plugins.engine import Engine, outcome


def price(engine: Engine, calls: int, operation: str = "IndexFaces", region: str = "*") -> Any:
    """What the next call costs after so many."""
    query = "select backfill.price_usd('rekognition', %s, %s, %s)"
    return engine.value(query, operation, region, calls)


def set_price(engine: Engine, usd: Any, *more: Any) -> None:
    """Set a price of IndexFaces."""
    marks = ", %s" * len(more)
    query = f"select backfill.set_price('rekognition', 'IndexFaces', %s::numeric{marks})"
    engine.rows(query, usd, *more)


def ask(engine: Engine, runner: int, key: object = 1, **more: Any) -> tuple[str, str | None]:
    """Try to write an intent; the verdict and the reason."""
    (row,) = intend(engine, runner, intent(key, **more))
    return row["verdict"], row["reason"]


# --- prices ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["IndexFaces", "SearchFaces", "DetectLabels"])
@pytest.mark.parametrize(
    "calls, usd",
    [(0, "0.001"), (999_999, "0.001"), (1_000_000, "0.0008"), (5_000_000, "0.0006")],
)
def test_a_call_costs_what_its_tier_says(
    engine: Engine, operation: str, calls: int, usd: str
) -> None:
    """The price is that of the tier in which the call comes, to the last call of each."""
    assert price(engine, calls, operation) == Decimal(usd)


def test_a_region_s_own_prices_come_first(engine: Engine) -> None:
    """Where none is set, those of all regions hold."""
    set_price(engine, "0.0012", 0, "eu-central-1")
    set_price(engine, "0.00096", 1_000_000, "eu-central-1")
    assert price(engine, 0, region="eu-central-1") == Decimal("0.0012")
    assert price(engine, 2_000_000, region="eu-central-1") == Decimal("0.00096")
    assert price(engine, 0, region="us-east-1") == Decimal("0.001")
    set_price(engine, None, 0, "eu-central-1")
    assert price(engine, 0, region="eu-central-1") == Decimal("0.001")


def test_a_change_of_a_price_is_on_record(engine: Engine) -> None:
    """By the function or by a DBA's own statement; one that changes nothing isn't."""
    set_price(engine, "0.002")
    set_price(engine, "0.002")
    engine.rows("delete from backfill.price where operation = 'IndexFaces' and from_calls = 0")
    changed, deleted = [event["detail"] for event in engine.events("set_price")]
    assert (changed["from"]["usd"], changed["to"]["usd"]) == (0.001, 0.002)
    assert (deleted["from"]["usd"], "to" in deleted) == (0.002, False)


def test_a_price_that_somebody_set_stands_in_for_no_other(engine: Engine) -> None:
    """Also where the amount is the one that was installed."""
    query = (
        "select taken_from from backfill.price where operation = 'IndexFaces' and from_calls = 0"
    )
    assert engine.value(query) == "us-east-1"
    set_price(engine, "0.001")
    assert engine.value(query) is None


def test_a_new_price_holds_from_the_next_call_on(engine: Engine) -> None:
    """What was called before keeps what it cost."""
    run, runner = paid_run(engine, 1)
    (job,) = engine.claim(runner)["jobs"]
    first = written(engine, runner, 1)
    set_price(engine, "0.5")
    second = written(engine, runner, 1)
    finished(engine, runner, job, effects=[said(first), said(second)])
    assert spent(engine, run) == Decimal("0.501")


def test_a_call_without_a_price_is_not_made(engine: Engine) -> None:
    """And the reason says how to set one; a cost that the caller knows needs none."""
    _, runner = paid_run(engine, 1)
    engine.claim(runner)
    verdict, why = ask(engine, runner, operation="Guess")
    assert verdict == "unpriced"
    assert why is not None
    assert why.startswith("there is no price of rekognition Guess; set it: select backfill.set_pr")
    assert ask(engine, runner, operation="Guess", usd="0")[0] == "go"


def test_a_month_s_calls_decide_on_the_tier(engine: Engine) -> None:
    """Those that were charged and those under way, of all tasks; not those of another month."""
    _, runner = paid_run(engine, 1)
    engine.claim(runner)
    engine.rows(
        "insert into backfill.spend_month values"
        " (backfill.utc_month(now()), 'rekognition', 'IndexFaces', '*', 'other', 999999, 999.999),"
        " ('2020-01-01', 'rekognition', 'IndexFaces', '*', 'other', 9999999, 1)"
    )
    rows = intend(engine, runner, intent(1), intent(1))
    assert [row["usd"] for row in rows] == [Decimal("0.001"), Decimal("0.0008")]


@pytest.mark.parametrize(
    "calls, usd",
    [(0, "0"), (10, "0.01"), (1_000_000, "1000"), (2_000_000, "1800"), (6_000_000, "4800")],
)
def test_an_estimate_goes_through_the_tiers(engine: Engine, calls: int, usd: str) -> None:
    """So many calls at each tier's own price."""
    query = "select backfill.estimate_usd('rekognition', 'IndexFaces', '*', %s)"
    assert engine.value(query, calls) == Decimal(usd)


def test_an_estimate_begins_where_the_month_stands(engine: Engine) -> None:
    """What was called already lies before it; without a price there is no estimate."""
    engine.rows(
        "insert into backfill.spend_month values"
        " (backfill.utc_month(now()), 'rekognition', 'IndexFaces', '*', 'other', 999900, 999.9)"
    )
    query = "select backfill.estimate_usd('rekognition', %s, '*', 200)"
    assert engine.value(query, "IndexFaces") == Decimal("0.18")
    assert engine.value(query, "Guess") is None
    engine.rows("select backfill.set_price('rekognition', 'Guess', 1, 100)")
    assert engine.value(query, "Guess") is None


# --- spend ----------------------------------------------------------------------------------------


def test_spend_is_what_was_called_times_what_it_costs(engine: Engine) -> None:
    """By task, day, payer and call; what may have been charged stands beside it."""
    _, runner = paid_run(engine, 2)
    job, _ = engine.claim(runner)["jobs"]
    names = [written(engine, runner, 1, payer=f"user:{n % 2}") for n in range(3)]
    written(engine, runner, 2, operation="SearchFaces")
    finished(engine, runner, job, effects=[said(name) for name in names])
    rows = engine.rows(
        "select task, payer, operation, calls, usd, open_calls, open_usd from backfill.spend"
        " where day = (now() at time zone 'UTC')::date order by payer"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("sample", "user:0", "IndexFaces", 2, 2 * PRICE, 0, 0),
        ("sample", "user:1", "IndexFaces", 1, PRICE, 0, 0),
        ("sample", None, "SearchFaces", 0, 0, 1, PRICE),
    ]


def test_what_results_say_they_cost_is_spend_too(engine: Engine) -> None:
    """Of tasks that write no effects."""
    run, runner = paid_run(engine, 2)
    jobs = engine.claim(runner)["jobs"]
    engine.finish(runner, [outcome(job, spend=0.001) for job in jobs])
    row = engine.one("select provider, calls, usd from backfill.spend")
    assert tuple(row.values()) == (None, 2, 2 * PRICE)
    assert spent(engine, run) == 2 * PRICE


def run_costs(engine: Engine) -> list[tuple[Any, ...]]:
    """What each run spent, by call."""
    rows = engine.rows(
        "select run, operation, calls, usd, open_calls, open_usd from backfill.run_costs"
        " order by run, operation nulls last"
    )
    return [tuple(row.values()) for row in rows]


def test_a_run_s_costs_are_by_call(engine: Engine) -> None:
    """Of all its processes; what may have been charged stands beside it, until it is settled."""
    run, one = paid_run(engine, 2)
    two = engine.join(run)
    first, second = engine.claim(one, 1)["jobs"][0], engine.claim(two, 1)["jobs"][0]
    finished(engine, one, first, effects=[said(written(engine, one, first["key"]))])
    searched = [written(engine, two, second["key"], operation="SearchFaces") for _ in range(2)]
    assert run_costs(engine) == [
        (run, "IndexFaces", 1, PRICE, 0, 0), (run, "SearchFaces", 0, 0, 2, 2 * PRICE),
    ]  # fmt: skip
    late = written(engine, two, second["key"])
    finished(engine, two, second, effects=[said(name) for name in (*searched, late)])
    assert run_costs(engine) == [
        (run, "IndexFaces", 2, 2 * PRICE, 0, 0), (run, "SearchFaces", 2, 2 * PRICE, 0, 0),
    ]  # fmt: skip
    assert spent(engine, run) == 4 * PRICE


def test_a_run_s_costs_have_what_results_said(engine: Engine) -> None:
    """Without a number of calls, which nobody told."""
    run, runner = paid_run(engine, 1)
    engine.finish(runner, [outcome(job, spend=0.5) for job in engine.claim(runner)["jobs"]])
    assert run_costs(engine) == [(run, None, None, Decimal("0.5"), 0, 0)]


def test_what_was_not_charged_after_all_is_no_cost_of_the_run(engine: Engine) -> None:
    """An operator's word takes it off."""
    run, runner = paid_run(engine, 1)
    engine.claim(runner)
    name = written(engine, runner, 1)
    say(engine, runner, said(name))
    assert run_costs(engine) == [(run, "IndexFaces", 1, PRICE, 0, 0)]
    engine.rows("select backfill.settle_effect(%s, false)", name)
    assert run_costs(engine) == [(run, "IndexFaces", 0, 0, 0, 0)]
    assert spent(engine, run) == 0


def test_a_run_s_costs_go_with_it(engine: Engine) -> None:
    """What was spent by day stays."""
    _, runner = paid_run(engine, 1)
    (job,) = engine.claim(runner)["jobs"]
    finished(engine, runner, job, effects=[said(written(engine, runner, 1))])
    engine.leave(runner)
    engine.rows("select * from backfill.prune('0 seconds')")
    assert run_costs(engine) == []
    assert engine.value("select calls from backfill.spend") == 1


# --- what a task says of a run --------------------------------------------------------------------


def test_a_task_without_its_own_summary_says_nothing(engine: Engine) -> None:
    """So does a run that there is not."""
    run, _ = paid_run(engine)
    assert engine.rows("select * from backfill.run_summary(%s)", run) == []
    assert engine.rows("select * from backfill.run_summary(0)") == []


def test_a_task_s_own_summary_may_read_what_a_reader_may_not(engine: Engine) -> None:
    """It is asked with the rights of the schema's owner, as its apply function is."""
    run, _ = paid_run(engine)
    engine.rows(
        "create table public.secret as select 7 as people;"
        "create function backfill.summary_sample(p_run bigint)"
        " returns table (name text, amount numeric, next_step text) language sql stable"
        " set search_path = pg_catalog, pg_temp"
        " as 'select ''people''::text, s.people::numeric, null::text from public.secret s'"
    )
    with (
        login(engine.database.url, "backfill_reader") as conninfo,
        psycopg.connect(conninfo, row_factory=dict_row, autocommit=True) as reader,
    ):
        found = engine.rows("select * from backfill.run_summary(%s)", run, on=reader)
        assert found == [{"name": "people", "amount": 7, "next_step": None}]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            engine.rows("select * from public.secret", on=reader)
