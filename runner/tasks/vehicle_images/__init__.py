"""vehicle_images: the pictures that vehicles name by URL, downloaded into storage."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from runner.contract import Compute, Input, Limiter, NoLimits, Option, Pacing, Settings, Task
from runner.database.files import migrations_folder
from runner.tasks import downloads
from runner.tasks.vehicle_images.settings import by_organization, plain_id, public_base, size, where

VERSION = 1

OPTIONS = (
    Option(
        "storage",
        "where pictures are put: a folder, file:///srv/pictures or s3://bucket/prefix",
        default="vehicle-images",
        stored_as=where,
        place=True,
    ),
    Option(
        "endpoint_url",
        "address of an S3-compatible service other than Amazon's (else from AWS_*)",
        place=True,
    ),
    Option(
        "public_url",
        "what image_url begins with, before the path in the storage; without it, the path alone",
        stored_as=public_base,
        place=True,
    ),
    Option(
        "max_images",
        "URLs of a vehicle that are downloaded at most",
        kind=int,
        default=20,
        minimum=1,
        maximum=100,
    ),
    Option(
        "url_attempts",
        "times that a URL is tried whose host fails",
        kind=int,
        default=4,
        minimum=1,
        maximum=20,
    ),
    Option("organization_id", "only vehicles of this organization", stored_as=plain_id),
    Option(
        "vehicle_delay",
        "milliseconds between the beginnings of two vehicles in a process",
        kind=int,
        default=500,
        minimum=0,
        maximum=5_000,
    ),
    Option(
        "max_bytes",
        "stop when so much was downloaded, all processes together: 500MB, 2GB",
        stored_as=size,
    ),
    *downloads.options(polite=True),
)


def _open(settings: Settings, limiter: Limiter | None = None) -> AbstractContextManager[Compute]:
    # Here and not above: listing the tasks should not wait for codecs and an HTTP client.
    from runner.tasks.vehicle_images.opening import open_task

    return open_task(settings, limiter or NoLimits())


BINDING: Mapping[str, Any] = {
    "table": "public.vehicles",
    "key": "id",
    "metadata": "origin_metadata",
    "is_public": "is_public",
    "primary_url": "primary_image_url",
    "images": "public.vehicle_images",
    "vehicle_id": "vehicle_id",
    "organizations": "public.organization_vehicles",
    "organization": "organization_id",
    "organization_vehicle": "vehicle_id",
}

task = Task(
    name="vehicle_images",
    version=VERSION,
    summary="Downloads the pictures that vehicles name by URL into storage, a few at a time.",
    open=_open,
    open_limited=_open,
    options=OPTIONS,
    pacing=Pacing(
        batch_size=10, batch_size_max=1000, delay_ms=2000, delay_ms_max=60_000, limit=100
    ),
    binding=BINDING,
    migrations=migrations_folder() / "vehicle_images",
    inputs=(Input(("metadata", "is_public")),),
    condition=by_organization,
)
