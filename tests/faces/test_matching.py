"""Whom a face is given to, and when somebody is asked instead."""

from __future__ import annotations

import pytest

from runner.faces import Box, Decision, Face, Match, decide, dropped


def match(text: str) -> Match:
    """`ann 97` is a face of Ann's that is 97 % alike; `- 97` one that is linked to nobody."""
    person, similarity = text.split()
    return Match(f"face of {text}", float(similarity), None if person == "-" else person)


def decided(*faces: str) -> list[Decision]:
    """Decisions for the faces of a picture, each given as `ann 97, bob 81`."""
    return decide([[match(one) for one in face.split(", ") if one] for face in faces])


def people(decision: Decision) -> list[str]:
    """The suggested people, the likeliest first."""
    return [one.person for one in decision.suggestions]


@pytest.mark.parametrize(
    "matches, kind, reason",
    [
        ("", "unknown", "like no known face"),
        ("- 50", "unknown", "like no known face"),
        ("- 99", "unknown", "like 1 known face that no person is linked to"),
        ("- 99, - 80", "unknown", "like 2 known faces that no person is linked to"),
        ("ann 79.99", "unknown", "79.9 % like the likeliest person, less than 80 %"),
        ("- 99, ann 40", "unknown", "40.0 % like the likeliest person, less than 80 %"),
        ("ann 80", "suggest", "80.0 % like a known person, less than 95 %"),
        ("ann 94.9", "suggest", "94.9 % like a known person, less than 95 %"),
        ("ann 95", "assign", "95.0 % like this person"),
        ("ann 100", "assign", "100.0 % like this person"),
        ("- 99, ann 96", "assign", "96.0 % like this person"),
        ("ann 96, ann 95.5", "assign", "96.0 % like this person"),
        ("ann 97, bob 96", "assign", "97.0 % like this person"),
        ("ann 97, bob 96.01", "suggest", "about as much like two people: 97.0 % and 96.0 %"),
        ("ann 95, bob 94.5", "suggest", "about as much like two people: 95.0 % and 94.5 %"),
        ("ann 100, bob 100", "suggest", "about as much like two people: 100.0 % and 100.0 %"),
        ("ann 100, - 100", "assign", "100.0 % like this person"),
    ],
)
def test_bands(matches: str, kind: str, reason: str) -> None:
    """Each edge belongs to the better band; two people who are nearly alike are a question."""
    (decision,) = decided(matches)
    assert (decision.kind, decision.reason) == (kind, reason)


def test_assigned_face_names_its_witness() -> None:
    """An assignment says which known face it rests on: the person's most similar one."""
    (decision,) = decided("bob 85, ann 95.5, ann 98, - 99")
    assert decision.chosen is not None
    assert (decision.chosen.person, decision.chosen.face) == ("ann", "face of ann 98")
    assert decision.chosen.similarity == 98


@pytest.mark.parametrize(
    "matches, expected",
    [
        ("ann 85, bob 90", ["bob", "ann"]),
        ("ann 85, bob 84, cid 83, dan 82", ["ann", "bob", "cid"]),
        ("ann 90, ann 89, ann 88, bob 81", ["ann", "bob"]),
        ("ann 90, bob 79.9", ["ann"]),
        ("cid 85, ann 85, bob 85", ["ann", "bob", "cid"]),
        ("ann 97, bob 96.5", ["ann", "bob"]),
    ],
)
def test_suggestions(matches: str, expected: list[str]) -> None:
    """At most three different people are suggested, the likeliest first, none below the band."""
    (decision,) = decided(matches)
    assert decision.kind == "suggest"
    assert people(decision) == expected


def test_order_of_matches_does_not_matter() -> None:
    """The provider's order decides nothing, not even between equals."""
    matches = "bob 85, ann 85, cid 85, dan 85"
    backwards = ", ".join(reversed(matches.split(", ")))
    assert decided(matches) == decided(backwards)


@pytest.mark.parametrize(
    "faces, kinds",
    [
        (("ann 99", "ann 96"), ["assign", "suggest"]),
        (("ann 96", "ann 99"), ["suggest", "assign"]),
        (("ann 99", "ann 98.5"), ["suggest", "suggest"]),
        (("ann 99", "ann 99"), ["suggest", "suggest"]),
        (("ann 99", "ann 97", "ann 96.5"), ["assign", "suggest", "suggest"]),
        (("ann 99", "bob 99"), ["assign", "assign"]),
        (("ann 99", "ann 90"), ["assign", "suggest"]),
        (("ann 99", "ann 97, bob 96"), ["assign", "suggest"]),
        (("ann 99", ""), ["assign", "unknown"]),
        ((), []),
    ],
)
def test_a_person_is_in_a_picture_once(faces: tuple[str, ...], kinds: list[str]) -> None:
    """Of several faces that seem to be one person only the clearly most similar is assigned."""
    assert [decision.kind for decision in decided(*faces)] == kinds


def test_second_face_of_a_person_keeps_its_suggestions() -> None:
    """A face that lost a person to another face is reviewed, not given to the next person."""
    decision = decided("ann 99", "ann 97, bob 95.5")[1]
    assert decision.chosen is None
    assert people(decision) == ["ann", "bob"]
    assert decision.reason.startswith("another face of this picture")


def face(width: float, height: float, confidence: float = 99.0, flaw: str = "") -> Face:
    """A face of this size, in shares of the picture."""
    return Face(Box(0.5, 0.5, width, height), confidence, flaw=flaw)


@pytest.mark.parametrize(
    "one, reason",
    [
        (face(0.2, 0.3), None),
        (face(0.029, 0.029), "narrower and lower than 3 % of the picture"),
        (face(0.029, 0.03), None),
        (face(0.03, 0.029), None),
        (face(0.03, 0.03), None),
        (face(0.2, 0.3, confidence=60), None),
        (face(0.2, 0.3, confidence=59.4), "59 % sure to be a face, less than 60 %"),
        (face(0.2, 0.3, flaw="too blurred"), "too blurred"),
        (face(0.01, 0.01, flaw="too blurred"), "too blurred"),
    ],
)
def test_dropped(one: Face, reason: str | None) -> None:
    """A face is dropped for its flaw, for doubt that it is one, or for its size in both ways."""
    assert dropped(one) == reason
