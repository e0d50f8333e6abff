"""What one process writes of its paid calls, in how many statements, and what it waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from runner.contract import Call, Effect, NoLimits, Row
from runner.errors import Halt, Retry
from runner.loop.compute import attempt
from runner.loop.limits import Buckets
from runner.loop.model import Job
from tests.loop.paid_books import PRICE, spent, states
from tests.plugins.processes import SampleDatabase, proxied
from tests.plugins.waiting import wait_until

INDEX = Call("rekognition", "IndexFaces", subject="people", reference="1")

Make = Callable[..., Buckets]


@pytest.fixture
def buckets(sampled: SampleDatabase) -> Iterator[Make]:
    """Makes what a process has that works for run 1, which may spend two calls, and that holds row
    1, or as many as are wanted.
    """
    sampled.items(ok=40)
    run = sampled.one(
        "select backfill.start('sample', %s, p_source => 'cli')", Jsonb({"max_cost": 0.002})
    )
    sampled.do("select backfill.discover(%s)", run)
    with ExitStack() as stack:

        def make(url: str | None = None, rows: int = 1, **more: Any) -> Buckets:
            runner = sampled.one("select backfill.join_run(%s, 1, 'test', 1, false)", run)
            sampled.do("select backfill.claim(%s, %s)", runner, rows)
            made = Buckets(url or sampled.url, name="test", runner=runner, **more)
            stack.callback(made.close)
            return made

        yield make


def pay(limiter: Buckets, key: str = "1", call: Call = INDEX) -> Effect:
    """Make a call that goes well."""
    with limiter.effect(key, call) as effect:
        return effect


def test_the_intent_is_committed_before_the_block(buckets: Make, sampled: SampleDatabase) -> None:
    """Whoever looks while the call is made sees it."""
    with buckets().effect("1", INDEX) as effect:
        row = sampled.all("select id, usd, state from backfill.effects")
        assert row == [{"id": effect.id, "usd": PRICE, "state": "intended"}]
        assert effect.usd == PRICE


def test_a_call_costs_one_statement(buckets: Make, sampled: SampleDatabase) -> None:
    """What became of one goes with the next, and with the row's result what is left."""
    limiter = buckets()
    with proxied(sampled.url) as proxy:
        limiter.close()
        limiter = buckets(proxy.url, rows=2)
        first = pay(limiter, "2")
        assert states(sampled) == {"intended": 1}
        second = pay(limiter, "2")
        assert states(sampled) == {"answered": 1, "intended": 1}
        said = limiter.said("2")
        assert [(one.id, one.state, one.usd) for one in said] == [
            (str(second.id), "answered", "0.001")
        ]
        assert first.id != second.id
        assert limiter.said("2") == []
        limiter.close()


def test_a_refused_call_gives_its_money_back(buckets: Make, sampled: SampleDatabase) -> None:
    """A budget of two calls is enough for any number that are refused."""
    limiter = buckets()
    for _ in range(5):
        with suppress(ZeroDivisionError), limiter.effect("1", INDEX) as effect:
            effect.refused("throttled")
            raise ZeroDivisionError
    for _ in range(2):
        pay(limiter)
    with pytest.raises(Retry, match="the run's budget of cost is used up") as raised:
        pay(limiter)
    assert (raised.value.counts, raised.value.code) == (False, "budget")
    assert states(sampled) == {"refused": 5, "answered": 2}


def test_a_block_that_raises_leaves_its_call_open(buckets: Make, sampled: SampleDatabase) -> None:
    """Nobody knows whether it was charged; the error is noted and is the caller's."""
    limiter = buckets()
    with pytest.raises(TimeoutError), limiter.effect("1", INDEX):
        raise TimeoutError("no answer\x00")
    (said,) = limiter.said("1")
    assert (said.state, said.note) == ("unknown", "TimeoutError: no answer")
    assert spent(sampled) == 0


