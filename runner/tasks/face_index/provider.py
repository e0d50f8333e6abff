"""The backend that is paid: Amazon Rekognition finds, keeps and compares the faces."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from runner.contract import Call, Limiter, Row
from runner.errors import Permanent, Retry, RowOutcome
from runner.faces import Match
from runner.faces.rekognition import RekognitionFaces
from runner.faces.rekognition_calls import NAME, paid
from runner.faces.rekognition_errors import CollectionMissing
from runner.faces.rekognition_values import Collection, Kept, check_asset, check_collection
from runner.faces.sending import Sent, prepare
from runner.fetch import Client
from runner.tasks.face_index.steps import Compared, Found, Known

UNFIT = ("image_too_large", "invalid_image_format")
"""Refusals of a file that are the same whenever it is sent."""

STEP_S = 1.0
"""Faces are searched for so long before what was found is committed."""


class ProviderBackend:
    """Finds faces with Rekognition. Called from several threads."""

    name = NAME
    keeps_faces = True

    def __init__(
        self, client: Client, faces: RekognitionFaces, limiter: Limiter, max_pixels: int
    ) -> None:
        self._client = client
        self._faces = faces
        self._limiter = limiter
        self._max_pixels = max_pixels
        self._collections = Collections(faces)
        self._listings = Listings(faces)

    def open(self, row: Row, collection: str) -> tuple[str, str | None]:
        """CreateCollection."""
        check_collection(collection)
        check_asset(row["key"])
        made = self._collections.get(collection)
        return made.model, made.arn

    def find(self, row: Row, collection: str) -> Found:
        """IndexFaces, unless an attempt that nobody heard of did it already."""
        asset = row["key"]
        check_collection(collection)
        check_asset(asset)
        held = self._held(row, collection)
        if held:
            version = row["collection_version"] or self._collections.get(collection).model
            return Found(
                [one.face for one in held], version, held[0].image_id, self._arn(row, collection)
            )
        picture = self._picture(row["url"])
        arn = self._arn(row, collection)
        try:
            with self._paid(row, "IndexFaces", collection, asset):
                indexed = self._faces.index(collection, asset, picture)
        except Permanent as error:
            # what it refuses for its form, it charged no earlier call for either
            charged = error.code not in UNFIT
            for one in _unsettled(row, "IndexFaces"):
                note = f"the picture is refused ({error.code})"
                self._limiter.found(asset, one["id"], charged, note)
            raise
        image_id = indexed.kept[0].image_id if indexed.kept else None
        return Found(indexed.faces, indexed.model, image_id, arn)

    def compare(
        self, row: Row, collection: str, faces: Sequence[Known], to_delete: Sequence[str]
    ) -> Compared:
        """SearchFaces for each face, and DeleteFaces for those that are not kept.

        What was paid for is handed over even if the rest has to wait.
        """
        compared = Compared()
        ends = time.monotonic() + STEP_S
        try:
            self._delete(collection, to_delete, compared)
            for face in faces:
                compared.matches[face["face"]] = self._search(row, collection, face["face_id"])
                if time.monotonic() > ends:
                    break
        except RowOutcome as error:
            if not compared.matches and not compared.deleted:
                raise
            # whatever is in the way is met again by the next step
            compared.after = getattr(error, "after", None) or 0.0
        return compared

    def _held(self, row: Row, collection: str) -> tuple[Kept, ...]:
        """The faces that an attempt left behind which died, or got no answer.

        Where the collection holds none, the call may have been charged all the same, for a picture
        without faces: it is left unsaid, and so counts as charged.
        """
        past = _unsettled(row, "IndexFaces")
        if not past:
            return ()
        held = self._listings.of(collection).get(row["key"], ())
        if held:
            note = "the collection holds the faces of the picture"
            self._limiter.found(row["key"], past[-1]["id"], charged=True, note=note)
        return held

    def _picture(self, url: str) -> Sent:
        with self._client.get(url) as download:
            place, region = download.url, self._faces.region
            try:
                return prepare(download.file, place, region=region, max_pixels=self._max_pixels)
            except Permanent as error:
                raise Permanent(f"{download.url}: {error}", code=error.code) from error

    def _arn(self, row: Row, collection: str) -> str | None:
        return row["arn"] or self._collections.get(collection).arn

    def _search(self, row: Row, collection: str, face_id: str) -> list[Match]:
        try:
            with self._paid(row, "SearchFaces", collection, face_id):
                return self._faces.search(collection, face_id)
        except CollectionMissing as error:
            raise _lost(row, collection) from error
        except Permanent as error:
            if error.code != "invalid_parameter":
                raise
            if collection in self._faces.made_anew:
                raise _lost(row, collection) from error
            # it was deleted there: nothing can be said to be like it
            return []

    def _delete(self, collection: str, face_ids: Sequence[str], compared: Compared) -> None:
        if not face_ids:
            return
        left = self._faces.delete_faces(collection, face_ids)
        compared.deleted = [one for one in face_ids if one not in left]
        if left:
            why = "; ".join(sorted(set(left.values())))
            raise Retry(f"{len(left)} faces could not be deleted: {why}", code="not_deleted")

    def _paid(
        self, row: Row, operation: str, collection: str, reference: str
    ) -> AbstractContextManager[None]:
        """One call that costs money, written down before it is made."""
        call = Call(
            NAME,
            operation,
            self._faces.region,
            subject=collection,
            reference=reference,
            payer=row["user_id"],
        )
        return paid(self._limiter, row["key"], call)


def _unsettled(row: Row, operation: str) -> list[Mapping[str, Any]]:
    return [one for one in row.get("effects") or () if one["operation"] == operation]


def _lost(row: Row, collection: str) -> Permanent:
    return Permanent(
        f"the collection {collection} was deleted, with the faces in it; begin it anew: "
        f"select backfill.face_index_reset('{row['user_id']}')",
        code="collection_lost",
    )


class Collections:
    """Collections that are known to be there. Used by several threads at once."""

    def __init__(self, faces: RekognitionFaces) -> None:
        self._faces = faces
        self._known: dict[str, Collection] = {}
        self._lock = threading.Lock()
        self._asking: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def get(self, name: str) -> Collection:
        """What Rekognition says of a collection, which is created where there is none.

        It is asked once, however many pictures of a new user are in the works.
        """
        with self._lock:
            asking = self._asking[name]
        with asking:
            if name not in self._known:
                self._known[name] = self._faces.ensure_collection(name)
            return self._known[name]


class Listings:
    """What collections hold. Used by several threads at once."""

    def __init__(self, faces: RekognitionFaces) -> None:
        self._faces = faces
        self._lock = threading.Lock()
        self._last: tuple[str, float, Mapping[str, tuple[Kept, ...]]] = ("", 0.0, {})

    def of(self, collection: str) -> Mapping[str, tuple[Kept, ...]]:
        """The faces of a collection by asset, as of a moment after this was asked.

        Those who ask while one listing is made share the next one.
        """
        asked = time.monotonic()
        with self._lock:
            name, begun, found = self._last
            if name != collection or begun < asked:
                begun = time.monotonic()
                found = self._faces.list_faces(collection)
                self._last = (collection, begun, found)
            return found
