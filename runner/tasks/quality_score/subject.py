"""The chain that finds the subject: stored boxes, a detector, an estimate; the first that knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from runner.pictures import Picture
from runner.tasks.quality_score.boxes import Box, Stored, read_stored
from runner.tasks.quality_score.detector import Answer, Detector
from runner.tasks.quality_score.estimate import NAME, VERSION, estimate


@dataclass(frozen=True, slots=True)
class Subject:
    """The main subject of a picture, as far as it is known.

    `source` is `stored`, a detector's name, `estimated`, or `none` where nobody knew; `box` is
    None where there is no subject. `confidence` (0..1) is None where there is nothing to be
    confident of.
    """

    source: str
    box: Box | None = None
    count: int = 0
    confidence: float | None = None
    visible_ratio: float | None = None
    detector: dict[str, str] | None = None
    notes: list[str] = field(default_factory=list)


def find(
    key: str,
    picture: Picture,
    stored: Any,
    stored_size: tuple[int, int],
    detector: Detector | None,
) -> Subject:
    """Ask each in turn. `stored` is what the row with that key holds, in pixels of a picture of
    `stored_size` where it is in pixels; the detector may raise `RowOutcome`.
    """
    known = read_stored(stored, *stored_size)
    if known.box is not None:
        return Subject(
            "stored",
            known.box,
            count=1,
            confidence=1.0,
            notes=[*_units_note(known), *known.notes],
        )
    if detector is None:
        return _estimated(picture, known.notes)
    answer = detector(key, picture.image)
    placed = [one for one in answer.detections if one.box is not None]
    if answer.detections and not placed:
        return _estimated(picture, [*known.notes, f"{answer.name} saw it, but not where"])
    return _detected(answer, known.notes)


def _units_note(known: Stored) -> list[str]:
    return [] if known.units == "shares" else [f"stored boxes read as {known.units}"]


def _detected(answer: Answer, notes: list[str]) -> Subject:
    who = {"name": answer.name, "version": answer.version}
    placed = [(one, one.box) for one in answer.detections if one.box is not None]
    if not placed:
        return Subject(answer.name, detector=who, notes=notes)
    main, box = max(placed, key=lambda found: (found[1].share, found[0].confidence))
    return Subject(
        answer.name,
        box,
        count=len(placed),
        confidence=main.confidence,
        visible_ratio=main.visible_ratio,
        detector=who,
        notes=notes,
    )


def _estimated(picture: Picture, notes: list[str]) -> Subject:
    found = estimate(picture.image)
    if found is None:
        return Subject("none", notes=[*notes, "the picture is all the same"])
    return Subject(
        "estimated",
        found.box,
        count=1,
        confidence=found.confidence,
        detector={"name": NAME, "version": VERSION},
        notes=notes,
    )