@pytest.mark.parametrize("usd", [Decimal("NaN"), Decimal(-1), float("inf"), None, "x"])
def test_a_cost_that_is_none_is_the_price_expected(buckets: Make, usd: Any) -> None:
    """What a computation says it cost can't stop the process."""
    limiter = buckets()
    with limiter.effect("1", INDEX) as effect:
        effect.usd = usd
    (said,) = limiter.said("1")
    assert (said.state, said.usd) == ("answered", None)


@pytest.mark.parametrize(
    "wrong",
    [{"provider": ""}, {"reference": "x" * 301}, {"payer": "a\x00"}, {"subject": "\ud800"},
     {"usd": Decimal("NaN")}, {"usd": Decimal(-1)}, {"operation": "x" * 61}],
)  # fmt: skip
def test_a_call_that_can_not_be_written_is_that_row_s_error(wrong: dict[str, Any]) -> None:
    """It fails where it is made up, and holds up no other thread's."""
    with pytest.raises(ValueError, match="a call"):
        Call(**{"provider": "p", "operation": "o", **wrong})


def test_calls_of_many_threads_are_written_together(buckets: Make, sampled: SampleDatabase) -> None:
    """While one statement is under way others gather, and each gets its own answer."""
    sampled.do("select backfill.set_price('rekognition', 'IndexFaces', 0)")
    limiter = buckets(rows=40)
    blocked = "select exists (select from pg_stat_activity where wait_event_type = 'Lock')"
    with ThreadPoolExecutor(40) as threads, psycopg.connect(sampled.url) as locking:
        locking.execute("lock table backfill.price in access exclusive mode")
        waiting = [threads.submit(pay, limiter, "1")]
        wait_until(lambda: sampled.one(blocked))
        waiting += [threads.submit(pay, limiter, str(key)) for key in range(2, 41)]
        wait_until(lambda: len(limiter._effects._waiting) == 39)
        locking.commit()
        effects = [w.result(10) for w in waiting]
    rows = sampled.all("select id, key, xmin::text as xmin from backfill.effect")
    assert {row["id"] for row in rows} == {effect.id for effect in effects}
    # the second statement wrote 39 intents, and noted what became of the first call
    assert len({row["xmin"] for row in rows}) == 1
    assert states(sampled) == {"answered": 1, "intended": 39}
    assert {row["key"] for row in rows} == {str(key) for key in range(1, 41)}


def test_a_thread_waits_for_what_others_hold(buckets: Make, sampled: SampleDatabase) -> None:
    """It gets what a refused call gives back, and says meanwhile what it waits for."""
    one, two = buckets(), buckets()
    with ThreadPoolExecutor(1) as threads:
        with one.effect("1", INDEX) as effect:
            pay(one)
            waiting = threads.submit(pay, two, "2")
            wait_until(lambda: two.wait_reason)
            assert two.wait_reason == "budget: calls that others make hold what is left"
            effect.refused("throttled")
        one.close()
        waiting.result(10)
    assert not two.wait_reason
    assert states(sampled) == {"refused": 1, "answered": 1, "intended": 1}


@pytest.mark.parametrize("how", ["hurry", "close"])
def test_a_process_that_stops_waits_for_nobody(buckets: Make, how: str) -> None:
    """Its row is handed back at once and uncounted."""
    one, two = buckets(), buckets()
    with ThreadPoolExecutor(1) as threads, one.effect("1", INDEX), one.effect("1", INDEX):
        waiting = threads.submit(pay, two, "2")
        wait_until(lambda: two.wait_reason)
        if how == "hurry":
            two.hurry(30.0)
        else:
            two.close()
        with pytest.raises(Retry, match="the process stops") as raised:
            waiting.result(10)
    assert raised.value.counts is False


def test_a_row_that_was_given_away_is_not_paid_for(buckets: Make) -> None:
    """It is dropped, and no other row is the worse for it."""
    limiter = buckets()
    with pytest.raises(Retry, match="given to another process") as raised:
        pay(limiter, "7")
    assert (raised.value.code, raised.value.counts) == ("lost", False)
    pay(limiter)


