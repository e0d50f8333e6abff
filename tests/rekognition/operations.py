"""The operations of the API, each from its parameters to its answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeVar

from tests.rekognition import limits
from tests.rekognition.errors import ServiceError
from tests.rekognition.likeness import STRANGERS_BELOW, Likeness
from tests.rekognition.settings import Settings
from tests.rekognition.store import (
    MODEL_VERSION,
    Source,
    Store,
    StoredFace,
    box_as_json,
    confidence,
)
from tests.rekognition.vision import Eye, SeenFace

PAGE = 1000
"""Entries of a page where MaxResults doesn't say."""

MATCH_THRESHOLD = 80.0
"""Least similarity in percent unless told otherwise; API reference of SearchFaces."""

LEAST_SHARPNESS = {"NONE": 0, "AUTO": 30, "LOW": 30, "MEDIUM": 60, "HIGH": 85}
"""By QualityFilter; the service doesn't publish its own."""

TOKEN = "after-"
"""What a NextToken begins with."""

Entry = TypeVar("Entry")

Parameters = Mapping[str, Any]
Answer = dict[str, Any]


@dataclass
class World:
    """What operations work on."""

    settings: Settings
    store: Store = field(default_factory=Store)
    objects: dict[tuple[str, str], bytes] = field(default_factory=dict)
    eye: Eye = field(default_factory=Eye)

    def look(self, image: Mapping[str, Any]) -> tuple[str, Sequence[SeenFace]]:
        """The SHA-256 of a request's picture, and its largest faces, the largest first."""
        digest, seen = self.eye.faces(limits.picture(image, self.objects, self.settings))
        return digest, seen[: limits.FACES_MAX]


Operation = Callable[[World, Parameters], Answer]


def create_collection(world: World, asked: Parameters) -> Answer:
    """Raises `ServiceError` (ResourceAlreadyExistsException)."""
    made = world.store.create(asked["CollectionId"])
    # The API reference's example and real answers have this ARN without its first part.
    arn = made.arn.removeprefix("arn:")
    return {"StatusCode": 200, "CollectionArn": arn, "FaceModelVersion": MODEL_VERSION}


def describe_collection(world: World, asked: Parameters) -> Answer:
    """Raises `ServiceError` (ResourceNotFoundException)."""
    found = world.store.collection(asked["CollectionId"])
    return {
        "FaceCount": len(found.faces),
        "FaceModelVersion": MODEL_VERSION,
        "CollectionARN": found.arn,
        "CreationTimestamp": found.created,
        "UserCount": 0,
    }


def delete_collection(world: World, asked: Parameters) -> Answer:
    """Raises `ServiceError` (ResourceNotFoundException)."""
    world.store.drop(asked["CollectionId"])
    return {"StatusCode": 200}


def list_collections(world: World, asked: Parameters) -> Answer:
    """A page of the names. Raises `ServiceError` (InvalidPaginationTokenException)."""
    names, further = _page(world.store.names(), lambda name: name, asked)
    return {
        "CollectionIds": names,
        "FaceModelVersions": [MODEL_VERSION] * len(names),
        **further,
    }


def index_faces(world: World, asked: Parameters) -> Answer:
    """Stores the faces that are sharp enough, the largest MaxFaces of them.

    Raises `ServiceError`: those of the picture, ResourceNotFoundException,
    ServiceQuotaExceededException.
    """
    world.store.collection(asked["CollectionId"])
    digest, seen = world.look(asked["Image"])
    sharp, blurred = _by_quality(seen, asked.get("QualityFilter", "AUTO"))
    most = asked.get("MaxFaces", limits.FACES_MAX)
    stored = world.store.add(
        asked["CollectionId"],
        Source(digest, asked.get("ExternalImageId")),
        sharp[:most],
        once=world.settings.deduplicates,
        room=world.settings.faces_per_collection,
    )
    left_out = [(face, "LOW_SHARPNESS") for face in blurred]
    left_out += [(face, "EXCEEDS_MAX_FACES") for face in sharp[most:]]
    return {
        "FaceRecords": [
            {"Face": face.as_json(), "FaceDetail": _detail(face.seen)} for face in stored
        ],
        "FaceModelVersion": MODEL_VERSION,
        "UnindexedFaces": [
            {"Reasons": [reason], "FaceDetail": _detail(face)} for face, reason in left_out
        ],
    }


def search_faces(world: World, asked: Parameters) -> Answer:
    """Those like a face of the collection, but for itself.

    Raises `ServiceError`: ResourceNotFoundException, InvalidParameterException for a face that
    isn't in the collection.
    """
    faces = world.store.faces(asked["CollectionId"])
    sought = faces.pop(asked["FaceId"], None)
    if sought is None:
        message = "faceId was not found in the collection."
        raise ServiceError("InvalidParameterException", message)
    return {
        "SearchedFaceId": asked["FaceId"],
        "FaceMatches": _matches(world, sought.seen, faces.values(), asked),
        "FaceModelVersion": MODEL_VERSION,
    }


