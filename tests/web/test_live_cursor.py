"""How far somebody has read: written for a browser to keep, and understood by every process."""

from __future__ import annotations

import random

import pytest

from runner.web.cursor import LONGEST, MOST_EVENTS, Cursor


def test_a_cursor_comes_back_as_it_was() -> None:
    """Whatever is known, its text says it."""
    chance = random.Random(1)
    for _ in range(200):
        after = chance.randrange(1000)
        cursor = Cursor(
            after,
            frozenset(chance.sample(range(after + 1, after + 100), chance.randrange(5))),
            {chance.randrange(10**9): chance.randrange(10**12) for _ in range(chance.randrange(9))},
            chance.choice([(0, 0), (17, 4)]),
        )
        assert Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    [None, "", "e", "e1.", "e1_r1", "e1_r1.2.3", "e1_b1", "e-1", "e1 ", "e1\n", "e1" * 20, "é1",
     "e" + "9" * 19, "e1" + "_r1.1" * LONGEST, "e1;drop table x"],
)  # fmt: skip
def test_what_is_no_cursor_is_none(text: str | None) -> None:
    """Anything that no server has written, however long."""
    assert Cursor.parse(text) is None


def test_a_cursor_stays_short() -> None:
    """Of very many events at once the newest are remembered one by one."""
    cursor = Cursor().advanced(0, frozenset(range(1, 1001)), {}, (0, 0))
    assert len(cursor.beyond) == MOST_EVENTS
    assert cursor.knows_event(1)
    assert cursor.knows_event(1000)
    assert not cursor.knows_event(1001)


def test_an_event_between_known_ones_is_not_known() -> None:
    """One that was numbered early and committed late is still to come."""
    cursor = Cursor().advanced(5, frozenset({7, 9}), {}, (0, 0))
    assert [n for n in range(1, 11) if not cursor.knows_event(n)] == [6, 8, 10]
    later = cursor.advanced(8, frozenset({9, 10}), {}, (0, 0))
    assert [n for n in range(1, 12) if not later.knows_event(n)] == [11]


def test_nothing_is_forgotten_by_going_on() -> None:
    """A later look that sees an older state takes nothing back."""
    cursor = Cursor(9, frozenset({12}), {1: 50, 2: 7}, (3, 4))
    same = cursor.advanced(3, frozenset(), {1: 40, 2: 7}, (3, 2))
    assert same == cursor
    joined = cursor.joined(Cursor(10, frozenset({14}), {1: 60, 3: 1}, (2, 9)))
    assert joined == Cursor(10, frozenset({12, 14}), {1: 60, 2: 7, 3: 1}, (3, 4))