def test_an_attempt_that_is_over_pays_for_nothing_more(
    buckets: Make, sampled: SampleDatabase
) -> None:
    """A thread whose process was silent for too long, joined again and claimed the same row again,
    makes no call beside the new attempt.
    """
    limiter = buckets()

    def compute(row: Row) -> dict[str, Any]:
        pay(limiter)
        return {}

    row = sampled.all("select id, attempt from backfill.job where key = '1'")[0]
    for attempt_number, kind in ((row["attempt"] - 1, "lost"), (row["attempt"], None)):
        job = Job(row["id"], "1", attempt_number, None, {"key": "1"}, runner=1)
        assert attempt(compute, job).error_class == kind
    assert states(sampled) == {"intended": 1}


def test_a_call_that_has_no_price_halts(buckets: Make) -> None:
    """No row can be computed until somebody sets one."""
    limiter = buckets()
    with pytest.raises(Halt, match="there is no price of rekognition Guess"):
        pay(limiter, call=Call("rekognition", "Guess"))


def test_a_result_does_not_overtake_what_is_said_of_its_row(
    buckets: Make, sampled: SampleDatabase
) -> None:
    """What another thread's statement says of a row is committed before the row's result is sent,
    which would settle a refused call as charged.
    """
    limiter = buckets(rows=2)
    with limiter.effect("1", INDEX) as effect:
        effect.refused("no picture")
    with ThreadPoolExecutor(2) as threads, psycopg.connect(sampled.url) as locking:
        locking.execute("lock table backfill.price in access exclusive mode")
        other = threads.submit(pay, limiter, "2")
        wait_until(lambda: limiter._effects._telling)
        result = threads.submit(limiter.said, "1")
        assert not wait([result], timeout=0.2).done
        locking.commit()
        assert result.result(10) == []
        other.result(10)
    assert states(sampled) == {"refused": 1, "intended": 1}


def test_replies_that_are_lost_count_once(buckets: Make, sampled: SampleDatabase) -> None:
    """A connection cut after the statement was committed changes nothing."""
    with proxied(sampled.url) as proxy:
        limiter = buckets(proxy.url)
        pay(limiter)
        proxy.cut_reply_to("backfill.intend(")
        pay(limiter)
        assert proxy.cuts == 1
        limiter.close()
    assert states(sampled) == {"answered": 2}
    assert spent(sampled) == 2 * PRICE


def test_a_server_that_stays_away_ends_the_process(buckets: Make, sampled: SampleDatabase) -> None:
    """After its patience the row is handed back uncounted, with a reason to end."""
    with proxied(sampled.url) as proxy:
        limiter = buckets(proxy.url, patience=0.2)
        pay(limiter)
        proxy.refusing.set()
        proxy.cut_all()
        with pytest.raises(Retry, match="can't reach the database") as raised:
            pay(limiter)
        assert raised.value.counts is False
        assert limiter.fatal is not None


def test_what_was_said_before_goes_with_the_row_s_result(buckets: Make) -> None:
    """Whether it ends well, raises, or can't be written as JSON."""
    limiter = buckets(rows=3)

    def compute(row: Any) -> dict[str, Any]:
        pay(limiter, row["key"], Call("p", "o", usd=Decimal(0)))
        return {"ok": {}, "bad": {"x": object()}}[row["how"]]

    for key, how in (("1", "ok"), ("2", "bad"), ("3", "raises")):
        job = Job(int(key), key, 1, None, {"key": key, "how": how}, 1)
        outcome = attempt(compute, job, limiter.said)
        assert [said.state for said in outcome.effects] == ["answered"]
        assert outcome.effects[0].id in outcome.payload


def test_without_a_run_nothing_is_written(buckets: Make, sampled: SampleDatabase) -> None:
    """In tests of a computation, and before a process has joined."""
    limiter = buckets()
    limiter.runner = None
    assert pay(limiter, call=Call("p", "o", usd=Decimal(1))).usd == 1
    with NoLimits().effect("1", INDEX) as effect:
        effect.refused("no")
    NoLimits().found("1", effect.id, True)
    assert states(sampled) == {}


def test_money_is_not_reserved_without_a_call(buckets: Make) -> None:
    """The general budget doesn't know of effects, so it refuses."""
    with pytest.raises(ValueError, match="by effect"):
        buckets().budget("cost", 1)
