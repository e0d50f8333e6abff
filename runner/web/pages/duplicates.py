"""Pairs of payments with the same picture, for a person to judge."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from runner.pages.duplicates import Picture, PictureKey, card, pictures_of
from runner.web.database import Calls, Database
from runner.web.pages.forms import Sent, User
from runner.web.pages.rendering import html
from runner.web.problems import Problem

router = APIRouter(include_in_schema=False)

TASK = "image_signals"
PLACE = f"/tasks/{TASK}/duplicates"
PAGE = 20
LAST = 10_000
KINDS = {"review": "For review", "duplicate": "Duplicates", "not_duplicate": "No duplicates"}

_SHA256 = re.compile(r"[0-9a-f]{64}")
_A_WEEK = "private, max-age=604800, immutable"

Kind = Literal["review", "duplicate", "not_duplicate"]
Page = Annotated[int, Query(ge=1, le=LAST)]


@router.get(PLACE)
def duplicates(request: Request, user: User, kind: Kind = "review", page: Page = 1) -> Response:
    """Pairs of one kind, side by side."""
    database: Database = request.app.state.database
    with database.transaction(user, read_only=True) as calls:
        calls.call("task", task=TASK)
        pairs = calls.call(
            "console_duplicates", kind=kind, limit=PAGE + 1, offset=PAGE * (page - 1)
        )
        shown = pairs[:PAGE]
        kept = _kept(calls, pictures_of(shown))
    names = {key: f"{PLACE}/pictures/{key[0]}/{key[1]}" for key in kept}
    return html(
        request,
        "duplicates.html",
        place="/",
        task=TASK,
        here=PLACE,
        kind=kind,
        kinds=KINDS,
        cards=[
            {**card(number, pair, kept, names), "payment": pair["payment"],
             "other": pair["duplicate_of"]}
            for number, pair in enumerate(shown, start=1 + PAGE * (page - 1))
        ],
        page=page,
        more=len(pairs) > PAGE and page < LAST,
        may_operate=user.may("operator"),
    )  # fmt: skip


@router.get(PLACE + "/pictures/{generation}/{picture}")
def picture(request: Request, user: User, generation: int, picture: str) -> Response:
    """The small gray version that is kept of a picture."""
    database: Database = request.app.state.database
    known = _SHA256.fullmatch(picture) and 0 <= generation < 2**31
    rows: list[dict[str, Any]] = []
    if known:
        rows = database.call(
            user, "duplicate_pictures", read_only=True, generations=[generation], pictures=[picture]
        )
    if not rows:
        raise Problem("not_found", "no such picture is kept")
    # what an address stands for never changes: it has the file's hash
    return Response(
        bytes(rows[0]["thumbnail"]), media_type="image/webp", headers={"Cache-Control": _A_WEEK}
    )


@router.post(PLACE + "/mark")
def mark(request: Request, user: User, form: Sent) -> Response:
    """Write down a judgement, or take one back."""
    database: Database = request.app.state.database
    judgement = form.get("judgement")
    payment, other = form.get("payment"), form.get("other")
    if judgement == "none":
        database.call(user, "duplicate_unmark", payment=payment, other=other)
    elif judgement in ("duplicate", "not_duplicate"):
        database.call(
            user,
            "duplicate_mark",
            payment=payment,
            other=other,
            is_duplicate=judgement == "duplicate",
            reason=form.one("reason"),
        )
    else:
        raise Problem("invalid", "a judgement is duplicate, not_duplicate or none")
    query = {
        "kind": form.get("kind") if form.get("kind") in KINDS else "review",
        "said": "unmarked" if judgement == "none" else "marked",
    }
    return RedirectResponse(f"{PLACE}?{urlencode(query)}", status_code=303)


def _kept(calls: Calls, keys: list[PictureKey]) -> dict[PictureKey, Picture]:
    """Those that are kept, without their contents: a page asks for each by its address."""
    rows = calls.call(
        "console_pictures",
        generations=[generation for generation, _ in keys],
        pictures=[sha256 for _, sha256 in keys],
    )
    return {
        (row["generation"], row["picture"]): Picture(row["width"], row["height"], b"")
        for row in rows
    }
