"""The backend on this machine: faces are described here, and compared by the database."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from uuid import NAMESPACE_URL, uuid5

from runner.contract import Row
from runner.errors import Permanent
from runner.faces.local import LocalFaces
from runner.fetch import Client
from runner.pictures import decode
from runner.tasks.face_index.steps import Compared, Found, Known

AT_ONCE = 2
"""Pictures in the works at once in a process: each takes up to 100 MB, and faces are described one
at a time anyway. More processes are faster."""


class LocalBackend:
    """Finds faces with dlib. Called from several threads."""

    keeps_faces = False

    def __init__(self, client: Client, max_pixels: int) -> None:
        self._client = client
        self._max_pixels = max_pixels
        self._faces = LocalFaces()
        self._free = threading.BoundedSemaphore(AT_ONCE)
        self.name = self._faces.name

    def open(self, row: Row, collection: str) -> tuple[str, str | None]:
        """Nothing has to be made."""
        return str(self._faces.version), None

    def find(self, row: Row, collection: str) -> Found:
        """The faces of a row's picture, each with an id that is the same whenever it is found."""
        version = str(self._faces.version)
        if row["collection_version"] not in (None, version):
            raise Permanent(
                f"the collection of user {row['user_id']} is of version "
                f"{row['collection_version']} of {self.name}, and this is version {version}; begin "
                f"it anew: select backfill.face_index_reset('{row['user_id']}')",
                code="other_engine",
            )
        with self._free, self._client.get(row["url"]) as download:
            try:
                picture = decode(
                    download.file, short_side=self._faces.short_side, max_pixels=self._max_pixels
                )
            except Permanent as error:
                raise Permanent(f"{download.url}: {error}", code=error.code) from error
            faces = self._faces.find(picture.image)
        place = f"{self.name}/{version}/{row['key']}"
        named = [
            replace(face, face_id=str(uuid5(NAMESPACE_URL, f"{place}/{number}")))
            for number, face in enumerate(faces)
        ]
        return Found(named, version)

    def compare(
        self, row: Row, collection: str, faces: Sequence[Known], to_delete: Sequence[str]
    ) -> Compared:
        """Nothing: the row has what is like its faces."""
        return Compared()
