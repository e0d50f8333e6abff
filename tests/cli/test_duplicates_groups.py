"""Pairs of payments make groups."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from runner.cli.duplicates_groups import Link, groups

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
NUMBERS = st.integers(0, 12)


def link(later: int, earlier: int) -> Link:
    """A pair of payments that are named and dated by numbers."""
    return Link(f"p{later:02}", f"p{earlier:02}", FIRST + timedelta(days=later),
                FIRST + timedelta(days=earlier), None, None, "duplicate")  # fmt: skip


def reachable(start: str, links: list[Link]) -> set[str]:
    """Payments that pairs lead to from this one."""
    found, waiting = {start}, [start]
    while waiting:
        here = waiting.pop()
        near = {other for one in links for other in one.pair if here in one.pair} - found
        found |= near
        waiting.extend(near)
    return found


@given(st.sets(st.tuples(NUMBERS, NUMBERS).filter(lambda pair: pair[0] > pair[1])))
def test_groups_are_what_pairs_connect(pairs: set[tuple[int, int]]) -> None:
    """Payments are in one group exactly where pairs lead from one to the other."""
    links = [link(*pair) for pair in pairs]
    found = groups(links)
    members = [[member.payment for member in group.members] for group in found]
    assert sorted(chain.from_iterable(members)) == sorted(
        {payment for one in links for payment in one.pair}
    )
    for group, names in zip(found, members, strict=True):
        assert set(names) == reachable(names[0], links)
        assert names == sorted(names)
        assert set(group.pairs) == {one.pair for one in links if one.payment in names}
    latest = [group.latest for group in found if group.latest is not None]
    assert latest == sorted(latest, reverse=True)


@given(st.sets(st.tuples(NUMBERS, NUMBERS).filter(lambda pair: pair[0] > pair[1])))
def test_each_member_but_the_first_says_why(pairs: set[tuple[int, int]]) -> None:
    """A member's pair is one of its own, with the earliest payment that it was found to be like."""
    links = [link(*pair) for pair in pairs]
    for group in groups(links):
        first, *others = group.members
        assert first.pair is None
        for member in others:
            earlier = [one.duplicate_of for one in links if one.payment == member.payment]
            assert member.pair is not None
            if earlier:
                assert member.pair == (member.payment, min(earlier))
            else:
                assert member.payment == member.pair[1]


def test_payments_without_a_time_come_last() -> None:
    """A payment that doesn't say when it was submitted is never taken for the first."""
    links = [
        Link("a", "b", None, FIRST, "F-1", None, "duplicate"),
        Link("c", "d", None, None, None, None, "duplicate"),
    ]
    first, second = groups(links)
    assert [(m.payment, m.label) for m in first.members] == [("b", None), ("a", "F-1")]
    assert (first.latest, second.latest) == (FIRST, None)


def test_long_chains_are_no_trouble() -> None:
    """Ten thousand payments, each like the next, are one group."""
    links = [
        Link(
            f"{n + 1}",
            f"{n}",
            FIRST + timedelta(n + 1),
            FIRST + timedelta(n),
            None,
            None,
            "duplicate",
        )
        for n in range(10_000)
    ]
    (group,) = groups(links)
    assert [member.payment for member in group.members] == [f"{n}" for n in range(10_001)]
