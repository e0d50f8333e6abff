"""What goes into calls of Rekognition and what comes out of its answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from runner.errors import Permanent
from runner.faces.contract import Box, Face

if TYPE_CHECKING:
    from types_boto3_rekognition.type_defs import (
        BoundingBoxTypeDef,
        FaceTypeDef,
        UnindexedFaceTypeDef,
    )

_COLLECTION = re.compile(r"[a-zA-Z0-9_.\-]{1,255}")
_ASSET = re.compile(r"[a-zA-Z0-9_.\-:]{1,255}")
_FACE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
"""CollectionId, ExternalImageId and FaceId; API reference, IndexFaces and SearchFaces."""

FLAWS: Mapping[str, str] = MappingProxyType(
    {
        "EXCEEDS_MAX_FACES": "one of more faces than are kept of a picture",
        "EXTREME_POSE": "turned too far away",
        "LOW_BRIGHTNESS": "too dark",
        "LOW_CONFIDENCE": "not surely a face",
        "LOW_FACE_QUALITY": "too little detail to be told from others",
        "LOW_SHARPNESS": "too blurred",
        "SMALL_BOUNDING_BOX": "too small",
    }
)
"""Why a face was found and not kept; API reference, UnindexedFace."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A face that a collection holds, and the service's id of the picture it was found in."""

    face: Face
    image_id: str


@dataclass(frozen=True, slots=True)
class Indexed:
    """What came of a picture: the faces that are kept, and those that aren't, each with its
    `flaw`. `model` is the version of the collection's face model.
    """

    kept: tuple[Kept, ...]
    left_out: tuple[Face, ...]
    model: str

    @property
    def faces(self) -> tuple[Face, ...]:
        """All that were found."""
        return (*(one.face for one in self.kept), *self.left_out)


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection; `created`: by this very call."""

    name: str
    arn: str
    model: str
    face_count: int
    created: bool


def check_collection(name: str) -> None:
    """Raise `Permanent` (`invalid_collection_id`) for what is no CollectionId."""
    if not _COLLECTION.fullmatch(name):
        raise _unfit(name, "collection", "letters, digits and _ . -", "invalid_collection_id")


def check_asset(asset: str) -> None:
    """Raise `Permanent` (`invalid_asset_id`) for what is no ExternalImageId."""
    if not _ASSET.fullmatch(asset):
        raise _unfit(asset, "asset", "letters, digits and _ . - :", "invalid_asset_id")


def check_face(face_id: str) -> None:
    """Raise `Permanent` (`invalid_face_id`) for what is no FaceId."""
    if not _FACE.fullmatch(face_id):
        raise Permanent(
            f"{face_id[:80]!r} can't be the id of a face: it is no lower-case UUID",
            code="invalid_face_id",
        )


def _unfit(value: str, what: str, allowed: str, code: str) -> Permanent:
    return Permanent(
        f"{value[:80]!r} ({len(value)} characters) can't be the id of a Rekognition {what}: "
        f"that has 1 to 255 {allowed}",
        code=code,
    )


def kept(told: FaceTypeDef) -> Kept:
    """A face of an answer to IndexFaces or ListFaces."""
    face = Face(_box(told["BoundingBox"]), told["Confidence"], face_id=told["FaceId"])
    return Kept(face, told["ImageId"])


def left_out(told: UnindexedFaceTypeDef) -> Face:
    """A face of an answer to IndexFaces that the collection doesn't hold."""
    detail = told["FaceDetail"]
    reasons = [FLAWS.get(one, one.lower().replace("_", " ")) for one in told["Reasons"]]
    return Face(
        _box(detail["BoundingBox"]),
        detail["Confidence"],
        flaw=", ".join(reasons) or "not kept, for no reason given",
    )


def arn(told: str) -> str:
    """CreateCollection answers without the first part that every ARN has."""
    return told if told.startswith("arn:") else f"arn:{told}"


def _box(told: BoundingBoxTypeDef) -> Box:
    """The part of a box that is inside the picture: it may reach over an edge."""
    left, top = _share(told["Left"]), _share(told["Top"])
    right, bottom = _share(told["Left"] + told["Width"]), _share(told["Top"] + told["Height"])
    return Box(left, top, right - left, bottom - top)


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0)
