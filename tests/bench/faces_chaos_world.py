"""The users of a chaos run: whom their pictures show, and what has to come of each face.

Everything follows from a seed and the faces, whichever is handled first: a face is like the known
faces of the same person by 99 % and more, like a look-alike's by what is set, and like all others
by less than 50 %.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Literal
from uuid import UUID, uuid5

from tests.rekognition.portraits import Face, draw, jpeg, png

PERSONS = 6
"""Of a user: 0 to 2 are known where the user has linked faces, the others never are."""

KNOWN = (0, 1, 2)
ALIKE_BUT_CLEAR = (0, 1, 97.0)
"""Two known persons: each is by more than a point more like themselves."""
ALIKE_AND_ASKED = (2, 3, 90.0)
"""A known and an unknown person: the first is suggested for the second."""

MOST_PICTURES = 120
"""Of a user: each has its own variation of a person, of which there are 256."""

SIZE = (400, 300)
LARGE = (1000, 800)
SMALL_FACE = (950, 750, 22)
"""Left, top and side in a large picture: narrower and lower than 3 % of it."""

_NAMES = UUID("6f1c2f0e-6a51-4c38-9f0d-0d3c0c5a4b11")

Kind = Literal["assign", "suggest", "unknown"]


@dataclass(frozen=True, slots=True)
class Shown:
    """A face in a picture; one that is `blurred` or `small` is not to be kept."""

    person: int
    variation: int
    blurred: bool = False
    small: bool = False

    @property
    def kept(self) -> bool:
        """Whether it is to be in the collection."""
        return not (self.blurred or self.small)


@dataclass(frozen=True)
class Asset:
    """A picture of a user, and the faces in it. Persons are numbered within the user."""

    id: UUID
    user: User
    number: int
    faces: tuple[Shown, ...]
    form: str = "JPEG"

    def file(self) -> bytes:
        """The picture."""
        small = any(face.small for face in self.faces)
        faces = [
            Face(
                self.user.person(face.person),
                face.variation,
                20 if face.blurred else 90,
                SMALL_FACE if face.small else None,
            )
            for face in self.faces
        ]
        ground = self.user.number * 1000 + self.number
        image = draw(*faces, size=LARGE if small else SIZE, ground=ground)
        if self.form == "JPEG":
            return jpeg(image)
        if self.form == "PNG":
            return png(image)
        file = io.BytesIO()
        image.save(file, self.form, quality=90)
        return file.getvalue()

    @property
    def state(self) -> str:
        """How its row has to end, unless the service refuses it."""
        return "ok" if any(face.kept for face in self.faces) else "nothing_found"

    @property
    def held(self) -> bool:
        """Whether the service keeps a face of it, be it only until that is deleted."""
        return any(not face.blurred for face in self.faces)

    @property
    def decisions(self) -> dict[tuple[int, int], tuple[Kind, int | None]]:
        """Of each kept face (person, variation): what is decided, and the person who is meant."""
        kept = [face for face in self.faces if face.kept]
        twice = {face.person for face in kept if sum(face.person == one.person for one in kept) > 1}
        return {
            (face.person, face.variation): self._decision(face.person, face.person in twice)
            for face in kept
        }

    def _decision(self, person: int, twice: bool) -> tuple[Kind, int | None]:
        if not self.user.knows:
            return "unknown", None
        if person in KNOWN:
            # a person can't be in a picture twice: somebody has to say which face it is
            return ("suggest" if twice else "assign"), person
        if person == ALIKE_AND_ASKED[1]:
            return "suggest", ALIKE_AND_ASKED[0]
        return "unknown", None


@dataclass(frozen=True)
class User:
    """A user; one who `knows` has faces linked to persons beforehand, in the collection too."""

    id: UUID
    number: int
    knows: bool

    def person(self, person: int) -> int:
        """The number of one of its persons among those of all users."""
        return self.number * PERSONS + person + 1

    @cached_property
    def known(self) -> Asset:
        """The picture whose faces are linked to persons beforehand; it needs no work."""
        faces = tuple(Shown(person, 0) for person in KNOWN)
        return Asset(uuid5(self.id, "known"), self, 0, faces)


@dataclass(frozen=True)
class World:
    """All users with their pictures, and pictures that nobody is to touch."""

    users: tuple[User, ...]
    assets: tuple[Asset, ...]
    others: tuple[Asset, ...]

    def look_alikes(self) -> list[dict[str, object]]:
        """For the service's settings."""
        return [
            {"one": user.person(one), "other": user.person(other), "similarity": similarity}
            for user in self.users
            if user.knows
            for one, other, similarity in (ALIKE_BUT_CLEAR, ALIKE_AND_ASKED)
        ]


def world(pictures: int, users: int, seed: int) -> World:
    """So many pictures of so many users; every other user has linked faces beforehand.

    Raises `ValueError` for more pictures of a user than there are variations of a face.
    """
    if pictures > MOST_PICTURES * users:
        raise ValueError(f"at most {MOST_PICTURES} pictures of each user")
    made = tuple(
        User(uuid5(_NAMES, f"{seed}/{number}"), number, number % 2 == 0) for number in range(users)
    )
    chance = Random(seed)
    assets = tuple(
        _asset(made[number % users], number // users + 1, chance) for number in range(pictures)
    )
    others = tuple(_asset(user, MOST_PICTURES + 1, chance) for user in made[:3])
    return World(made, assets, others)


def _asset(user: User, number: int, chance: Random) -> Asset:
    faces = tuple(_faces(number, chance))
    form = chance.choices(("JPEG", "PNG", "WEBP"), (90, 5, 5))[0]
    return Asset(uuid5(user.id, str(number)), user, number, faces, form)


def _faces(variation: int, chance: Random) -> Iterator[Shown]:
    """Whom a picture shows."""
    kind = chance.choices(
        ("people", "nobody", "blurred", "passer-by", "small", "twins"), (79, 6, 4, 4, 3, 4)
    )[0]
    person = chance.randrange(PERSONS)
    if kind == "people":
        yield from (Shown(one, variation) for one in _several(chance))
    elif kind == "blurred":
        yield Shown(person, variation, blurred=True)
    elif kind == "passer-by":
        yield Shown(person, variation)
        yield Shown((person + 1) % PERSONS, variation, small=True)
    elif kind == "small":
        yield Shown(person, variation, small=True)
    elif kind == "twins":
        yield Shown(person, variation)
        yield Shown(person, variation + MOST_PICTURES + 1)


def _several(chance: Random) -> Sequence[int]:
    return chance.sample(range(PERSONS), chance.choices((1, 2, 3), (60, 30, 10))[0])
