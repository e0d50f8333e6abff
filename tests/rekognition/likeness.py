"""How similar two faces are: a stand-in for the service's feature vectors, without randomness."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from tests.rekognition.settings import LookAlike

STRANGERS_BELOW = 50.0
"""Percent of similarity that two persons never reach who aren't set to look alike."""


class Likeness:
    """Similarity in percent of any two faces, the same both ways.

    The same person: 99 to 100, and 100 for the same variation. Look-alikes: as set. Strangers:
    below `STRANGERS_BELOW`.
    """

    def __init__(self, look_alikes: Iterable[LookAlike] = ()) -> None:
        self._alike = {
            (min(pair.one, pair.other), max(pair.one, pair.other)): pair.similarity
            for pair in look_alikes
        }

    def near(self, person: int) -> set[int]:
        """The persons who may be more similar than strangers: this one and the look-alikes."""
        return {person, *(one for pair in self._alike if person in pair for one in pair)}

    def __call__(self, one: tuple[int, int], other: tuple[int, int]) -> float:
        """Of two faces, each a person and a variation."""
        if one == other:
            return 100.0
        first, second = min(one, other), max(one, other)
        if one[0] == other[0]:
            return 99.0 + _fraction(first, second)
        alike = self._alike.get((first[0], second[0]))
        return alike if alike is not None else STRANGERS_BELOW * _fraction(first[0], second[0])


def _fraction(*of: object) -> float:
    """From 0 to below 1."""
    return zlib.crc32(repr(of).encode()) / 2**32
