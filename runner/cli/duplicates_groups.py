"""Payments that belong together: the connected components of pairs of duplicates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf

Pair = tuple[str, str]
"""The later payment and the earlier one."""


@dataclass(frozen=True, slots=True)
class Link:
    """A pair of payments, as `duplicate_links` gives it."""

    payment: str
    duplicate_of: str
    submitted_at: datetime | None
    first_submitted_at: datetime | None
    label: str | None
    first_label: str | None
    kind: str

    @property
    def pair(self) -> Pair:
        """What names it."""
        return self.payment, self.duplicate_of


@dataclass(frozen=True, slots=True)
class Member:
    """A payment of a group.

    `pair` is the one that tells best why it belongs there: with the earliest payment that it was
    found to be like. The group's first payment has none.
    """

    payment: str
    label: str | None
    submitted_at: datetime | None
    pair: Pair | None


@dataclass(frozen=True, slots=True)
class Group:
    """Payments that pairs connect, in order of time, and the pairs among them."""

    members: tuple[Member, ...]
    pairs: tuple[Pair, ...]

    @property
    def latest(self) -> datetime | None:
        """When its last payment was submitted; None where no payment says when."""
        return max((m.submitted_at for m in self.members if m.submitted_at), default=None)


def groups(links: Sequence[Link]) -> list[Group]:
    """The groups that these pairs make, that with the newest payment first."""
    root = _Union(link.pair for link in links)
    by_root: dict[str, list[Link]] = {}
    for link in links:
        by_root.setdefault(root.of(link.payment), []).append(link)
    found = [_group(links) for links in by_root.values()]
    found.sort(key=lambda group: group.members[0].payment)
    found.sort(key=lambda group: group.latest.timestamp() if group.latest else -inf, reverse=True)
    return found


class _Union:
    """Union-find with path halving over keys."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self._parent: dict[str, str] = {}
        for one, other in pairs:
            self._parent[self.of(one)] = self.of(other)

    def of(self, key: str) -> str:
        """The key that stands for this key's component."""
        parent = self._parent
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key


def _group(links: list[Link]) -> Group:
    payments = {link.duplicate_of: (link.first_submitted_at, link.first_label) for link in links}
    payments |= {link.payment: (link.submitted_at, link.label) for link in links}
    ordered = sorted(payments, key=lambda payment: _time(payments[payment][0], payment))
    place = {payment: number for number, payment in enumerate(ordered)}
    best: dict[str, tuple[int, Pair]] = {}
    for link in links:
        for own, other in (link.pair, link.pair[::-1]):
            if own not in best or place[other] < best[own][0]:
                best[own] = place[other], link.pair
    members = [
        Member(payment, payments[payment][1], payments[payment][0], best[payment][1])
        for payment in ordered
    ]
    first = members[0]
    members[0] = Member(first.payment, first.label, first.submitted_at, None)
    return Group(tuple(members), tuple(link.pair for link in links))


def _time(at: datetime | None, payment: str) -> tuple[bool, float, str]:
    """Sorts by time, then by key; what has no time comes last."""
    return at is None, at.timestamp() if at else 0.0, payment
