"""Amazon Rekognition as a face engine: it finds the faces and keeps them, in collections.

The rights needed: rekognition:CreateCollection, DescribeCollection, IndexFaces, SearchFaces,
ListFaces and DeleteFaces. IndexFaces and SearchFaces cost money, the others don't.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from runner.contract import Limiter
from runner.errors import Retry
from runner.faces import rekognition_values as values
from runner.faces.contract import SUGGEST_FROM, Match
from runner.faces.rekognition_calls import NAME, Answer, Turns
from runner.faces.rekognition_errors import CollectionExists, CollectionMissing, LostReply
from runner.faces.rekognition_values import Collection, Indexed, Kept
from runner.faces.sending import Sent

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient
    from types_boto3_rekognition.type_defs import (
        FaceTypeDef,
        ImageTypeDef,
        ListFacesResponseTypeDef,
    )

MOST_FACES = 100
"""That IndexFaces finds in a picture; API reference of IndexFaces."""

MOST_AT_ONCE = 4096
"""Faces of a page of ListFaces, of an answer of SearchFaces, of a call of DeleteFaces."""

QualityFilter = Literal["NONE", "AUTO", "LOW", "MEDIUM", "HIGH"]


class RekognitionFaces:
    """The faces of collections; one for all threads of a process.

    Every method raises `RowOutcome`s: `Retry` with the codes `throttled` and `unreachable` (not
    counted), `server_error`, `refused` and `lost_reply`; `Permanent` for what is wrong with
    the picture or an id; `Halt` where nothing works until somebody acts.

    Of the two that cost money, `index` and `search`, a call that returns was charged once, one
    that raises `LostReply` was charged once or not at all, and any other was not charged. They
    are never repeated, but for a collection that wasn't there. What is free is tried twice.
    """

    name = NAME

    def __init__(self, client: RekognitionClient, limiter: Limiter) -> None:
        self._client = client
        self._turns = Turns(client, limiter)
        self.made_anew: set[str] = set()
        """Collections that were not there when they were used: what they held is lost."""

    @property
    def region(self) -> str:
        """Where S3 has to be for pictures that are left there."""
        return self._client.meta.region_name

    def ensure_collection(self, collection: str) -> Collection:
        """Create it unless it is there."""
        values.check_collection(collection)
        try:
            made = self._twice(
                "CreateCollection",
                lambda: self._client.create_collection(CollectionId=collection),
            )
        except CollectionExists:
            return self._described(collection)
        model = made["FaceModelVersion"]
        return Collection(collection, values.arn(made["CollectionArn"]), model, 0, created=True)

    def _described(self, collection: str) -> Collection:
        told = self._twice(
            "DescribeCollection",
            lambda: self._client.describe_collection(CollectionId=collection),
        )
        return Collection(
            collection,
            values.arn(told["CollectionARN"]),
            told["FaceModelVersion"],
            told["FaceCount"],
            created=False,
        )

    def index(
        self, collection: str, asset: str, picture: Sent, *, quality: QualityFilter = "AUTO"
    ) -> Indexed:
        """Find the faces of an asset's picture and keep them; create the collection if need be.

        The service keeps the same picture of the same asset once, however often it is sent. After
        `server_error` it may hold the faces as well, as after a lost reply.
        """
        values.check_collection(collection)
        values.check_asset(asset)
        try:
            return self._index(collection, asset, picture, quality)
        except CollectionMissing:
            self._make_anew(collection)
            return self._index(collection, asset, picture, quality)

    def _make_anew(self, collection: str) -> bool:
        created = self.ensure_collection(collection).created
        if created:
            self.made_anew.add(collection)
        return created

    def _index(self, collection: str, asset: str, picture: Sent, quality: QualityFilter) -> Indexed:
        told = self._once(
            "IndexFaces",
            lambda: self._client.index_faces(
                CollectionId=collection,
                Image=_image(picture),
                ExternalImageId=asset,
                MaxFaces=MOST_FACES,
                QualityFilter=quality,
            ),
        )
        return Indexed(
            kept=tuple(values.kept(record["Face"]) for record in told.get("FaceRecords", [])),
            left_out=tuple(values.left_out(one) for one in told.get("UnindexedFaces", [])),
            model=told.get("FaceModelVersion", ""),
        )

    def search(
        self,
        collection: str,
        face_id: str,
        *,
        threshold: float = SUGGEST_FROM,
        most: int = MOST_AT_ONCE,
    ) -> list[Match]:
        """The collection's faces that are like one of its own, the most similar first, not itself.

        `most` is no matter of price, and the likeliest face may be linked to nobody. Raises
        `CollectionMissing`, a `Retry`, where the collection had to be created anew, without its
        faces; `Permanent` (`invalid_parameter`) where it hasn't this face.
        """
        values.check_collection(collection)
        values.check_face(face_id)
        try:
            return self._search(collection, face_id, threshold, most)
        except CollectionMissing:
            if self._make_anew(collection):
                raise
            return self._search(collection, face_id, threshold, most)

    def _search(self, collection: str, face_id: str, threshold: float, most: int) -> list[Match]:
        told = self._once(
            "SearchFaces",
            lambda: self._client.search_faces(
                CollectionId=collection,
                FaceId=face_id,
                FaceMatchThreshold=threshold,
                MaxFaces=most,
            ),
        )
        return [
            Match(match["Face"]["FaceId"], match["Similarity"])
            for match in told.get("FaceMatches", [])
        ]

    def list_faces(self, collection: str) -> dict[str, tuple[Kept, ...]]:
        """All faces of a collection by asset; "" has those without one. No collection: no faces."""
        values.check_collection(collection)
        found: defaultdict[str, dict[str, Kept]] = defaultdict(dict)
        try:
            for told in self._listed(collection):
                # by id, since a face can be on two pages while others are added
                found[told.get("ExternalImageId", "")][told["FaceId"]] = values.kept(told)
        except CollectionMissing:
            return {}
        return {asset: tuple(faces.values()) for asset, faces in found.items()}

    def _listed(self, collection: str) -> Iterator[FaceTypeDef]:
        further: dict[str, str] = {}
        while True:
            page = self._twice("ListFaces", partial(self._page, collection, further))
            yield from page.get("Faces", [])
            if not page.get("NextToken"):
                return
            further = {"NextToken": page["NextToken"]}

    def _page(self, collection: str, further: Mapping[str, str]) -> ListFacesResponseTypeDef:
        return self._client.list_faces(CollectionId=collection, MaxResults=MOST_AT_ONCE, **further)

    def delete_faces(self, collection: str, face_ids: Sequence[str]) -> dict[str, str]:
        """Delete faces; those that are still there afterwards, with the service's reason.

        A face that isn't there, or a collection, is no error.
        """
        values.check_collection(collection)
        wanted = list(dict.fromkeys(face_ids))
        for face_id in wanted:
            values.check_face(face_id)
        left: dict[str, str] = {}
        for first in range(0, len(wanted), MOST_AT_ONCE):
            try:
                left |= self._delete(collection, wanted[first : first + MOST_AT_ONCE])
            except CollectionMissing:
                return {}
        return left

    def _delete(self, collection: str, face_ids: list[str]) -> dict[str, str]:
        told = self._twice(
            "DeleteFaces",
            lambda: self._client.delete_faces(CollectionId=collection, FaceIds=face_ids),
        )
        return {
            one["FaceId"]: ", ".join(one["Reasons"])
            for one in told.get("UnsuccessfulFaceDeletions", [])
            if "FACE_NOT_FOUND" not in one["Reasons"]
        }

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _twice(self, operation: str, send: Callable[[], Answer]) -> Answer:
        """A call that costs nothing and may be made twice: once more where the server failed."""
        try:
            return self._once(operation, send)
        except Retry as error:
            if not isinstance(error, LostReply) and error.code != "server_error":
                raise
            return self._once(operation, send)

    def _once(self, operation: str, send: Callable[[], Answer]) -> Answer:
        return self._turns.call(operation, send)


def _image(picture: Sent) -> ImageTypeDef:
    if isinstance(picture, bytes):
        return {"Bytes": picture}
    return {"S3Object": {"Bucket": picture.bucket, "Name": picture.key}}
