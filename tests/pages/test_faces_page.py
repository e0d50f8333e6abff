"""What the page of faces promises to whoever opens it."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from runner.pages.faces import literal, page, regions
from tests.pages.test_duplicates_page import LOADING, NASTY, Parsed, parse
from tests.plugins.database import Database

BOX = {"Left": 0.25, "Top": 0.25, "Width": 0.1, "Height": 0.1}
CROP = b"\xff\xd8 a crop"
FOUND_AT = datetime(2026, 4, 2, 9, 30, tzinfo=UTC)


def suggestion(name: str, similarity: float, **changes: Any) -> dict[str, Any]:
    """A person whom a face may show, with their known face."""
    return {
        "person": f"key of {name}", "name": name, "similarity": similarity,
        "face": f"face of {name}", "asset": f"asset of {name}",
        "url": f"https://files.test/{name}.jpg?token=hush", "bounding_box": BOX, **changes,
    }  # fmt: skip


def face(name: str = "f1", *suggestions: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A row of `backfill.faces_to_review`."""
    return {
        "face": name, "asset": f"asset of {name}", "user_id": "u1",
        "url": f"https://files.test/{name}.jpg?token=hush", "bounding_box": BOX,
        "confidence": Decimal("0.9987"), "reason": "like Ann and Ben", "created_at": FOUND_AT,
        "suggestions": list(suggestions), **changes,
    }  # fmt: skip


def shown(faces: Sequence[Mapping[str, Any]], missing: Mapping[str, str] | None = None) -> str:
    """The page of these faces; `missing` says of addresses why there is no crop."""
    made = {one: (missing or {}).get(one.url, CROP) for one in regions(faces)}
    return page(faces, made, made_at=datetime(2026, 5, 1, tzinfo=UTC), summary=["All."])


def words(parsed: Parsed) -> str:
    """A page's text with single spaces."""
    return " ".join(parsed.text.split())


def test_card_says_who_it_may_be() -> None:
    """A card has the face, why nobody was linked, who it may be and how alike, and the answers."""
    row = face("f1", suggestion("Ann", 94.99999), suggestion("Ben", 81.25))
    parsed = parse(shown([row]))
    for expected in (
        "User u1: 1 face", "1 Perhaps Ann", "like Ann and Ben", "A face, to 99.8 %",
        "Picture asset of f1, found 2026-04-02", "Ann 94.9 % alike", "Ben 81.2 % alike",
        "It is Ann: select backfill.name_face('f1', 'key of Ann');",
        "It is Ben: select backfill.name_face('f1', 'key of Ben');",
        "select backfill.name_face('f1', 'PERSON');",
        "Nobody to name: select backfill.leave_face('f1');", "As of 2026-05-01",
    ):  # fmt: skip
        assert expected in words(parsed), expected
    named = [svg["aria-label"] for svg in parsed.all("svg") if svg.get("role") == "img"]
    assert named == ["The face to name, number 1", "A known face of Ann", "A known face of Ben"]


def test_faces_of_a_user_stand_together() -> None:
    """Each user has a heading with how many faces follow; cards are numbered throughout."""
    rows = [face("a"), face("b"), face("c", user_id="u2"), face("d", user_id=None)]
    parsed = parse(shown(rows))
    assert re.findall(r"(User u\d|No user): (\d faces?)", words(parsed)) == [
        ("User u1", "2 faces"), ("User u2", "1 face"), ("No user", "1 face"),
    ]  # fmt: skip
    assert [card["id"] for card in parsed.all("article")] == [f"face-{n}" for n in range(1, 5)]


