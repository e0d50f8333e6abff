"""The page of faces that a person has to name, each beside the people it is most like."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from itertools import groupby
from typing import Any

from runner.pages.environment import render
from runner.pages.faces_crops import Made, Region, region
from runner.pages.links import safe_link

Face = Mapping[str, Any]
"""A row of the view `backfill.faces_to_review`, its keys as text."""

MOST_CARDS = 1_000
"""Faces in a page; one of the most, with three suggestions each, has some 30 MB."""

ANYBODY = "PERSON"
"""Stands in a statement for the key of somebody who isn't suggested."""


def regions(faces: Iterable[Face]) -> list[Region]:
    """The places in pictures that a page of these faces shows, each once."""
    found = (region(one["url"], one["bounding_box"]) for face in faces for one in _shown(face))
    return list(dict.fromkeys(one for one in found if one is not None))


def page(faces: Sequence[Face], made: Made, *, made_at: datetime, summary: Sequence[str]) -> str:
    """The page of faces, those of a user side by side and together in `faces`.

    `made` has what is to be seen of each of `regions(faces)`; `summary` are sentences about what
    is in the page and what is not.
    """
    ids = {key: f"c{number}" for number, key in enumerate(made, start=1)}
    numbers = iter(range(1, len(faces) + 1))
    users = [
        {"user": user, "cards": [_card(next(numbers), face, made, ids) for face in of_user]}
        for user, of_user in groupby(faces, key=lambda face: face["user_id"])
    ]
    return render(
        "faces.html",
        "faces.css",
        users=users,
        crops=[
            {"id": ids[key], "data": base64.b64encode(crop).decode("ascii")}
            for key, crop in made.items() if isinstance(crop, bytes)
        ],
        made_at=_time(made_at),
        summary=summary,
    )  # fmt: skip


def literal(text: str) -> str:
    """A text as a literal of PostgreSQL: on one line, and with nothing in it that isn't seen.

    What is no printable ASCII is written as an escape (PostgreSQL's manual, 4.1.2.2).
    """
    quoted = text.replace("'", "''")
    if text.isascii() and text.isprintable() and "\\" not in text:
        return f"'{quoted}'"
    return "E'" + "".join(map(_escaped, quoted)) + "'"


def _escaped(letter: str) -> str:
    if letter == "\\":
        return "\\\\"
    return letter if letter.isascii() and letter.isprintable() else f"\\U{ord(letter):08x}"


def _shown(face: Face) -> Iterator[Face]:
    yield face
    yield from face["suggestions"]


def _card(number: int, face: Face, made: Made, ids: Mapping[Region, str]) -> dict[str, Any]:
    people = [_person(face, one, made, ids) for one in face["suggestions"]]
    return {
        "number": number,
        "face": face["face"],
        "asset": face["asset"],
        "reason": face["reason"],
        "confidence": _percent(face["confidence"], 100),
        "time": _time(face["created_at"]),
        "picture": _picture(face, made, ids),
        "people": people,
        "anybody": _assign(face, ANYBODY),
        "skip": f"select backfill.leave_face({literal(face['face'])});",
    }


def _person(face: Face, suggestion: Face, made: Made, ids: Mapping[Region, str]) -> dict[str, Any]:
    return {
        "name": suggestion["name"] or suggestion["person"],
        "person": suggestion["person"],
        "asset": suggestion["asset"],
        "similarity": _percent(suggestion["similarity"]),
        "picture": _picture(suggestion, made, ids),
        "assign": _assign(face, str(suggestion["person"])),
    }


def _assign(face: Face, person: str) -> str:
    return f"select backfill.name_face({literal(face['face'])}, {literal(person)});"


def _picture(place: Face, made: Made, ids: Mapping[Region, str]) -> dict[str, Any]:
    """What is to be seen of a face: `id` of its crop, or `missing`, why there is none."""
    key = region(place["url"], place["bounding_box"])
    if key is None:
        return {"id": None, "missing": "the picture has no address", "whole": False, "link": None}
    crop = made[key]
    missing = crop if isinstance(crop, str) else None
    return {
        "id": None if missing else ids[key],
        "missing": missing,
        "whole": key.box is None,
        "link": safe_link(place["url"]),
    }


def _percent(value: float | Decimal | None, factor: int = 1) -> str | None:
    """With one decimal, never rounded up: 94.99 is below the 95 from which faces are named."""
    if value is None:
        return None
    return str((Decimal(str(value)) * factor).quantize(Decimal("0.1"), ROUND_DOWN))


def _time(at: datetime | None) -> dict[str, str] | None:
    if at is None:
        return None
    local = at.astimezone()
    return {"exact": local.isoformat(timespec="seconds"),
            "shown": local.strftime("%Y-%m-%d %H:%M %Z")}  # fmt: skip
