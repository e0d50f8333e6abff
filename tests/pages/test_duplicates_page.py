"""What the page of duplicates promises to whoever opens it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest

from runner.pages import duplicates
from runner.pages.duplicates import (
    Picture,
    Section,
    group_sections,
    page,
    pairs_section,
    wanted,
)
from tests.image_signals.payments import sha
from tests.pages.found import FIRST_DAY, thumbnail

NASTY = """<script>alert("x")</script>'"&"""
LOADING = {"src", "srcset", "href", "xlink:href", "action", "formaction", "data", "poster",
           "background", "ping", "style", "srcdoc", "manifest"}  # fmt: skip
"""Attributes by which an element loads something, or goes somewhere."""


@dataclass
class Parsed(HTMLParser):
    """A page's elements, with their attributes, and its text."""

    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of each element of this kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def parse(text: str) -> Parsed:
    """Take a page apart."""
    parsed = Parsed()
    parsed.feed(text)
    parsed.close()
    return parsed


def pair(later: str = "b", earlier: str = "a", **changes: Any) -> dict[str, Any]:
    """A row of `backfill.duplicates`; pictures are named for the payments."""
    return {
        "payment": later, "label": f"F-{later}", "submitted_at": FIRST_DAY + timedelta(days=37),
        "image_url": "https://files.test/b.png?token=secret", "picture": sha(later),
        "regions": [], "duplicate_of": earlier, "first_label": f"F-{earlier}",
        "first_submitted_at": FIRST_DAY, "first_image_url": "https://files.test/a.png",
        "first_picture": sha(earlier), "first_regions": [], "verdict": "copy",
        "same_file": False, "percentage": Decimal("98.4"),
        "finding": "98.4 % is the same",
        "explanation": "Laid on one another: 98.4 % is the same",
        "marked": None, "marked_by": None, "marked_at": None, "mark_reason": None,
        "generation": 1, **changes,
    }  # fmt: skip


def shown(sections: Sequence[Section], *, kept: bool = True) -> str:
    """The page of these sections, with all their pictures."""
    keys = wanted(sections) if kept else []
    pictures = {key: Picture(270, 480, thumbnail(n)) for n, key in enumerate(keys)}
    return page(sections, pictures, made_at=datetime(2026, 5, 1, tzinfo=UTC), summary=["All."])


def test_page_loads_nothing_and_runs_nothing() -> None:
    """A page needs no network and has no script: it holds its pictures and its style."""
    parsed = parse(shown(pairs_section([pair(regions=[[0.1, 0.2, 0.3, 0.1]])])))
    assert {"script", "link", "iframe", "object", "embed"} & {
        n for n, _ in parsed.elements
    } == set()
    for tag, attributes in parsed.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), f"{tag} {name}"
            if name in LOADING:
                own = value.startswith(("#", "data:image/webp;base64,"))
                assert own or (tag == "a" and value.startswith("https://")), f"{tag} {name}={value}"


