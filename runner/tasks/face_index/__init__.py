"""face_index: the faces in users' pictures, and whom they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from runner.contract import (
    Compute,
    Expected,
    Input,
    Limiter,
    NoLimits,
    Option,
    Pacing,
    Row,
    Settings,
    Task,
)
from runner.database.files import migrations_folder
from runner.tasks import downloads
from runner.tasks.face_index.settings import of_user, plain_id, prefix

VERSION = 1

SAMPLE = 12
"""Pictures that are looked at for the question before paid work."""

OPTIONS = (
    Option(
        "backend",
        "what finds and compares faces: Amazon Rekognition, which is paid, or dlib on this machine",
        default="rekognition",
        choices=("rekognition", "local"),
    ),
    Option("user_id", "only pictures of this user", stored_as=plain_id),
    Option(
        "collection_prefix",
        "what the name of a user's collection begins with, before the user's id",
        default="savta-user-",
        stored_as=prefix,
        # collections of the account that the process has credentials of
        place=True,
    ),
    Option(
        "max_cost",
        "stop when so many US dollars are spent, all processes together",
        kind=float,
        minimum=0.001,
    ),
    *downloads.OPTIONS,
)


def _open(settings: Settings, limiter: Limiter | None = None) -> AbstractContextManager[Compute]:
    # Here and not above: listing the tasks should not wait for codecs and an HTTP client.
    from runner.tasks.face_index.opening import open_task

    return open_task(settings, limiter or NoLimits())


def _expected(settings: Settings, rows: Sequence[Row]) -> Sequence[Expected]:
    if settings["backend"] != "rekognition":
        return ()
    from runner.tasks.face_index.sample import expected

    return expected(settings, rows)


BINDING: Mapping[str, Any] = {
    "table": "public.assets",
    "key": "id",
    "user_id": "user_id",
    "url": "storage_url",
    "mime_type": "mime_type",
    "approved": "approved",
    "deleted": "deleted",
    "collections": "public.face_collections",
    "arn": "arn",
    "faces": "public.faces",
    "embedding": "embedding",
    "people": "public.person_groups",
    "links": "public.face_person_links",
}

task = Task(
    name="face_index",
    version=VERSION,
    summary="Finds the faces in users' pictures, and whom they show.",
    open=_open,
    open_limited=_open,
    options=OPTIONS,
    pacing=Pacing(
        batch_size=10, batch_size_max=1000, delay_ms=1000, delay_ms_max=60_000, limit_by="user_id"
    ),
    expected=_expected,
    sample=SAMPLE,
    binding=BINDING,
    migrations=migrations_folder() / "face_index",
    inputs=(Input(("url", "mime_type", "approved", "deleted")),),
    condition=of_user,
)
