"""Faces that a person has to name, each beside the people it is most like."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import ROUND_DOWN, Decimal
from itertools import groupby
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from runner.pages.faces_crops import Region, Source, crops, region
from runner.web.database import Database
from runner.web.pages.forms import Sent, User
from runner.web.pages.rendering import html
from runner.web.problems import Problem
from runner.web.settings import Settings

router = APIRouter(include_in_schema=False)

TASK = "face_index"
PLACE = f"/tasks/{TASK}/faces"
PAGE = 24
AT_ONCE = threading.BoundedSemaphore(4)
"""Pictures that the server downloads at once: no host is asked for more, whoever's it is."""
WAIT_S = 20.0

_SHORT = "private, max-age=3600"


@router.get(PLACE)
def faces(request: Request, user: User, of: str = "") -> Response:
    """Faces to name, those of a user together. `of`: only this user's."""
    database: Database = request.app.state.database
    with database.transaction(user, read_only=True) as calls:
        calls.call("task", task=TASK)
        counts = calls.one("faces_to_review_counts", user=of or None)
        found = calls.call("faces_to_review", user=of or None, limit=PAGE)
    groups = [
        {"user": owner, "cards": [_card(face) for face in of_one]}
        for owner, of_one in groupby(found, key=lambda face: face["user_id"])
    ]
    return html(
        request, "faces.html", place="/", task=TASK, here=PLACE, of=of, groups=groups,
        all=counts["faces"], users=counts["users"], shown=len(found),
        may_operate=user.may("operator"),
    )  # fmt: skip


@router.get(PLACE + "/{face}/crop")
def crop(request: Request, user: User, face: str, other: str = "") -> Response:
    """A face cut out of its picture; `other`: that of a person it is like.

    The database says where the picture is, so nobody can make the server ask for another address.
    """
    database: Database = request.app.state.database
    rows = database.call(user, "console_face", read_only=True, face=face, other=other or None)
    place = region(rows[0]["url"], rows[0]["bounding_box"]) if rows else None
    if place is None:
        raise Problem("not_found", "there is no picture of this face")
    with _turn():
        made = _cut(place, request.app.state.settings)
    if isinstance(made, str):
        raise Problem("not_found", f"the picture is not to be had: {made}")
    return Response(made, media_type="image/jpeg", headers={"Cache-Control": _SHORT})


@router.post(PLACE + "/{face}")
def decide(request: Request, user: User, form: Sent, face: str) -> Response:
    """Name a face, or leave it without a name."""
    database: Database = request.app.state.database
    person = form.one("person")
    if person is not None:
        database.call(user, "name_face", face=face, person=person)
    elif form.get("leave") == "true":
        database.call(user, "leave_face", face=face)
    else:
        raise Problem("invalid", "say whom the face shows: the key of a person")
    query = {"said": "skipped" if person is None else "assigned"}
    of = form.get("of")
    return RedirectResponse(
        f"{PLACE}?{urlencode(query | ({'of': of} if of else {}))}", status_code=303
    )


def _card(face: Mapping[str, Any]) -> dict[str, Any]:
    here = f"{PLACE}/{quote(face['face'], safe='')}"
    return {
        **face,
        "here": here,
        "crop": f"{here}/crop" if face["url"] else None,
        "sure": _percent(face["confidence"], 100),
        "people": [
            {
                "person": str(one["person"]),
                "name": one["name"] or str(one["person"]),
                "similarity": _percent(one["similarity"]),
                "crop": f"{here}/crop?{urlencode({'other': one['face']})}" if one["url"] else None,
            }
            for one in face["suggestions"]
        ],
    }


def _percent(value: float | Decimal | None, factor: int = 1) -> str | None:
    """With one decimal, never rounded up: 94.99 is below the 95 from which faces are named."""
    if value is None:
        return None
    return str((Decimal(str(value)) * factor).quantize(Decimal("0.1"), ROUND_DOWN))


@contextmanager
def _turn() -> Iterator[None]:
    if not AT_ONCE.acquire(timeout=WAIT_S):
        raise Problem("unavailable", "too many pictures are being downloaded; try again")
    try:
        yield
    finally:
        AT_ONCE.release()


def _cut(place: Region, settings: Settings) -> bytes | str:
    """A JPEG, or why there is none; the server's own settings say whom it may ask."""
    source = Source(base_url=settings.pictures_base_url, allow=settings.pictures_allow)
    with source.client() as client:
        return crops(client, [place], source.max_pixels, _tell_nobody)[place]


def _tell_nobody(_done: int, _of: int) -> None:
    """One picture needs no progress."""
