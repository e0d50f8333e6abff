"""The page of duplicates: what was found, both pictures side by side."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from runner.pages.environment import render
from runner.pages.links import safe_link

Pair = Mapping[str, Any]
"""A row of the view `backfill.duplicates`."""

MOST_CARDS = 1_000
MOST_OF_GROUP = 30
"""Pairs of pictures in a page, and in one group of it; a page of the most has some 25 MB."""

_VERDICTS = {"same file": "Same file", "copy": "Copy", "review": "For review"}
_MARKS = {"duplicate": "Marked as duplicate", "not_duplicate": "Marked as no duplicate"}


@dataclass(frozen=True, slots=True)
class Section:
    """Pairs below one heading: all of a page, or those of one group of payments.

    `left_out` counts pairs of the group that have no card; `payments` is None without groups.
    """

    pairs: tuple[Pair, ...]
    payments: int | None = None
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """A kept picture: the original's width and height in pixels, and a small WebP of it."""

    width: int
    height: int
    thumbnail: bytes


PictureKey = tuple[int, str]
"""Generation and SHA-256."""


def pairs_section(pairs: Sequence[Pair]) -> list[Section]:
    """A page of pairs, the first `MOST_CARDS` of them."""
    shown = tuple(pairs[:MOST_CARDS])
    return [Section(shown, left_out=len(pairs) - len(shown))] if shown else []


def group_sections(groups: Iterable[Sequence[Pair]]) -> list[Section]:
    """A page of groups, each given by the pairs that tell why a payment is in it, in order of time.

    Groups come in full or cut to `MOST_OF_GROUP`, as long as the page has room.
    """
    found, room = [], MOST_CARDS
    for pairs in groups:
        shown = tuple(pairs[: min(MOST_OF_GROUP, room)])
        if not shown:
            break
        found.append(Section(shown, len(pairs) + 1, len(pairs) - len(shown)))
        room -= len(shown)
    return found


def wanted(sections: Iterable[Section]) -> list[PictureKey]:
    """The pictures of these sections, each once."""
    return pictures_of(pair for section in sections for pair in section.pairs)


def pictures_of(pairs: Iterable[Pair]) -> list[PictureKey]:
    """The pictures of these pairs, each once."""
    return list(dict.fromkeys(key for pair in pairs for key in _keys(pair)))


def page(
    sections: Sequence[Section],
    pictures: Mapping[PictureKey, Picture],
    *,
    made_at: datetime,
    summary: Sequence[str],
) -> str:
    """The page. `summary` are sentences about what is in it and what is not."""
    ids = {key: f"p{number}" for number, key in enumerate(pictures, start=1)}
    numbers = iter(range(1, 1 + sum(len(section.pairs) for section in sections)))
    shown = [
        {"section": section,
         "cards": [card(next(numbers), pair, pictures, ids) for pair in section.pairs]}
        for section in sections
    ]  # fmt: skip
    return render(
        "duplicates.html",
        "duplicates.css",
        sections=shown,
        pictures=[
            {"id": ids[key], "width": kept.width, "height": kept.height,
             "data": base64.b64encode(kept.thumbnail).decode("ascii")}
            for key, kept in pictures.items()
        ],
        made_at=_time(made_at),
        summary=summary,
    )  # fmt: skip


def card(
    number: int,
    pair: Pair,
    pictures: Mapping[PictureKey, Picture],
    ids: Mapping[PictureKey, str],
) -> dict[str, Any]:
    """What a page shows of a pair; `ids` are the names of kept pictures in it."""
    earlier, later = _keys(pair)
    boxes, first_boxes = list(pair["regions"] or ()), list(pair["first_regions"] or ())
    how = "same file" if pair["same_file"] else pair["verdict"]
    return {
        "number": number,
        "how": how.replace(" ", "-"),
        "verdict": _VERDICTS[how],
        "percentage": pair["percentage"],
        "finding": pair["finding"],
        "explanation": pair["explanation"],
        "apart": _apart(pair["first_submitted_at"], pair["submitted_at"]),
        "places": len(boxes),
        "mark": _mark(pair),
        "refuted": pair["marked"] == "not_duplicate",
        "command": shlex.join(
            ["backfill", "duplicates", "mark", pair["payment"], pair["duplicate_of"]]
        ),
        "sides": [
            _side("Earlier", pair["duplicate_of"], pair["first_label"],
                  pair["first_submitted_at"], pair["first_image_url"],
                  _drawn(pictures.get(earlier), ids.get(earlier), first_boxes)),
            _side("Later", pair["payment"], pair["label"], pair["submitted_at"],
                  pair["image_url"], _drawn(pictures.get(later), ids.get(later), boxes)),
        ],
    }  # fmt: skip


def _keys(pair: Pair) -> tuple[PictureKey, PictureKey]:
    """Of the earlier payment's picture and of the later one's."""
    generation = pair["generation"]
    return (generation, pair["first_picture"]), (generation, pair["picture"])


def _side(
    role: str,
    payment: str,
    label: str | None,
    at: datetime | None,
    url: str | None,
    drawn: dict[str, Any] | None,
) -> dict[str, Any]:
    return {
        "role": role,
        "payment": payment,
        "label": label,
        "time": _time(at),
        "link": safe_link(url),
        "drawn": drawn,
    }


def _drawn(
    picture: Picture | None, name: str | None, boxes: Sequence[Sequence[float]]
) -> dict[str, Any] | None:
    """A kept picture with boxes (shares of it) around what differs; None where none is kept."""
    if picture is None:
        return None
    width, height = picture.width, picture.height
    return {"id": name, "width": width, "height": height,
            "outline": " ".join(_outlines(boxes, width, height))}  # fmt: skip


def _outlines(boxes: Sequence[Sequence[float]], width: int, height: int) -> Iterator[str]:
    """Boxes as SVG paths, a little larger, so that the line does not hide what it marks."""
    beside = 0.012 * width
    for left, top, across, down in boxes:
        x, y = left * width - beside, top * height - beside
        yield (
            f"M{x:.1f} {y:.1f}h{across * width + 2 * beside:.1f}"
            f"v{down * height + 2 * beside:.1f}H{x:.1f}z"
        )


def _mark(pair: Pair) -> dict[str, Any] | None:
    if pair["marked"] is None:
        return None
    return {"words": _MARKS[pair["marked"]], "by": pair["marked_by"],
            "time": _time(pair["marked_at"]), "reason": pair["mark_reason"]}  # fmt: skip


def _time(at: datetime | None) -> dict[str, str] | None:
    if at is None:
        return None
    local = at.astimezone()
    return {"exact": local.isoformat(timespec="seconds"),
            "shown": local.strftime("%Y-%m-%d %H:%M %Z")}  # fmt: skip


def _apart(first: datetime | None, second: datetime | None) -> str | None:
    """How much later the second is, in its largest unit."""
    if first is None or second is None:
        return None
    apart = max(second - first, timedelta())
    units = (("day", apart.days), ("hour", apart.seconds // 3600), ("minute", apart.seconds // 60))
    for unit, number in units:
        if number:
            return f"{number:,} {unit}{'s' if number > 1 else ''} later"
    return "less than a minute later"
