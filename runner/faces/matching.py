"""Whom a face shows, by its similarities to known faces. Pure functions, for every engine.

A wrong link is worse than a question: where two people are about equally likely, or one person
would be in a picture twice, somebody is asked.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from runner.faces.contract import (
    ASSIGN_FROM,
    SUGGEST_FROM,
    Decision,
    Face,
    Match,
    Suggestion,
)

MOST_SUGGESTIONS = 3

CLEAR_LEAD = 1.0
"""Points by which the likeliest person has to lead the next one to be assigned."""

LEAST_SIDE = 0.03
"""A face that is narrower and lower than this share of the picture is dropped: a passer-by."""

LEAST_CONFIDENCE = 60.0
"""Of 147 detections of dlib that were looked at, two are no faces; below this are one of them and
two faces. Rekognition is surer of what it reports."""


def dropped(face: Face) -> str | None:
    """Why a face is not kept, or None if it is."""
    if face.flaw:
        return face.flaw
    if face.confidence < LEAST_CONFIDENCE:
        return f"{face.confidence:.0f} % sure to be a face, less than {LEAST_CONFIDENCE:g} %"
    if face.box.width < LEAST_SIDE and face.box.height < LEAST_SIDE:
        return f"narrower and lower than {100 * LEAST_SIDE:g} % of the picture"
    return None


def decide(faces: Sequence[Sequence[Match]]) -> list[Decision]:
    """One decision for each face of a picture, given the matches of each, in any order.

    Matches among the picture's own faces are not to be given. At the edge of a band the better
    one counts: 95 is assigned, 80 is suggested.
    """
    decisions = [_alone(matches) for matches in faces]
    claims: defaultdict[str, list[int]] = defaultdict(list)
    for i, decision in enumerate(decisions):
        if decision.chosen is not None:
            claims[decision.chosen.person].append(i)
    for claimants in claims.values():
        for i in _not_clearest(decisions, claimants):
            decisions[i] = replace(
                decisions[i],
                kind="suggest",
                chosen=None,
                reason="another face of this picture is as much like the same person, or more",
            )
    return decisions


def _alone(matches: Sequence[Match]) -> Decision:
    """The decision for a face as if it were the only one of its picture."""
    people = _by_person(matches)
    likely = [one for one in people if one.similarity >= SUGGEST_FROM]
    if not likely:
        return Decision("unknown", _why_unknown(matches, people))
    best, others = likely[0], likely[1:]
    suggestions = tuple(likely[:MOST_SUGGESTIONS])
    if best.similarity < ASSIGN_FROM:
        return Decision(
            "suggest",
            f"{_shown(best)} like a known person, less than {ASSIGN_FROM:g} %",
            suggestions=suggestions,
        )
    if others and best.similarity - others[0].similarity < CLEAR_LEAD:
        return Decision(
            "suggest",
            f"about as much like two people: {_shown(best)} and {_shown(others[0])}",
            suggestions=suggestions,
        )
    return Decision("assign", f"{_shown(best)} like this person", best, suggestions=suggestions)


def _by_person(matches: Iterable[Match]) -> list[Suggestion]:
    """Each linked person by the most similar of their faces, the likeliest first."""
    ordered = sorted(matches, key=lambda m: (-m.similarity, m.person or "", m.face))
    best: dict[str, Suggestion] = {}
    for match in ordered:
        if match.person is not None and match.person not in best:
            best[match.person] = Suggestion(match.person, match.similarity, match.face)
    return list(best.values())


def _why_unknown(matches: Sequence[Match], people: Sequence[Suggestion]) -> str:
    if people:
        return f"{_shown(people[0])} like the likeliest person, less than {SUGGEST_FROM:g} %"
    alike = sum(match.similarity >= SUGGEST_FROM for match in matches)
    if alike:
        return f"like {alike} known face{'s' if alike > 1 else ''} that no person is linked to"
    return "like no known face"


def _shown(one: Suggestion) -> str:
    """Rounded down, so that 94.96 is not shown as the 95 that it falls short of."""
    return f"{math.floor(10 * one.similarity) / 10:.1f} %"


def _not_clearest(decisions: Sequence[Decision], claimants: Sequence[int]) -> list[int]:
    """Of faces that all seem to show one person, those that are not clearly the one."""

    def likeness(i: int) -> float:
        chosen = decisions[i].chosen
        return chosen.similarity if chosen else 0.0

    first, *rest = sorted(claimants, key=likeness, reverse=True)
    if rest and likeness(first) - likeness(rest[0]) < CLEAR_LEAD:
        return [first, *rest]
    return rest
