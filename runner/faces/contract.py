"""What every engine says of a face, and what is decided about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from PIL import Image

ASSIGN_FROM = 95.0
"""Similarity from which a face is given to a person without asking."""

SUGGEST_FROM = 80.0
"""Similarity from which a person is suggested; also the default threshold of Rekognition's
SearchFaces."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in the upright picture, in shares 0..1 of its width and height."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Face:
    """A face in a picture.

    `confidence` (0..100) is that of its being a face. A local engine gives the `embedding`, a
    provider the `face_id` under which it keeps the face. `flaw` says why the face can't be told
    from others, such as `too blurred`; such a face may have neither.
    """

    box: Box
    confidence: float
    embedding: tuple[float, ...] | None = None
    face_id: str | None = None
    flaw: str = ""


class FaceFinder(Protocol):
    """An engine that works on this machine; called from several threads at once."""

    name: str
    """Of engine and model; embeddings of different names are never compared."""

    version: int
    """Raised when embeddings of the same picture become others; not compared across, either."""

    short_side: int
    """Pixels to ask `runner.pictures.decode` for."""

    def find(self, image: Image.Image) -> list[Face]:
        """The faces of an upright RGB picture, from left to right; an empty list where none is."""
        ...


@dataclass(frozen=True, slots=True)
class Match:
    """A known face that is like the one in question.

    `similarity` is 0..100; `person` is whom the known face is linked to, if to anybody.
    """

    face: str
    similarity: float
    person: str | None = None


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Somebody whom the face may show, and the known face that says so."""

    person: str
    similarity: float
    face: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to become of a face.

    `assign`: it shows `chosen`. `suggest`: somebody has to look at the `suggestions`, the likeliest
    first; an assigned face has them too. `unknown`: nobody known is like it. `reason` is a sentence
    for whoever reviews it.
    """

    kind: Literal["assign", "suggest", "unknown"]
    reason: str
    chosen: Suggestion | None = None
    suggestions: tuple[Suggestion, ...] = ()
