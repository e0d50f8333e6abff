"""Rates that all processes share: what the database grants, when, and to whom."""

from __future__ import annotations

from itertools import combinations, pairwise
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.plugins.engine import Connection, Engine, Row

SHARE = 0.97
HORIZON_S = 0.2
EPSILON = 1e-4
"""Tokens that rounding to microseconds may be off by."""


@pytest.fixture
def name() -> str:
    """A limit of the test's own."""
    return f"test:{uuid4()}"


def holders(count: int) -> list[UUID]:
    """So many processes."""
    return [uuid4() for _ in range(count)]


def take(
    engine: Engine,
    name: str,
    holder: UUID,
    costs: list[int] | int = 1,
    *,
    runner: int | None = None,
    busy: int = 0,
    succeeded: int = 0,
    on: Connection | None = None,
) -> Row:
    """Ask for calls; `costs` may be their number."""
    asked = [1] * costs if isinstance(costs, int) else costs
    query = "select * from backfill.take_tokens(%s, %s, %s, %s::integer[], %s, %s)"
    return engine.one(query, name, holder, runner, asked, busy, succeeded, on=on)


def set_rate(engine: Engine, name: str, rate: float, **more: float) -> None:
    """Set a limit as an operator does."""
    named = "".join(f", p_{key} => %s" for key in more)
    engine.rows(f"select backfill.set_rate(%s, %s{named})", name, rate, *more.values())


def limit(engine: Engine, name: str) -> Row:
    """The limit's row of the view."""
    return engine.one("select * from backfill.rate_limits where name = %s", name)


def times(reply: Row) -> list[float]:
    """When the calls granted may start, in the database's time."""
    return [reply["now_s"] + start for start in reply["starts"]]


def long_ago(engine: Engine, name: str, seconds: float) -> None:
    """Let all that happened to this limit be so much longer ago."""
    engine.rows(
        "update backfill.rate_limit r set last_at = last_at - d, taken_at = taken_at - d,"
        " recent_from = recent_from - d, throttled_at = throttled_at - d,"
        " blocked_until = blocked_until - d, holders = array("
        "  select row(h.holder, h.runner_id, h.busy, h.wanted, h.waiting_since, h.back_at - d,"
        "             h.until - d)::backfill.rate_holder from unnest(r.holders) h)"
        "  from make_interval(secs => %s) d where r.name = %s",
        float(seconds),
        name,
    )


ASKS = st.lists(
    st.tuples(st.integers(0, 2), st.lists(st.integers(1, 4), max_size=5)), min_size=1, max_size=8
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rate=st.floats(0.5, 2000), burst=st.integers(1, 5), asks=ASKS)
def test_no_stretch_of_time_holds_more_than_the_rate(
    engine: Engine, rate: float, burst: int, asks: list[tuple[int, list[int]]]
) -> None:
    """Whoever asks for whatever: between any two starts lie no more tokens than rate and burst
    allow, and none is given out further ahead than the horizon.
    """
    name, processes = f"test:{uuid4()}", holders(3)
    set_rate(engine, name, rate, burst=burst)
    granted: list[tuple[float, int]] = []
    for who, costs in asks:
        reply = take(engine, name, processes[who], costs)
        assert all(0 <= start <= HORIZON_S for start in reply["starts"])
        granted += zip(times(reply), costs, strict=False)
    granted.sort()
    for first, last in combinations(range(len(granted)), 2):
        between = sum(cost for _, cost in granted[first:last])
        allowed = (granted[last][0] - granted[first][0]) * SHARE * rate + burst - 1
        assert between <= allowed + EPSILON * rate + EPSILON


def test_what_is_not_asked_for_is_not_saved_up(engine: Engine, name: str) -> None:
    """After a long rest a limit without a burst begins with one call, and the next a gap later."""
    set_rate(engine, name, 50)
    (one,) = holders(1)
    take(engine, name, one)
    long_ago(engine, name, 3600)
    starts = take(engine, name, one, 3)["starts"]
    assert starts == pytest.approx([0, 1 / 48.5, 2 / 48.5])


def test_a_burst_starts_at_once_and_is_paid_back(engine: Engine, name: str) -> None:
    """With a burst of five, five calls start at once, and the sixth when its time has come."""
    set_rate(engine, name, 50, burst=5)
    starts = take(engine, name, uuid4(), 6)["starts"]
    assert starts == pytest.approx([0, 0, 0, 0, 0, 1 / 48.5])


def test_a_costly_call_makes_the_next_wait(engine: Engine, name: str) -> None:
    """A call of five tokens takes the time of five."""
    set_rate(engine, name, 50)
    assert take(engine, name, uuid4(), [5, 1])["starts"] == pytest.approx([0, 5 / 48.5])


