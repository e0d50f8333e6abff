"""An application with pictures of people, a few of whom are known already, there and here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any
from uuid import UUID, uuid5

import psycopg
from psycopg.types.json import Jsonb

from tests.bench.faces_chaos_world import KNOWN, Asset, User, World
from tests.rekognition.conftest import connect
from tests.rekognition.remote import Remote

TASK = "face_index"
PREFIX = "savta-user-"
RATE = "rekognition"

AssetRow = tuple[UUID, UUID, str, str, bool, bool]
"""id, user_id, storage_url, mime_type, approved, deleted."""

Url = Callable[[Asset], str]
"""Where the host has a picture."""


def fill(url: str, world: World, where: Url) -> None:
    """The assets of a world; those that nobody is to touch are of every kind there is."""
    with psycopg.connect(url, autocommit=True) as connection:
        add(connection, rows(world, where))
        connection.execute("vacuum analyze assets")


def rows(world: World, where: Url) -> Iterator[AssetRow]:
    """The rows of `assets`."""
    for asset in (*world.assets, *(user.known for user in world.users if user.knows)):
        yield asset.id, asset.user.id, where(asset), "image/jpeg", True, False
    kinds = (("image/jpeg", False, False), ("image/jpeg", True, True), ("video/mp4", True, False))
    for asset, kind in zip(world.others, kinds, strict=True):
        yield asset.id, asset.user.id, where(asset), *kind


def add(connection: psycopg.Connection[Any], assets: Iterable[AssetRow]) -> None:
    """Put these into the table."""
    columns = "id, user_id, storage_url, mime_type, approved, deleted"
    with connection.cursor().copy(f"copy assets ({columns}) from stdin".encode()) as copy:
        for asset in assets:
            copy.write_row(asset)


def person_id(user: User, person: int) -> UUID:
    """The key of a known person."""
    return uuid5(user.id, f"person {person}")


def introduce(url: str, service: Remote, world: World) -> None:
    """Index a picture of each user who knows somebody, and link its faces, as a user would."""
    with closing(connect(service.url)) as client:
        for user in world.users:
            if user.knows:
                client.create_collection(CollectionId=collection(user))
                client.index_faces(
                    CollectionId=collection(user),
                    Image={"Bytes": user.known.file()},
                    ExternalImageId=str(user.known.id),
                )
    found = service.state()["collections"]
    with psycopg.connect(url) as connection:
        for user in world.users:
            if user.knows:
                _link(connection, user, found[collection(user)])


def collection(user: User) -> str:
    """The name of a user's collection."""
    return f"{PREFIX}{user.id}"


def _link(connection: psycopg.Connection[Any], user: User, faces: list[dict[str, Any]]) -> None:
    """The application's rows of a collection, without what only the task's own have."""
    connection.execute(
        "insert into face_collections (user_id, aws_collection_id, face_count) values (%s, %s, %s)",
        [user.id, collection(user), len(faces)],
    )
    by_person = {face["person"]: face for face in faces}
    for person in KNOWN:
        face = by_person[user.person(person)]
        key = uuid5(user.id, f"face {person}")
        connection.execute(
            "insert into faces (id, user_id, asset_id, rekognition_face_id, rekognition_image_id,"
            " bounding_box, confidence, needs_assignment)"
            " values (%s, %s, %s, %s, %s, %s, %s, false)",
            [
                key, user.id, user.known.id, face["FaceId"], face["ImageId"],
                Jsonb(face["BoundingBox"]), face["Confidence"] / 100,
            ],
        )  # fmt: skip
        connection.execute(
            "insert into person_groups (id, user_id, name) values (%s, %s, %s)",
            [person_id(user, person), user.id, f"person {person}"],
        )
        connection.execute(
            "insert into face_person_links (face_id, person_group_id, confidence, assigned_by)"
            " values (%s, %s, 1, 'user')",
            [key, person_id(user, person)],
        )


def agree(url: str, rate: float, attempts: int) -> None:
    """Set the provider's rate, let retries come soon, and forgive rows so many failures."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select backfill.set_rate(%s, %s)", [RATE, rate])
        connection.execute(
            "update backfill.task set max_attempts = %s, backoff_base = '0.5 seconds',"
            " backoff_max = '2 seconds' where name = %s",
            [attempts, TASK],
        )
