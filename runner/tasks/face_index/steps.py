"""The steps of a picture: its faces are found, then compared, then it is decided whom they show.

What a step found is committed before the next begins, so a process that is killed loses one call.
People are linked to faces all the time: the last step reads who is known by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from runner.contract import Result, Row
from runner.errors import Figure, NothingFound, Permanent, Skip
from runner.faces import Decision, Face, Match, decide, dropped

Known = Mapping[str, Any]
"""A face of an earlier step, as the needs view has it: `face`, `face_id`, `box`, `confidence`,
`searched` and `matches` (`face_id`, `similarity`, `person`)."""


@dataclass(frozen=True, slots=True)
class Found:
    """The faces of a picture, and what they were found by.

    `image_id` and `arn` are a provider's. Faces that are not kept by the engine have a flaw.
    """

    faces: Sequence[Face]
    version: str
    image_id: str | None = None
    arn: str | None = None


@dataclass(slots=True)
class Compared:
    """What a step of comparing has found: matches by the application's id of the face."""

    matches: dict[str, list[Match]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    after: float | None = None
    """Seconds until the rest can be compared, where something is in the way."""


class Backend(Protocol):
    """What finds and compares faces."""

    name: str
    """As it is stored with the collection."""

    keeps_faces: bool
    """Whether it holds faces of its own, which have to be searched and deleted there."""

    def open(self, row: Row, collection: str) -> tuple[str, str | None]:
        """Make a user's collection, unless it is there: the version of its model, and its ARN."""
        ...

    def find(self, row: Row, collection: str) -> Found:
        """The faces of a row's picture; they are in the collection afterwards."""
        ...

    def compare(
        self, row: Row, collection: str, faces: Sequence[Known], to_delete: Sequence[str]
    ) -> Compared:
        """Search what is like these faces, for about a second, and delete others. One step."""
        ...


class Steps:
    """The task's compute function. Called from several threads."""

    def __init__(self, backend: Backend, prefix: str) -> None:
        self._backend = backend
        self._prefix = prefix

    def __call__(self, row: Row) -> Result:
        """A step of a picture.

        Raises `Skip` without a URL, `NothingFound` where it has no face that is kept, `Permanent`
        (`other_engine`) where the user's collection is of another engine, and what downloading,
        finding and comparing raise.
        """
        if not str(row.get("url") or "").strip():
            raise Skip("the row has no URL")
        self._check_engine(row)
        collection = row["collection"] or f"{self._prefix}{row['user_id']}"
        if row["collection"] is None:
            return self._opened(row, collection)
        if row["state"] is None:
            return self._found(row, collection)
        faces: Sequence[Known] = row["faces"] or ()
        to_delete: Sequence[str] = row["to_delete"] or ()
        unsearched = [one for one in faces if not one["searched"]]
        if self._backend.keeps_faces and (unsearched or to_delete):
            return self._compared(row, collection, unsearched)
        return _decided(faces)

    def _check_engine(self, row: Row) -> None:
        engine = row["collection_engine"]
        if engine is not None and engine != self._backend.name:
            raise Permanent(
                f"the collection of user {row['user_id']} is kept by {engine}, and engines never "
                f"mix in a collection; run with its backend, or begin it anew: "
                f"select backfill.face_index_reset('{row['user_id']}')",
                code="other_engine",
            )

    def _opened(self, row: Row, collection: str) -> Result:
        """A user's first picture: which engine keeps the collection is settled before it costs."""
        version, arn = self._backend.open(row, collection)
        value = {
            "collection": collection,
            "arn": arn,
            "engine": self._backend.name,
            "engine_version": version,
        }
        return Result(value, more=True)

    def _found(self, row: Row, collection: str) -> Result:
        found = self._backend.find(row, collection)
        reasons = [dropped(face) for face in found.faces]
        kept = [face for face, why in zip(found.faces, reasons, strict=True) if why is None]
        left_out = [
            {"bounding_box": box(face), "confidence": face.confidence / 100, "why": why}
            for face, why in zip(found.faces, reasons, strict=True)
            if why is not None
        ]
        held = [f for f, why in zip(found.faces, reasons, strict=True) if why and f.face_id]
        to_delete = [face.face_id for face in held] if self._backend.keeps_faces else []
        value = {
            "collection": collection,
            "arn": found.arn,
            "engine": self._backend.name,
            "engine_version": found.version,
            "faces": [_stored(face, found.image_id) for face in kept],
            "left_out": left_out,
            "to_delete": to_delete,
            "done": not kept and not to_delete,
        }
        figures = (
            Figure("pictures", 1),
            Figure("faces found", len(kept)),
            Figure("left out", len(left_out)),
        )
        if not value["done"]:
            return Result(value, more=True, figures=figures)
        nothing = NothingFound(_why_none(left_out), value)
        nothing.figures = figures
        raise nothing

    def _compared(self, row: Row, collection: str, unsearched: Sequence[Known]) -> Result:
        to_delete: Sequence[str] = row["to_delete"] or ()
        compared = self._backend.compare(row, collection, unsearched, to_delete)
        value: dict[str, Any] = {
            "matches": _rows(compared.matches),
            "searched": list(compared.matches),
            "deleted": compared.deleted,
        }
        faces: Sequence[Known] = row["faces"] or ()
        left = len(compared.matches) < len(unsearched) or len(compared.deleted) < len(to_delete)
        alike = any(compared.matches.values()) or any(one["matches"] for one in faces)
        if left or alike:
            return Result(value, more=True, after=compared.after)
        # nothing is like any of them, so nobody has to be asked who is known
        return _decided(faces, value)


def _decided(faces: Sequence[Known], value: Mapping[str, Any] | None = None) -> Result:
    """The last step: whom each face shows, of the matches that the row has."""
    matches = [[Match(**one) for one in _matches(face)] for face in faces]
    decisions = decide(matches)
    stored: dict[str, Any] = {
        "matches": _rows(
            {f["face"]: m for f, m in zip(faces, matches, strict=True) if not f["searched"]}
        ),
        "searched": [],
        "deleted": [],
        **(value or {}),
        "decisions": [
            _decision(face["face"], one) for face, one in zip(faces, decisions, strict=True)
        ],
    }
    assigned = sum(one.kind == "assign" for one in decisions)
    figures = (
        Figure("assigned", assigned),
        Figure("to review", len(decisions) - assigned),
    )
    if faces:
        return Result(stored, figures=figures)
    raise NothingFound("no face that was found is kept", stored)


def _matches(face: Known) -> list[dict[str, Any]]:
    return [
        {"face": one["face_id"], "similarity": one["similarity"], "person": one["person"]}
        for one in face["matches"] or ()
    ]


def _decision(face: str, decision: Decision) -> dict[str, Any]:
    chosen = decision.chosen
    return {
        "face": face,
        "decision": decision.kind,
        "reason": decision.reason,
        "person": None if chosen is None else chosen.person,
        "similarity": None if chosen is None else chosen.similarity,
    }


def _rows(matches: Mapping[str, Sequence[Match]]) -> list[dict[str, Any]]:
    return [
        {"face": face, "other": one.face, "similarity": one.similarity}
        for face, several in matches.items()
        for one in several
    ]


def _stored(face: Face, image_id: str | None) -> dict[str, Any]:
    return {
        "face_id": face.face_id,
        "image_id": image_id,
        "box": box(face),
        "confidence": face.confidence / 100,
        "embedding": None if face.embedding is None else list(face.embedding),
    }


def box(face: Face) -> dict[str, float]:
    """As Rekognition writes a BoundingBox: shares of the upright picture."""
    at = face.box
    return {"Left": at.left, "Top": at.top, "Width": at.width, "Height": at.height}


def _why_none(left_out: Sequence[Mapping[str, Any]]) -> str:
    if not left_out:
        return "there is no face in the picture"
    return f"no face is kept: {'; '.join(sorted({one['why'] for one in left_out}))}"