def search_faces_by_image(world: World, asked: Parameters) -> Answer:
    """Those like the largest face of a picture.

    Raises `ServiceError`: those of the picture, ResourceNotFoundException,
    InvalidParameterException where the picture has no face.
    """
    faces = world.store.faces(asked["CollectionId"])
    _, seen = world.look(asked["Image"])
    sharp, _ = _by_quality(seen, asked.get("QualityFilter", "NONE"))
    if not sharp:
        message = "There are no faces in the image. Should be at least 1."
        raise ServiceError("InvalidParameterException", message)
    return {
        "SearchedFaceBoundingBox": box_as_json(sharp[0].box),
        "SearchedFaceConfidence": confidence(sharp[0]),
        "FaceMatches": _matches(world, sharp[0], faces.values(), asked),
        "FaceModelVersion": MODEL_VERSION,
    }


def list_faces(world: World, asked: Parameters) -> Answer:
    """A page of the faces; nobody is a user here, so a UserId has none.

    Raises `ServiceError`: ResourceNotFoundException, InvalidPaginationTokenException.
    """
    faces = list(world.store.faces(asked["CollectionId"]).values())
    if "FaceIds" in asked:
        faces = [face for face in faces if face.face_id in asked["FaceIds"]]
    if "UserId" in asked:
        faces = []
    page, further = _page(faces, lambda face: face.face_id, asked)
    return {
        "Faces": [face.as_json() for face in page],
        "FaceModelVersion": MODEL_VERSION,
        **further,
    }


def delete_faces(world: World, asked: Parameters) -> Answer:
    """Raises `ServiceError` (ResourceNotFoundException); a face that isn't there is reported."""
    gone = world.store.remove(asked["CollectionId"], asked["FaceIds"])
    return {
        "DeletedFaces": gone,
        "UnsuccessfulFaceDeletions": [
            {"FaceId": face_id, "Reasons": ["FACE_NOT_FOUND"]}
            for face_id in asked["FaceIds"]
            if face_id not in gone
        ],
    }


def detect_faces(world: World, asked: Parameters) -> Answer:
    """Raises `ServiceError`: those of the picture."""
    _, seen = world.look(asked["Image"])
    return {"FaceDetails": [_detail(face) for face in seen]}


OPERATIONS: Mapping[str, Operation] = {
    "CreateCollection": create_collection,
    "DescribeCollection": describe_collection,
    "DeleteCollection": delete_collection,
    "ListCollections": list_collections,
    "IndexFaces": index_faces,
    "SearchFaces": search_faces,
    "SearchFacesByImage": search_faces_by_image,
    "ListFaces": list_faces,
    "DeleteFaces": delete_faces,
    "DetectFaces": detect_faces,
}


def _by_quality(
    seen: Sequence[SeenFace], quality_filter: str
) -> tuple[list[SeenFace], list[SeenFace]]:
    """The faces that pass, and the others."""
    least = LEAST_SHARPNESS[quality_filter]
    return (
        [face for face in seen if face.sharpness >= least],
        [face for face in seen if face.sharpness < least],
    )


def _matches(
    world: World, face: SeenFace, others: Iterable[StoredFace], asked: Parameters
) -> list[Answer]:
    likeness = Likeness(world.settings.look_alikes)
    who = (face.person, face.variation)
    least = asked.get("FaceMatchThreshold", MATCH_THRESHOLD)
    if least >= STRANGERS_BELOW:
        persons = likeness.near(face.person)
        others = [one for one in others if one.seen.person in persons]
    found = [(likeness(who, (one.seen.person, one.seen.variation)), one) for one in others]
    near = sorted(
        (pair for pair in found if pair[0] >= least), key=lambda pair: (-pair[0], pair[1].face_id)
    )
    most = asked.get("MaxFaces", len(near))
    return [{"Similarity": similarity, "Face": one.as_json()} for similarity, one in near[:most]]


def _detail(face: SeenFace) -> Answer:
    """The attributes that are always returned: the API reference's DEFAULT."""
    box = face.box
    places = {
        "eyeLeft": (0.3, 0.4), "eyeRight": (0.7, 0.4), "nose": (0.5, 0.6),
        "mouthLeft": (0.35, 0.8), "mouthRight": (0.65, 0.8),
    }  # fmt: skip
    return {
        "BoundingBox": box_as_json(box),
        "Landmarks": [
            {"Type": kind, "X": box.left + x * box.width, "Y": box.top + y * box.height}
            for kind, (x, y) in places.items()
        ],
        "Pose": {"Roll": 0.0, "Yaw": 0.0, "Pitch": 0.0},
        "Quality": {"Brightness": 80.0, "Sharpness": float(face.sharpness)},
        "Confidence": confidence(face),
    }


def _page(
    entries: Sequence[Entry], key: Callable[[Entry], str], asked: Parameters
) -> tuple[list[Entry], Answer]:
    """The page after NextToken, and the next one's NextToken where there is one.

    In the order of the keys' hashes: the service promises none, and a token is short.
    """
    after = _read_token(asked["NextToken"]) if "NextToken" in asked else ""
    hashed = [(sha256(key(entry).encode()).hexdigest(), entry) for entry in entries]
    hashed.sort(key=lambda pair: pair[0])
    rest = [(place, entry) for place, entry in hashed if place > after]
    page = rest[: asked.get("MaxResults") or PAGE]
    further = {"NextToken": f"{TOKEN}{page[-1][0]}"} if len(page) < len(rest) else {}
    return [entry for _, entry in page], further


def _read_token(token: str) -> str:
    if not re.fullmatch(f"{TOKEN}[0-9a-f]{{64}}", token):
        raise ServiceError("InvalidPaginationTokenException", "Invalid pagination token")
    return token.removeprefix(TOKEN)