def test_page_loads_nothing_and_runs_nothing() -> None:
    """A page needs no network and has no script: it holds its pictures and its style."""
    parsed = parse(shown([face("f1", suggestion("Ann", 90)), face("f2", url=None)]))
    assert not {"script", "link", "iframe", "object", "embed", "img", "form"} & {
        name for name, _ in parsed.elements
    }
    for tag, attributes in parsed.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), f"{tag} {name}"
            if name in LOADING:
                own = value.startswith(("#", "data:image/jpeg;base64,"))
                assert own or (tag == "a" and value.startswith("https://")), f"{tag} {name}={value}"
    (policy,) = [m["content"] for m in parsed.all("meta")
                 if m.get("http-equiv") == "Content-Security-Policy"]  # fmt: skip
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")


def test_whatever_the_database_holds_stays_text() -> None:
    """Markup in a key, a name, an address or a reason is shown and not obeyed."""
    nasty = face(
        NASTY, suggestion(NASTY, 90, asset=NASTY, person=NASTY, url=f"https://h/{NASTY}"),
        reason=NASTY, asset=NASTY, user_id=NASTY, url=f"https://h/{NASTY}.jpg",
    )  # fmt: skip
    parsed = parse(shown([nasty], {f"https://h/{NASTY}.jpg": NASTY}))
    plain = parse(shown([face("f1", suggestion("Ann", 90))], {face()["url"]: "gone"}))
    assert [name for name, _ in parsed.elements] == [name for name, _ in plain.elements]
    assert parsed.text.count(NASTY) >= 6


def test_links_leave_secrets_out() -> None:
    """An original is linked to without its query string; what is no web address is no link."""
    row = face("f1", suggestion("Ann", 90, url="javascript:alert(1)"))
    text = shown([row])
    (link,) = [a for a in parse(text).all("a") if not a["href"].startswith("#")]
    assert link["href"] == "https://files.test/f1.jpg"
    assert "noreferrer" in link["rel"]
    assert "hush" not in text
    assert "alert(1)" not in text


def test_each_crop_is_held_once() -> None:
    """A known face that several faces are like is in the page once, and shown by reference."""
    ann = suggestion("Ann", 90)
    rows = [face("f1", ann), face("f2", ann, suggestion("Ben", 85))]
    parsed = parse(shown(rows))
    ids = [image["id"] for image in parsed.all("image")]
    assert len(ids) == len(set(ids)) == 4
    data = "data:image/jpeg;base64," + base64.b64encode(CROP).decode()
    assert {image["href"] for image in parsed.all("image")} == {data}
    assert [use["href"] for use in parsed.all("use")] == [f"#{ids[n]}" for n in (0, 1, 2, 1, 3)]


def test_what_cant_be_seen_says_why() -> None:
    """Where a picture can't be had, has no address, or has no box, its card says so."""
    rows = [face("f1", suggestion("Ann", 90)), face("f2", url=None), face("f3", bounding_box=[])]
    parsed = parse(shown(rows, {face("f1")["url"]: "files.test/f1.jpg: HTTP 404 (not found)"}))
    text = words(parsed)
    assert "Not to be seen: files.test/f1.jpg: HTTP 404 (not found)" in text
    assert "Not to be seen: the picture has no address" in text
    assert text.count("The whole picture: the face's place in it is not known.") == 1
    assert len(parsed.all("use")) == 2


def test_page_of_nothing() -> None:
    """Where no face waits the page says so."""
    assert "No face waits for a name." in words(parse(shown([])))
    assert "Not known yet" in words(parse(shown([face("f1", reason=None, confidence=None)])))


@pytest.mark.parametrize(
    "text", ["3f2a-11", "it's", "a\\b'c", "'; drop table faces; --", "two\nlines", "\u202egnp.exe",
             "Zo\u00eb \U0001f600", "\\'\\", ""]
)  # fmt: skip
def test_literals_mean_the_text(database: Database, text: str) -> None:
    """A key in a statement to copy is a line of plain characters, which PostgreSQL reads as it."""
    written = literal(text)
    assert written.isascii()
    assert written.isprintable()
    with psycopg.connect(database.url) as connection:
        assert connection.execute(f"select {written}".encode()).fetchone() == (text,)
