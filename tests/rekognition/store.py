"""What the service holds: collections, and the faces in them. Gone when its process ends."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from tests.rekognition.errors import ServiceError
from tests.rekognition.vision import Box, SeenFace

MODEL_VERSION = "7.0"
REGION_AND_ACCOUNT = "us-east-1:123456789012"


@dataclass(frozen=True)
class Source:
    """What was indexed: a picture (its SHA-256) under an external id, where it has one."""

    digest: str
    external_id: str | None


@dataclass(frozen=True)
class StoredFace:
    """A face of a collection."""

    face_id: str
    image_id: str
    source: Source
    seen: SeenFace

    def as_json(self) -> dict[str, Any]:
        """As the API has it: the structure Face."""
        told = {
            "FaceId": self.face_id,
            "BoundingBox": box_as_json(self.seen.box),
            "ImageId": self.image_id,
            "Confidence": confidence(self.seen),
            "IndexFacesModelVersion": MODEL_VERSION,
        }
        if self.source.external_id is not None:
            told["ExternalImageId"] = self.source.external_id
        return told


@dataclass
class Collection:
    """Faces in the order in which they were stored."""

    name: str
    created: float = field(default_factory=time.time)
    faces: dict[str, StoredFace] = field(default_factory=dict)
    copies: Counter[Source] = field(default_factory=Counter)

    @property
    def arn(self) -> str:
        """Its Amazon resource name."""
        return f"arn:aws:rekognition:{REGION_AND_ACCOUNT}:collection/{self.name}"


class Store:
    """All collections. Ids are hashes of what they stand for, the same in every run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._collections: dict[str, Collection] = {}

    def create(self, name: str) -> Collection:
        """Raises `ServiceError` (ResourceAlreadyExistsException)."""
        with self._lock:
            if name in self._collections:
                message = f"The collection id: {name} already exists"
                raise ServiceError("ResourceAlreadyExistsException", message)
            self._collections[name] = Collection(name)
            return self._collections[name]

    def drop(self, name: str) -> None:
        """Raises `ServiceError` (ResourceNotFoundException)."""
        with self._lock:
            del self._collections[self._get(name).name]

    def names(self) -> list[str]:
        """Sorted."""
        with self._lock:
            return sorted(self._collections)

    def collection(self, name: str) -> Collection:
        """Raises `ServiceError` (ResourceNotFoundException)."""
        with self._lock:
            return self._get(name)

    def faces(self, name: str) -> dict[str, StoredFace]:
        """By id, as they are at this moment. Raises `ServiceError` (ResourceNotFoundException)."""
        with self._lock:
            return dict(self._get(name).faces)

    def add(
        self, name: str, source: Source, seen: Sequence[SeenFace], *, once: bool, room: int
    ) -> list[StoredFace]:
        """Store the faces of a picture; with `once` those that are there already stay as they are.

        Raises `ServiceError`: ResourceNotFoundException, ServiceQuotaExceededException where the
        collection would have more than `room` faces.
        """
        with self._lock:
            collection = self._get(name)
            copy = 0 if once and source.external_id is not None else collection.copies[source]
            stored = [
                StoredFace(_id(name, source, copy, one), _id(name, source, copy), source, one)
                for one in seen
            ]
            new = {face.face_id: face for face in stored if face.face_id not in collection.faces}
            if len(collection.faces) + len(new) > room:
                raise ServiceError("ServiceQuotaExceededException")
            collection.copies[source] += 1
            collection.faces.update(new)
            return stored

    def remove(self, name: str, face_ids: Sequence[str]) -> list[str]:
        """The ids of those that were there. Raises `ServiceError` (ResourceNotFoundException)."""
        with self._lock:
            faces = self._get(name).faces
            return [face_id for face_id in face_ids if faces.pop(face_id, None) is not None]

    def as_json(self) -> dict[str, Any]:
        """Everything, with who the faces are."""
        with self._lock:
            return {
                name: [_with_person(face) for face in collection.faces.values()]
                for name, collection in self._collections.items()
            }

    def _get(self, name: str) -> Collection:
        if name not in self._collections:
            message = f"The collection id: {name} does not exist"
            raise ServiceError("ResourceNotFoundException", message)
        return self._collections[name]


def box_as_json(box: Box) -> dict[str, float]:
    """As the API has it: the structure BoundingBox."""
    return {"Width": box.width, "Height": box.height, "Left": box.left, "Top": box.top}


def confidence(seen: SeenFace) -> float:
    """That it is a face, in percent."""
    return 99.0 + seen.sharpness / 100


def _with_person(face: StoredFace) -> dict[str, Any]:
    return {**face.as_json(), "person": face.seen.person, "variation": face.seen.variation}


def _id(*of: object) -> str:
    return str(uuid5(NAMESPACE_OID, repr(of)))
