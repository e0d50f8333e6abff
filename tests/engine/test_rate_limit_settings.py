"""Rates that all processes share: who sets what, and what is refused."""

from __future__ import annotations

from uuid import uuid4

import pytest
from psycopg import errors

from tests.engine.roles import login
from tests.engine.test_rate_limit import limit, long_ago, set_rate, take
from tests.plugins.engine import Engine


@pytest.fixture
def name() -> str:
    """A limit of the test's own."""
    return f"test:{uuid4()}"


def test_a_limit_comes_into_being_at_its_first_use(engine: Engine) -> None:
    """It begins with what its kind says, follows it, and does so no longer once it is set."""
    kind = f"k{uuid4().hex[:8]}"
    set_rate(engine, f"{kind}:*", 9, concurrency=3)
    for host in ("a", "b"):
        take(engine, f"{kind}:{host}", uuid4())
    engine.rows("update backfill.rate_limit set per_second = 7 where name = %s", f"{kind}:a")
    set_rate(engine, f"{kind}:*", 8, concurrency=0)
    assert engine.rows(
        "select name, per_second, concurrency, set_by is not null as set"
        "  from backfill.rate_limits where name like %s order by name",
        f"{kind}:%",
    ) == [
        {"name": f"{kind}:*", "per_second": 8, "concurrency": None, "set": True},
        {"name": f"{kind}:a", "per_second": 7, "concurrency": 3, "set": True},
        {"name": f"{kind}:b", "per_second": 8, "concurrency": None, "set": False},
    ]


@pytest.mark.parametrize("name", ["host:A.test", "host:a.test:8080", "host:https://a.test/"])
def test_a_host_that_nobody_is_called_is_refused(engine: Engine, name: str) -> None:
    """A limit that would never hold is no limit: hosts go by their plain names."""
    with pytest.raises(errors.DatabaseError, match="no host will ever be called") as caught:
        set_rate(engine, name, 1)
    assert caught.value.sqlstate == "BF006"


def test_idle_limits_are_pruned(engine: Engine) -> None:
    """What nobody used for a day and nobody set goes; a pause, a setting and a kind stay."""
    kind = f"k{uuid4().hex[:8]}"
    set_rate(engine, f"{kind}:*", 5)
    for host in ("idle", "used", "paused", "set"):
        take(engine, f"{kind}:{host}", uuid4())
    set_rate(engine, f"{kind}:set", 6)
    engine.rows("select backfill.throttled(%s, 90000)", f"{kind}:paused")
    for host in ("*", "idle", "set"):
        long_ago(engine, f"{kind}:{host}", 90_000)
    engine.rows(
        "update backfill.rate_limit set taken_at = taken_at - interval '25 hours' where name = %s",
        f"{kind}:paused",
    )
    assert engine.value("select backfill.prune_rates()") == 1
    left = engine.column(
        "select name from backfill.rate_limit where name like %s order by name", f"{kind}:%"
    )
    assert left == [f"{kind}:*", f"{kind}:paused", f"{kind}:set", f"{kind}:used"]


def test_settings_are_in_the_audit(engine: Engine, name: str) -> None:
    """Who set a limit from what to what is kept, whichever way it was set; use is not."""
    set_rate(engine, name, 5)
    engine.rows("update backfill.rate_limit set per_second = 6, burst = 2 where name = %s", name)
    take(engine, name, uuid4())
    engine.rows("select backfill.throttled(%s)", name)
    details = [e["detail"] for e in engine.events("set_rate") if e["detail"]["name"] == name]
    assert details == [
        {"name": name, "per_second": 5},
        {"name": name, "per_second": {"from": 5, "to": 6}, "burst": {"from": 1, "to": 2}},
    ]
    assert limit(engine, name)["set_by"] == engine.value("select session_user::text")


