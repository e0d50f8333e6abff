"""A picture's steps by hand: what the task's function would have found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.face_index.application import Application

BOX = {"Left": 0.1, "Top": 0.1, "Width": 0.2, "Height": 0.2}


def face(face_id: str, **values: Any) -> dict[str, Any]:
    """A face as the first step has it."""
    return {"face_id": face_id, "image_id": "i", "confidence": 0.99987, "box": BOX, **values}


def found(row: dict[str, Any], *faces: dict[str, Any], **values: Any) -> dict[str, Any]:
    """What the first step of a row hands over."""
    return {
        "collection": row["collection"] or f"savta-user-{row['user_id']}", "arn": "arn:x",
        "engine": "rekognition", "engine_version": "7.0", "faces": faces, "left_out": [],
        "to_delete": [], "done": not faces, **values,
    }  # fmt: skip


def compared(**values: Any) -> dict[str, Any]:
    """What a later step hands over."""
    return {"matches": [], "searched": [], "deleted": [], **values}


def match(of: str, other: str, similarity: float) -> dict[str, Any]:
    """A known face that is like one."""
    return {"face": of, "other": other, "similarity": similarity}


def decision(of: str, person: str | None = None, similarity: float = 96.0) -> dict[str, Any]:
    """That a face shows somebody, or nobody who is known."""
    return {
        "face": of, "decision": "assign" if person else "unknown", "reason": "because",
        "person": person, "similarity": similarity if person else None,
    }  # fmt: skip


class Picture:
    """A picture of the application, step by step."""

    def __init__(self, application: Application, asset: str) -> None:
        self.application = application
        self.asset = asset

    @property
    def row(self) -> dict[str, Any]:
        """Its row of the needs view."""
        row = self.application.needs(self.asset)
        assert row is not None
        return row

    def find(self, *face_ids: str, **values: Any) -> list[str]:
        """The first step; the application's ids of these faces."""
        self.application.apply(self.asset, found(self.row, *map(face, face_ids), **values))
        ids = self.faces
        return [ids[one] for one in face_ids]

    @property
    def faces(self) -> dict[str, str]:
        """The application's ids of the faces that are to be decided about, by the engine's."""
        row = self.application.needs(self.asset)
        return {one["face_id"]: one["face"] for one in (row or {}).get("faces") or ()}

    def search(self, *matches: dict[str, Any]) -> None:
        """A step in which all of its faces are compared."""
        self.application.apply(
            self.asset, compared(matches=matches, searched=sorted({m["face"] for m in matches}))
        )

    def decide(self, *decisions: dict[str, Any]) -> None:
        """The last step."""
        self.application.apply(self.asset, compared(decisions=decisions))

    def do(self, *face_ids: str, people: Sequence[str | None] = ()) -> list[str]:
        """All steps, with whom each face is linked to."""
        ids = self.find(*face_ids)
        shown = [*people, *[None] * (len(ids) - len(people))]
        self.decide(*(decision(one, person) for one, person in zip(ids, shown, strict=True)))
        return ids
