"""Rates that all processes share: pauses, throttling, and calls at a time."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.engine.test_rate_limit import holders, limit, long_ago, set_rate, take
from tests.plugins.engine import Engine


@pytest.fixture
def name() -> str:
    """A limit of the test's own."""
    return f"test:{uuid4()}"


def test_a_pause_holds_for_everybody(engine: Engine, name: str) -> None:
    """After a Retry-After nobody gets a call until it is over, and the reason is told in words."""
    set_rate(engine, name, 50)
    engine.rows("select backfill.throttled(%s, 30)", name)
    for holder in holders(2):
        reply = take(engine, name, holder)
        assert (reply["starts"], reply["blocked"]) == ([], True)
        assert 29 < reply["wait"] <= 30
        assert reply["reason"].startswith(f"{name} asked for a pause until 20")
    assert limit(engine, name)["wait_reason"] == reply["reason"]
    assert limit(engine, name)["blocked_reason"] == "it asked for 30.0 s"
    engine.rows("select backfill.throttled(%s, 1)", name)
    assert take(engine, name, uuid4())["wait"] > 28
    long_ago(engine, name, 31)
    assert take(engine, name, uuid4())["starts"] == [0]


def test_a_pause_can_be_lifted(engine: Engine, name: str) -> None:
    """An operator's word ends a pause, and is in the audit."""
    set_rate(engine, name, 50)
    engine.rows("select backfill.throttled(%s, 3600)", name)
    engine.rows("select backfill.lift_pause(%s)", name)
    assert take(engine, name, uuid4())["starts"] == [0]
    assert engine.events("lift_pause")[-1]["detail"] == {"name": name}


@pytest.mark.parametrize("after, most", [(10**9, 86_400), (0, 0), (None, 1)])
def test_no_answer_pauses_for_more_than_a_day(
    engine: Engine, name: str, after: int | None, most: int
) -> None:
    """What a server asks for is believed up to a day; without a word it gets a second's rest."""
    set_rate(engine, name, 50)
    engine.rows("select backfill.throttled(%s, %s::double precision)", name, after)
    wait = take(engine, name, uuid4())["wait"] or 0
    assert most - 1 < wait <= most or wait == most == 0


def test_throttling_lowers_the_rate_once_a_second_down_to_the_floor(
    engine: Engine, name: str
) -> None:
    """A crowd of refused calls is one word; each next second's takes the rate down further."""
    set_rate(engine, name, 100, floor=40)
    for _ in range(8):
        engine.rows("select backfill.throttled(%s)", name)
    assert limit(engine, name)["per_second"] == pytest.approx(70)
    assert limit(engine, name)["throttled"] == 8
    assert take(engine, name, uuid4())["starts"], "slower, and not stopped"
    for expected in (49, 40, 40):
        long_ago(engine, name, 1.1)
        engine.rows("select backfill.throttled(%s)", name)
        assert limit(engine, name)["per_second"] == pytest.approx(expected)
    assert limit(engine, name)["ceiling"] == 100


def test_success_raises_the_rate_up_to_its_ceiling(engine: Engine, name: str) -> None:
    """A second's full use gives back 2 % of the ceiling; at the ceiling it ends."""
    set_rate(engine, name, 100, floor=1)
    engine.rows("select backfill.throttled(%s)", name)
    take(engine, name, uuid4(), succeeded=70)
    assert limit(engine, name)["per_second"] == pytest.approx(70), "the same second's don't count"
    long_ago(engine, name, 1.1)
    take(engine, name, uuid4(), succeeded=70)
    assert limit(engine, name)["per_second"] == pytest.approx(72)
    take(engine, name, uuid4(), succeeded=100_000)
    assert limit(engine, name)["per_second"] == 100
    take(engine, name, uuid4(), succeeded=100_000)
    assert limit(engine, name)["per_second"] == 100


def test_slots_are_shared_and_come_back(engine: Engine, name: str) -> None:
    """Of four calls at a time one process's three leave one to others, until they have ended."""
    set_rate(engine, name, 1000, burst=100, concurrency=4)
    one, other = holders(2)
    assert len(take(engine, name, one, 3)["starts"]) == 3
    reply = take(engine, name, other, 3)
    assert (len(reply["starts"]), reply["counted"]) == (1, True)
    assert reply["reason"] == f"{name}: all of its 4 calls at a time are being made"
    assert take(engine, name, one, 1, busy=3)["starts"] == []
    assert limit(engine, name)["busy"] == 4
    assert limit(engine, name)["wait_reason"] == reply["reason"]
    take(engine, name, one, [], busy=1)
    assert len(take(engine, name, other, 3, busy=1)["starts"]) == 2


def test_a_slot_goes_to_who_has_waited_longest(engine: Engine, name: str) -> None:
    """Who has just had a turn gets no other while somebody else waits for his first."""
    set_rate(engine, name, 1000, burst=100, concurrency=1)
    one, two, three = holders(3)
    assert take(engine, name, one)["starts"] == [0]
    assert take(engine, name, two)["starts"] == []
    assert take(engine, name, three)["starts"] == []
    assert take(engine, name, one, busy=0)["starts"] == []
    assert take(engine, name, three)["starts"] == []
    assert take(engine, name, two)["starts"] == [0]


def test_slots_of_a_runner_that_died_are_free(engine: Engine, name: str) -> None:
    """As soon as a runner is found dead, what it held is anybody's."""
    set_rate(engine, name, 1000, burst=100, concurrency=2)
    _, runner = engine.at_work(1)
    dead, alive = holders(2)
    assert len(take(engine, name, dead, 2, runner=runner)["starts"]) == 2
    assert take(engine, name, alive)["starts"] == []
    engine.silent(runner, 100)
    engine.rescue()
    assert len(take(engine, name, alive, 2)["starts"]) == 2


def test_slots_are_free_when_their_lease_is_over(engine: Engine, name: str) -> None:
    """A process that works for no run and is not heard of keeps its slots for half a minute."""
    set_rate(engine, name, 1000, burst=100, concurrency=1)
    take(engine, name, uuid4())
    long_ago(engine, name, 29)
    assert take(engine, name, uuid4())["starts"] == []
    long_ago(engine, name, 2)
    assert take(engine, name, uuid4())["starts"] == [0]


def test_slots_are_given_back_at_once(engine: Engine, name: str) -> None:
    """A process that stops holds nothing and waits for nothing."""
    set_rate(engine, name, 1000, concurrency=1)
    one, other = holders(2)
    take(engine, name, one)
    take(engine, name, one, busy=1)
    engine.rows("select backfill.release_slots(%s)", one)
    assert take(engine, name, other)["starts"]
    assert limit(engine, name)["busy"] == 1
