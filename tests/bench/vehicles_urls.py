"""Vehicles and the URLs of their pictures at a hostile host, and what should come of each.

A URL says all that the host needs to know: `/<kind>/<content>/<vehicle>-<place>.jpg`. So it is
answered in the same way at any time, to anybody.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID, uuid5

NAMESPACE = UUID("6d5ff8a1-6f3a-4c55-9d5b-0c1f6a3f0b52")

COMMON = 200
"""Contents that vehicles share with each other; each other content is one vehicle's."""

GOOD = {"picture": 52, "common": 6, "twin": 6, "moved": 2, "excess": 0.5, "late": 7, "trickle": 3}
DEAD = {
    "missing": 4, "gone": 1.5, "forbidden": 0.5, "error": 1, "maintenance": 0.5, "closed": 0.5,
    "hang-up": 1, "reset": 0.5, "cut": 0.5,
}  # fmt: skip
BOMBS = {
    "endless": 1, "flood": 0.5, "drip": 0.3, "drip-head": 0.3, "silent": 0.4, "gzip": 1,
    "giant-png": 1, "giant-jpeg": 0.5,
}  # fmt: skip
WRONG = {"html": 1.5, "svg": 1, "text": 0.5, "pdf": 0.5, "empty": 0.5, "json": 0.5, "zip": 0.5}
OTHERS = {"short": 0.5, "circle": 0.5, "private": 1, "away": 0.5, "odd": 1}

SHARES = GOOD | DEAD | BOMBS | WRONG | OTHERS
"""Each kind's share, in percent. `late` and `trickle` are slow, but in time; `odd` is no URL."""

TIMED_OUT = ("drip", "drip-head", "silent")
"""What ends by the download's deadline only; all else that is bad ends at once."""

ODD: Sequence[Any] = (None, 17, "", "   ", "not a url", "data:image/png;base64,iVBORw0KGgo=",
                      {"caption": "none"}, "http://", "ftp://pictures.example/a.jpg")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """One entry of a vehicle's list: the kind of its URL, and the number of its content."""

    kind: str
    content: int
    value: Any

    @property
    def good(self) -> bool:
        """Whether its content is to be stored."""
        return self.kind in GOOD


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A vehicle and the places of its list, which may be empty."""

    id: UUID
    places: tuple[Place, ...]

    @property
    def contents(self) -> frozenset[int]:
        """Contents that are to be stored for it, each once."""
        return frozenset(place.content for place in self.places if place.good)


def vehicles(count: int, most: int, origin: str, closed: str, seed: int) -> Iterator[Vehicle]:
    """So many vehicles, each with 1 to `most` URLs at `origin`; `closed` is where nobody listens.

    The same arguments always give the same vehicles.
    """
    kinds, shares = list(SHARES), list(SHARES.values())
    for number in range(count):
        chance = Random(f"{seed} {number}")
        chosen = chance.choices(kinds, shares, k=chance.randint(1, most))
        places: list[Place] = []
        for index, kind in enumerate(chosen):
            content = _content(kind, number, index, places, chance)
            path = f"/{kind}/{content}/{number}-{index}.jpg"
            value = (closed if kind == "closed" else origin) + path
            places.append(Place(kind, content, chance.choice(ODD) if kind == "odd" else value))
        yield Vehicle(uuid5(NAMESPACE, f"{seed} {number}"), tuple(places))


def _content(kind: str, number: int, index: int, before: list[Place], chance: Random) -> int:
    own = COMMON + number * 100 + index
    if kind == "common":
        return chance.randrange(COMMON)
    if kind == "twin":
        return next((place.content for place in before if place.good), own)
    return own