@pytest.mark.parametrize("unknown", ["nowhere", "nokind:thing", "host:*"])
def test_an_unknown_limit_is_refused(engine: Engine, unknown: str) -> None:
    """What was never set and has no kind can't be asked for; the error says how to set it."""
    with pytest.raises(errors.DatabaseError, match="no rate limit named") as raised:
        take(engine, unknown, uuid4())
    assert raised.value.sqlstate == "BF006"
    assert "select backfill.set_rate(" in str(raised.value.diag.message_hint)


@pytest.mark.parametrize(
    "change, constraint",
    [
        ("per_second = 0", "rate_limit_rate_in_range"),
        ("per_second = 'NaN'", "rate_limit_rate_in_range"),
        ("per_second = 'infinity'", "rate_limit_rate_in_range"),
        ("burst = 0", "rate_limit_burst_in_range"),
        ("concurrency = 0", "rate_limit_concurrency_in_range"),
        ("floor = 51", "rate_limit_floor_is_below_its_rate"),
        ("floor = -1", "rate_limit_floor_is_below_its_rate"),
        ("slowed_to = 3", "rate_limit_slows_between_floor_and_rate"),
        ("blocked_until = now()", "rate_limit_pause_says_why"),
        ("throttled = -1", "rate_limit_counts_are_not_negative"),
        ("set_by = null", "rate_limit_setting_says_when"),
        ("name = 'With space'", "rate_limit_name_says_what_for"),
        ("name = 'host:a b'", "rate_limit_name_says_what_for"),
    ],
)
def test_nonsense_is_refused(engine: Engine, name: str, change: str, constraint: str) -> None:
    """A limit that makes no sense is refused by a constraint whose name says why."""
    set_rate(engine, name, 50)
    with pytest.raises(errors.CheckViolation) as raised:
        engine.rows(f"update backfill.rate_limit set {change} where name = %s", name)
    assert raised.value.diag.constraint_name == constraint


@pytest.mark.parametrize("costs", [[0], [-1], [1, 2_000_000]])
def test_a_call_costs_something(engine: Engine, name: str, costs: list[int]) -> None:
    """A call that would give tokens back, or cost none, is refused."""
    set_rate(engine, name, 50)
    with pytest.raises(errors.InvalidParameterValue, match="a call costs 1 to 1000000 tokens"):
        take(engine, name, uuid4(), costs)


def test_who_may_take_and_who_may_set(engine: Engine, name: str) -> None:
    """A runner takes and reports, an operator sets, a reader looks, and none does another's."""
    set_rate(engine, name, 50)
    calls = {
        "take": f"select backfill.take_tokens('{name}', gen_random_uuid(), null, '{{1}}')",
        "report": f"select backfill.throttled('{name}', 1)",
        "set": f"select backfill.set_rate('{name}', 60)",
        "update": f"update backfill.rate_limit set per_second = 70 where name = '{name}'",
        "lift": f"select backfill.lift_pause('{name}')",
        "look": "select * from backfill.rate_limits",
        "cheat": f"update backfill.rate_limit set last_at = 'epoch' where name = '{name}'",
    }
    may = {"runner": "take report look", "operator": "set update lift look", "reader": "look"}
    for role, allowed in may.items():
        with login(engine.database.url, f"backfill_{role}") as conninfo:
            on = engine.connect(conninfo=conninfo)
            for what, statement in calls.items():
                if what in allowed.split():
                    engine.rows(statement, on=on)
                else:
                    with pytest.raises(errors.InsufficientPrivilege):
                        engine.rows(statement, on=on)


def test_used_per_second_is_what_was_given_out(engine: Engine, name: str) -> None:
    """The view's rate is of the last seconds, and fades when nothing is asked for."""
    set_rate(engine, name, 1000, burst=30)
    take(engine, name, uuid4(), 30)
    assert 25 < limit(engine, name)["used_per_second"] <= 36
    long_ago(engine, name, 60)
    assert limit(engine, name)["used_per_second"] < 0.01