def test_calls_that_are_asked_for_late_leave_no_hole(engine: Engine, name: str) -> None:
    """Two processes that ask one after the other get times that follow on each other."""
    set_rate(engine, name, 50)
    one, other = holders(2)
    all_times = times(take(engine, name, one, 3)) + times(take(engine, name, other, 3))
    gaps = [b - a for a, b in pairwise(all_times)]
    assert gaps == pytest.approx([1 / 48.5] * 5, abs=1e-5)


def test_a_new_rate_holds_from_the_next_take_on(engine: Engine, name: str) -> None:
    """A plain update steers at once, in both directions, whatever was agreed before."""
    set_rate(engine, name, 0.01)
    (one,) = holders(1)
    assert take(engine, name, one)["starts"] == [0]
    assert take(engine, name, one)["wait"] > 90
    engine.rows("update backfill.rate_limit set per_second = 100 where name = %s", name)
    assert len(take(engine, name, one, 5)["starts"]) == 5
    engine.rows("update backfill.rate_limit set per_second = 0.01 where name = %s", name)
    assert take(engine, name, one)["starts"] == []


def test_a_clock_that_was_set_back_stops_nobody(engine: Engine, name: str) -> None:
    """Times of the future, from a server whose clock was ahead, are not waited for."""
    set_rate(engine, name, 50)
    (one,) = holders(1)
    take(engine, name, one)
    long_ago(engine, name, -3600)
    assert len(take(engine, name, one)["starts"]) == 1


def test_a_process_far_away_is_given_time_to_hear(engine: Engine, name: str) -> None:
    """Nothing starts before the reply has had the time that the asking process says it takes."""
    set_rate(engine, name, 50)
    query = "select starts from backfill.take_tokens(%s, %s, null, '{1,1}', 0, 0, 0.05)"
    assert engine.value(query, name, uuid4()) == pytest.approx([0.05, 0.05 + 1 / 48.5])


def test_nobody_is_kept_from_his_share(engine: Engine, name: str) -> None:
    """One process that asks four times as often as two others gets less than twice as much."""
    set_rate(engine, name, 400)
    processes = holders(3)
    for holder in processes:  # from here on each of them is known to wait
        take(engine, name, holder, 100)
    got = dict.fromkeys(processes, 0)
    began = ended = 0.0
    while ended < began + 0.5:
        for holder in [processes[0]] * 4 + processes[1:]:
            reply = take(engine, name, holder, 8)
            got[holder] += len(reply["starts"])
            began, ended = began or reply["now_s"], reply["now_s"]
    greedy, *others = (got[holder] for holder in processes)
    assert greedy < 2 * min(others)
    # behind a pooler replies are slow, and who asks often asks too early more often
    assert min(got.values()) > 0.3 * max(got.values())


def test_sessions_that_ask_at_once_get_different_times(engine: Engine, name: str) -> None:
    """Four sessions that ask as fast as they can never get two calls for the same time."""
    set_rate(engine, name, 1000)

    def ask(on: Connection) -> list[float]:
        holder = uuid4()
        return [at for _ in range(60) for at in times(take(engine, name, holder, 3, on=on))]

    asking = [engine.meanwhile(ask, engine.connect()) for _ in range(4)]
    granted = sorted(at for one in asking for at in one.result())
    assert len(granted) > 100
    assert min(b - a for a, b in pairwise(granted)) > 1 / 970 - 1e-5


def test_an_old_transaction_makes_no_take_dearer(engine: Engine, name: str) -> None:
    """While a transaction keeps vacuum away, a take reads as much after 1,000 others as before."""
    set_rate(engine, name, 100_000)
    old = engine.connect(autocommit=False)
    engine.rows("set transaction isolation level repeatable read", on=old)
    engine.rows("select count(*) from backfill.rate_limit", on=old)
    (one,) = holders(1)

    def buffers() -> int:
        query = (
            "explain (analyze, buffers, format json)"
            f" select * from backfill.take_tokens('{name}', '{one}', null, '{{1}}')"
        )
        plan = engine.value(query)[0]["Plan"]
        return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])

    before = min(buffers() for _ in range(5))
    for _ in range(1000):
        take(engine, name, one)
    assert min(buffers() for _ in range(5)) <= before + 5
    assert engine.value("select pg_relation_size('backfill.rate_limit')") > 100_000


def test_turns_of_the_dead_are_not_kept(engine: Engine, name: str) -> None:
    """Who does not come back when he said he would is not waited for."""
    set_rate(engine, name, 5)
    dead, alive = holders(2)
    assert len(take(engine, name, dead, 2)["starts"]) == 1
    long_ago(engine, name, 0.6)
    assert len(take(engine, name, alive)["starts"]) == 1