def test_page_forbids_what_it_does_not_have() -> None:
    """Its policy allows the one style sheet in it, by its hash, and kept pictures; nothing else."""
    text = shown(pairs_section([pair()]))
    (sheet,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    (policy,) = [m["content"] for m in parse(text).all("meta")
                 if m.get("http-equiv") == "Content-Security-Policy"]  # fmt: skip
    assert policy.split("; ") == [
        "default-src 'none'", "img-src data:", f"style-src 'sha256-{digest}'", "base-uri 'none'",
        "form-action 'none'",
    ]  # fmt: skip
    assert "url(" not in sheet
    assert "@import" not in sheet


def test_whatever_the_database_holds_stays_text() -> None:
    """Markup in a key, a label, an explanation or a reason is shown and not obeyed."""
    row = pair(
        NASTY, f"{NASTY}2", label=NASTY, first_label=NASTY, explanation=NASTY, finding=NASTY,
        marked="duplicate",
        marked_by=NASTY, mark_reason=NASTY, marked_at=FIRST_DAY, image_url=f"https://h/{NASTY}",
    )  # fmt: skip
    parsed = parse(shown(pairs_section([row])))
    row = pair(marked="duplicate", marked_by="ann", mark_reason="seen", marked_at=FIRST_DAY)
    plain = parse(shown(pairs_section([row])))
    assert [name for name, _ in parsed.elements] == [name for name, _ in plain.elements]
    assert parsed.text.count(NASTY) >= 7


def test_links_leave_secrets_out() -> None:
    """An original is linked to without its query string, and isn't told where from."""
    row = pair(first_image_url="javascript:alert(1)")
    text = shown(pairs_section([row]))
    (link,) = [a for a in parse(text).all("a") if not a["href"].startswith("#")]
    assert link["href"] == "https://files.test/b.png"
    assert "noreferrer" in link["rel"]
    assert "secret" not in text
    assert "alert(1)" not in text


def test_each_picture_is_held_once() -> None:
    """A picture that several pairs have is in the page once, and shown by reference."""
    sections = pairs_section([pair("b"), pair("c"), pair("d", "c")])
    assert len(wanted(sections)) == 4
    parsed = parse(shown(sections))
    ids = [image["id"] for image in parsed.all("image")]
    assert len(ids) == len(set(ids)) == 4
    assert [use["href"] for use in parsed.all("use")] == [
        f"#{ids[n]}" for n in (0, 1, 0, 2, 2, 3)
    ]  # fmt: skip


def test_pictures_are_described_for_who_cant_see_them() -> None:
    """Each picture says whose it is and how many places are marked in it."""
    boxes = [[0.1, 0.2, 0.3, 0.1], [0.5, 0.5, 0.1, 0.1]]
    parsed = parse(shown(pairs_section([pair(regions=boxes, first_regions=boxes)])))
    names = [svg["aria-label"] for svg in parsed.all("svg") if svg.get("role") == "img"]
    assert names == [
        "Picture of payment a (F-a), 2 places marked",
        "Picture of payment b (F-b), 2 places marked",
    ]


def test_differences_are_boxed_where_they_are() -> None:
    """A box stands around the place that differs, in the pixels of the picture that has it."""
    row = pair(regions=[[0.5, 0.25, 0.2, 0.1]], first_regions=[[0.0, 0.5, 0.2, 0.1]])
    lines = [p["d"] for p in parse(shown(pairs_section([row]))).all("path") if p["class"] == "line"]
    beside = 0.012 * 270
    (first, second) = (
        [float(number) for number in re.findall(r"-?[\d.]+", line)] for line in lines
    )
    assert first[:2] == pytest.approx([0 - beside, 240 - beside], abs=0.06)
    assert second == pytest.approx(
        [135 - beside, 120 - beside, 54 + 2 * beside, 48 + 2 * beside, 135 - beside], abs=0.06
    )


def test_card_says_what_was_found() -> None:
    """A card has verdict, percentage, how much later, who and when, and how to judge it."""
    text = " ".join(parse(shown(pairs_section([pair()]))).text.split())
    for words in ("F-b like F-a Copy 98.4 % 37 days later 98.4 % is the same",
                  "How it was found Laid on one another: 98.4 % is the same",
                  "backfill duplicates mark b a --not-duplicate", "How much of the content",
                  "As of 2026-05-01"):  # fmt: skip
        assert words in text
    again = pair(same_file=True, submitted_at=FIRST_DAY, percentage=Decimal("100.0"))
    text = " ".join(parse(shown(pairs_section([again]))).text.split())
    assert "Same file 100 % less than a minute later" in text


def test_mark_is_shown_with_who_made_it() -> None:
    """What a person said of a pair stands in its card, with who, when and why."""
    row = pair(
        marked="not_duplicate", marked_by="ann", marked_at=FIRST_DAY, mark_reason="both paid"
    )
    text = " ".join(parse(shown(pairs_section([row]))).text.split())
    assert "Marked as no duplicate by ann, 2026-03-01" in text
    assert ": both paid" in text


def test_picture_that_is_not_kept_is_told() -> None:
    """A pair whose pictures are gone is still listed."""
    parsed = parse(shown(pairs_section([pair()]), kept=False))
    assert parsed.text.count("No picture is kept.") == 2
    assert parsed.all("image") == []


def test_unknown_times_and_labels_are_told() -> None:
    """Payments without a time or a label are shown by their keys."""
    row = pair(submitted_at=None, label=None, first_label=None)
    text = " ".join(parse(shown(pairs_section([row]))).text.split())
    assert "b like a" in text
    assert "time unknown" in text
    assert "days later" not in text


def test_page_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page has so many pairs and no more, and says how many it leaves out."""
    monkeypatch.setattr(duplicates, "MOST_CARDS", 5)
    monkeypatch.setattr(duplicates, "MOST_OF_GROUP", 3)
    rows = [pair(f"p{n}") for n in range(7)]
    assert "2 more pairs not shown here" in parse(shown(pairs_section(rows))).text
    sections = group_sections([rows, rows[:1], rows, rows])
    assert [(len(s.pairs), s.payments, s.left_out) for s in sections] == [
        (3, 8, 4), (1, 2, 0), (1, 8, 6),
    ]  # fmt: skip
    text = parse(shown(sections)).text
    assert "Group 1: 8 payments" in text
    assert "4 more pairs of this group not shown here" in text


def test_page_of_nothing_says_so() -> None:
    """Without a pair there is a page that says so."""
    assert "Nothing was found." in parse(shown(pairs_section([]))).text
